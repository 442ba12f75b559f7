"""The figures of a run by name, and figures as words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

ALTERNATIVE = "alternative"
PLAIN_ENGINE = "engine, onnxruntime fp32"


class Run:
    """What was measured; parts may be missing.

    Args:
        found: As ``performance.json`` has it.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.found = found

    def part(self, name: str) -> Any:
        """Figures of a part; None where there are none."""
        return self.found["parts"].get(name, {}).get("figures")

    def missing(self) -> dict[str, str]:
        """Why parts have no figures, by name."""
        return {
            name: part["problem"]
            for name, part in self.found["parts"].items()
            if part["figures"] is None
        }

    def benches(self) -> dict[str, Any]:
        """What ``edge-asd bench`` gave, by bundle and engine."""
        names = [name for name in self.found["parts"] if name.startswith("bench")]
        found = {name: self.part(name) for name in names if self.part(name) is not None}
        return {titled(name, one): one for name, one in found.items()}

    def ratio(self, one: str, other: str) -> dict[str, float] | None:
        """Windows a second of one contestant as a multiple of another's; None without them."""
        contest = self.part("contest")
        spread: dict[str, float] | None = (contest or {}).get("ratios", {}).get(one, {}).get(other)
        return spread

    def contestant(self, name: str) -> Any:
        """Figures of a contestant; None where it did not take part."""
        return ((self.part("contest") or {}).get("contestants") or {}).get(name)

    def fastest(self, kind: str, precision: str) -> str | None:
        """The fastest contestant of a kind in a precision; None where there is none."""
        contestants = (self.part("contest") or {}).get("contestants") or {}
        rates = {
            name: one["windows_per_s"]["median"]
            for name, one in contestants.items()
            if name.startswith(f"{kind},") and f" {precision}" in name
        }
        return max(rates, key=rates.__getitem__, default=None)


def titled(part: str, bench: Mapping[str, Any]) -> str:
    """What the page calls a run of ``edge-asd bench``."""
    chosen = "auto: " if part.endswith("-auto") else ""
    return f"{bench['bundle']}, {chosen}{bench['engine']} {bench['precision']}"


def number(value: float, digits: int = 3) -> str:
    """A figure with so many digits that count, never with a power of ten.

    >>> number(0.012345), number(123.456), number(87654.3), number(2.0)
    ('0.0123', '123', '87 654', '2.00')
    """
    rounded = float(f"{value:.{digits - 1}e}")
    if abs(rounded) >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace(",", " ")
    places = digits - 1 - math.floor(math.log10(abs(rounded))) if rounded else digits - 1
    return f"{value:.{places}f}"


def spread(values: Mapping[str, float], digits: int = 3) -> str:
    """Median and the middle 80 %."""
    low, median, high = (number(values[key], digits) for key in ("low", "median", "high"))
    return f"{median} ({low} to {high})"


def percent(share: float, digits: int = 3) -> str:
    """A share of one in percent.

    >>> percent(0.0173)
    '1.73 %'
    """
    return f"{number(100 * share, digits)} %"
