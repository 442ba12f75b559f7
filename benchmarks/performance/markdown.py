"""Pieces of Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_WIDTH = 140


def paragraph(text: str) -> str:
    """Text in lines of the usual length."""
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def item(text: str) -> str:
    """One point of a list."""
    return textwrap.fill(
        f"- {text}",
        _WIDTH,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table.

    >>> print(table(("a", "b"), [("1", "2")]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = ["| " + " | ".join(line) + " |" for line in (columns, *rows)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])


def picture(pictures: Sequence[str], name: str, text: str) -> list[str]:
    """A picture, if it was drawn."""
    return [f"![{text}](performance/{name}.png)"] if name in pictures else []
