"""Commands, options and configuration that the pages for people name exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from edge_asd.cli import cli
from edge_asd.config import parse_config

ROOT = Path(__file__).resolve().parents[3]
PAGES = ["README.md", "docs/guide.md", "docs/install.md", "docs/service.md", "docs/subscriber.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def lines(page):
    """Every line that is typed, and every piece of code in a sentence."""
    for _, block in BLOCK.findall(page):
        typed = block.replace("\\\n", " ").splitlines()
        # Where a prompt is shown, the other lines are what was answered.
        prompted = [line[2:] for line in typed if line.startswith("$ ")]
        yield from prompted or typed
    yield from SPAN.findall(BLOCK.sub("", page))


def commands(line):
    """The words after each `edge-asd` of a line, up to the end of that command."""
    line = re.split(" {4,}", line)[0]  # in a column of its own stands what the command is for
    words = shlex.shlex(line.replace("$(", " ; "), posix=True, punctuation_chars=True)
    words.whitespace_split, words.commenters = True, "#"
    try:
        words = list(words)
    except ValueError:  # a quotation that goes on: not a line that anybody types
        return
    before, found = [], None
    for word in [*words, ";"]:
        if set(word) <= set("|&;<>()"):
            if found is not None:
                yield found
            before, found = [], None
        elif found is not None:
            found.append(word)
        elif Path(word).name == "edge-asd" and all(w == "sudo" or "=" in w for w in before):
            found = []
        else:
            before.append(word)


def unknown(words):
    """The first of these words that names what does not exist; nothing if all is well."""
    command, rest = cli, list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            name, _, value = word.partition("=")
            option = options(command).get(name)
            if option is None:
                return word
            if not value and not option.is_flag and rest:
                rest.pop(0)
        elif isinstance(command, click.Group) and word != "…":
            command = command.get_command(click.Context(command), word)
            if command is None:
                return word
    return None


def options(command):
    found = command.get_params(click.Context(command))
    found = [param for param in found if isinstance(param, click.Option)]
    return {name: param for param in found for name in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize("name", PAGES)
def test_every_command_and_option_that_a_page_names_exists(name):
    said = [words for line in lines((ROOT / name).read_text()) for words in commands(line)]
    assert said
    assert [words for words in said if unknown(words)] == []


@pytest.mark.parametrize(
    "line",
    [
        "sudo edge-asd stauts",
        "edge-asd status --state-dri /var/lib/edge-asd",
        "true && /opt/edge-asd/bin/edge-asd events shwo --days 7",
        "edge-asd check --config a.yaml | edge-asd check --configuration a.yaml",
        "echo $(edge-asd service up)",
    ],
)
def test_what_does_not_exist_is_found(line):
    assert [words for words in commands(line) if unknown(words)]
    page = f"Text.\n\n```console\n$ {line}\nedge-asd is not a command here\n```\n"
    assert list(lines(page)) == [line]


def test_the_configurations_of_the_guide_can_be_used():
    page = (ROOT / "docs/guide.md").read_text()
    blocks = [yaml.safe_load(text) for kind, text in BLOCK.findall(page) if kind == "yaml"]
    assert blocks
    for block in blocks:
        parse_config(block, "docs/guide.md")
