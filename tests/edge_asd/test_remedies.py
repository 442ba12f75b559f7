"""No check without a remedy: every name that anybody posts to the board has one."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import edge_asd
from edge_asd.books.books import Books
from edge_asd.remedies import REMEDIES, remedy_of

SOURCES = sorted(Path(edge_asd.__file__).parent.rglob("*.py"))


def posts(tree):
    """Names in calls such as ``health.set(name, status, text)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
            if node.func.attr == "set" and receiver in ("health", "board") and len(node.args) > 1:
                yield node.args[0]


def posted():
    """First parts of all names that are posted, and the places where they cannot be read."""
    names, hidden = set(), []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        constants = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for name in posts(tree):
            text = constants.get(getattr(name, "id", None), name)
            if isinstance(text, ast.JoinedStr):
                text = text.values[0]
            if isinstance(text, ast.Constant):
                names.add(text.value.partition("/")[0])
            else:
                hidden.append(f"{path.stem}: {ast.unparse(name)}")
    return names, hidden


def test_every_check_that_is_posted_has_a_remedy_and_no_remedy_is_without_a_check():
    names, hidden = posted()
    # The books post the three below; what switches are set on is no board of checks.
    assert set(hidden) == {"books: name", "switching: order.monitor"}
    books = {name for name in ("ledger", "history", "evidence") if f'"{name}":' in _text(Books)}
    assert names | books == set(REMEDIES)


def _text(what):
    return inspect.getsource(what)


def test_remedies_are_sentences_for_people():
    for check, remedy in REMEDIES.items():
        assert remedy_of(f"{check}/pump-1") == remedy
        assert len(remedy) > 30
        assert not remedy.endswith(".")
    assert remedy_of("nothing") == ""
