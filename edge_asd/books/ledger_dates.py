"""When the seconds of a run were, by the wall clock.

Inside a run seconds are steady. An *anchor* says by how much the wall clock was ahead from a second
on; a new one is noted when the clock was set. So a step of the clock never changes a duration, only
the dates that follow it. Anchors are whole seconds: dates are good to one second, sums are exact.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edge_asd.clock import CLOCK_FLOOR_S


@dataclass(frozen=True, slots=True)
class Anchor:
    """From this second on the wall clock was so far ahead."""

    steady_s: int
    offset_s: int

    @property
    def plausible(self) -> bool:
        """Whether the clock had been set."""
        return self.steady_s + self.offset_s >= CLOCK_FLOOR_S


class Dates:
    """Steady seconds of one run to wall time and back.

    While no anchor is plausible, those that there are count: a board whose clock never is set
    lives in 1970. What came before the first plausible one is dated by it.

    Args:
        anchors: At least one, in the order of time.
    """

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        every = list(anchors)
        plausible = [anchor for anchor in every if anchor.plausible]
        self.known = bool(plausible)
        """Whether the run can be dated."""
        self.anchors = plausible or every
        self._from_s = [anchor.steady_s for anchor in self.anchors]

    def wall(self, steady_s: int) -> int:
        """Wall time at which a steady second began."""
        index = max(0, bisect.bisect_right(self._from_s, steady_s) - 1)
        return steady_s + self.anchors[index].offset_s

    def spans(self, begin_s: float, end_s: float) -> Iterator[tuple[int, int, int]]:
        """Find the steady seconds in a span of wall time.

        Returns:
            (first, end, offset), in the order of the run. The wall clock may have shown a time
            twice or never: then there are several.
        """
        edges = [-math.inf, *self._from_s[1:], math.inf]
        for anchor, from_s, until_s in zip(self.anchors, edges, edges[1:], strict=False):
            first = max(from_s, math.ceil(begin_s - anchor.offset_s))
            end = min(until_s, math.ceil(end_s - anchor.offset_s))
            if first < end:
                yield int(first), int(end), anchor.offset_s
