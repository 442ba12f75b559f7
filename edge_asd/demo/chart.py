"""Bars and charts as text, in cells: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LEFT_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int) -> str:
    """A horizontal bar.

    Args:
        share: How full, 0 to 1; clipped.
        width: Cells.

    >>> bar(0.5, 4)
    '██  '
    """
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    text = "█" * full + (_LEFT_EIGHTHS[rest] if rest else "")
    return text.ljust(width)


def columns(values: Sequence[float], per_column: int) -> list[float]:
    """Squeeze a history: each column is the largest of ``per_column`` values in a row.

    >>> columns([1.0, 5.0, 2.0], 2)
    [5.0, 2.0]
    """
    return [max(values[start : start + per_column]) for start in range(0, len(values), per_column)]


def chart(values: Sequence[float], low: float, high: float, height: int) -> list[str]:
    """Vertical bars, a cell wide each.

    Args:
        values: One a column; clipped to the range.
        low: Value of an empty column.
        high: Value of a full one, above ``low``.
        height: Rows.

    Returns:
        Rows of ``len(values)`` cells, the highest first. A column is never quite empty.

    >>> chart([0.0, 1.0, 2.0], 0.0, 2.0, 2)
    ['  █', '▁██']
    """
    levels = [
        max(1, round(min(1.0, max(0.0, (value - low) / (high - low))) * height * 8))
        for value in values
    ]
    return [
        "".join(_EIGHTHS[min(8, max(0, level - 8 * row))] for level in levels)
        for row in range(height - 1, -1, -1)
    ]


def row_of(value: float, low: float, high: float, height: int) -> int:
    """Row of a chart, counted from the top, in which a value lies."""
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return min(height - 1, int((1.0 - share) * height))
