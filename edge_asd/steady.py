"""Time that does not step: what everything inside is dated with.

The wall clock of a board may start in 1970, be set forward by fifty years once the network is there
and be put back by an hour by hand. Inside the daemon only steady time is used; it becomes wall time
where a message or a file is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

STEP_S = 1.0
"""A change of the wall clock against the steady one that counts as a step; less is a slew."""


def boottime_s() -> float:
    """Seconds since the machine was booted, suspension included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Step:
    """The wall clock was set."""

    at_s: float
    """Steady time at which it was noticed."""
    by_s: float
    """How far it was set forward, negative for back."""
    offset_s: float
    """Wall time minus steady time from now on."""


class SteadyClock:
    """Wall time at the start plus what the boot-time clock has counted since.

    ``now``, ``offset_s`` and ``wall`` are safe to use from every thread; one thread calls ``look``.

    Args:
        wall: Seconds since 1970 UTC; may step.
        counter: Seconds that never step and go on during a suspension.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        counter: Callable[[], float] = boottime_s,
    ) -> None:
        self._wall, self._counter = wall, counter
        self._from_s = wall() - counter()
        self.offset_s = 0.0
        """Wall time minus steady time, as last looked at."""

    def now(self) -> float:
        """Seconds since 1970 as they were at the start, counted on without steps."""
        return self._from_s + self._counter()

    def wall(self, steady_s: float) -> float:
        """Wall time of a steady time, by the clock as it is set now."""
        return steady_s + self.offset_s

    def look(self) -> Step | None:
        """Compare with the wall clock; tells of a step once, and follows a slew silently."""
        now_s = self.now()
        offset_s = self._wall() - now_s
        by_s = offset_s - self.offset_s
        self.offset_s = offset_s
        return Step(now_s, by_s, offset_s) if abs(by_s) >= STEP_S else None
