"""Options behind a source's ``?``: what is allowed, and errors that say what would be right."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from edge_asd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a scheme."""

    syntax: str
    """How it is written, for example ``speed=1|4|max``."""
    read: Callable[[str], Any]
    """Turns the text behind ``=`` into a value; raises ValueError with what would be right."""


def flag(text: str) -> bool:
    """``1`` or nothing is yes, ``0`` is no."""
    if text in {"", "1"}:
        return True
    if text == "0":
        return False
    raise ValueError("1 or 0 is right")


def number(low: float, high: float = math.inf, unit: str = "") -> Callable[[str], float]:
    """A reader of finite numbers from ``low`` to ``high``."""
    span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"a number {span}{unit} is right")
        return value

    return read


def integer(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``low`` to ``high``."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"a whole number from {low} to {high} is right")
        return int(text)

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    """A reader of one of a few words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{' or '.join(choices)} is right")
        return text

    return read


def speed(text: str) -> float | None:
    """Times real time, or None for ``max``: as fast as the audio is taken."""
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0.0):
        raise ValueError("max or a number above 0 is right")
    return value


def span_s(text: str) -> tuple[float, float]:
    """Two times in seconds, ``200-260``."""
    begin, dash, end = text.partition("-")
    try:
        span = (float(begin), float(end)) if dash else (math.nan, math.nan)
    except ValueError:
        span = (math.nan, math.nan)
    if not (math.isfinite(span[1]) and 0.0 <= span[0] < span[1]):
        raise ValueError("two rising times in seconds such as 200-260 are right")
    return span


def parse_options(source: str, text: str, known: Mapping[str, Option]) -> dict[str, Any]:
    """Read ``a=1&b`` into values.

    Args:
        source: The whole source text, for errors.
        text: What stands behind the ``?``.
        known: The options of the scheme by name.

    Returns:
        The value of every option given.

    Raises:
        ConfigError: An option is unknown, given twice or malformed; names what would be right.
    """
    values: dict[str, Any] = {}
    for part in filter(None, text.split("&")):
        name, _, raw = part.partition("=")
        if name not in known:
            raise ConfigError(f"source {source!r}: unknown option {name!r}{_remedy(name, known)}")
        if name in values:
            raise ConfigError(f"source {source!r}: option {name!r} is given twice; keep one")
        try:
            values[name] = known[name].read(unquote(raw))
        except ValueError as error:
            raise ConfigError(f"source {source!r}: {name}={raw} is wrong: {error}") from None
    return values


def _remedy(name: str, known: Mapping[str, Option]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{guess} known: {' & '.join(option.syntax for option in known.values())}"
