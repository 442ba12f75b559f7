"""Time for the soak: hours pass in minutes, in step with whoever waits for them.

The machine's clocks stand still until every source waits for a later moment; then they are set to
the earliest of these. So audio is never faster than those who take it in, nothing ever waits for
real time, and what happens when depends on the seed and not on how busy the machine is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE_S = 120.0
"""Real seconds within which everybody must have come to rest."""


class StuckError(Exception):
    """Somebody neither works nor waits."""


class Pace:
    """Clocks of a board that never was switched off; safe to use from every thread.

    Args:
        wall_s: What the wall clock shows at first, whole seconds since 1970.
        counter_s: Time since the machine was booted, whole seconds.
    """

    def __init__(self, wall_s: int = 1_790_000_000, counter_s: int = 5_000) -> None:
        self.ahead_s = wall_s - counter_s
        """How far the wall clock is ahead of the counter; setting it is a step of the clock."""
        self.gate = threading.Event()
        """The worker passes it before it takes a block; shut, it is as if its disk hung."""
        self.gate.set()
        self._now_s = float(counter_s)
        self._turn = threading.Condition()
        self._members: set[str] = set()
        self._targets: dict[str, float] = {}
        self._over = False

    def counter(self) -> float:
        """Seconds that never step."""
        return self._now_s

    def wall(self) -> float:
        """Seconds since 1970 by a clock that may be set."""
        return self._now_s + self.ahead_s

    # Those who wait

    def begin(self, *members: str) -> None:
        """From now on time passes only while all of these wait."""
        with self._turn:
            self._members, self._over = set(members), False

    def end(self) -> None:
        """Nobody is to wait any longer, and time stands still."""
        with self._turn:
            self._over = True
            self._turn.notify_all()

    def poke(self) -> None:
        """Let those who wait look whether they should go on."""
        with self._turn:
            self._turn.notify_all()

    def wait_until(self, who: str, at_s: float, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Wait for a moment; False if there is nothing to wait for any more."""
        with self._turn:
            self._targets[who] = at_s
            self._turn.notify_all()
            while self._now_s < at_s and go_on() and not self._over:
                self._turn.wait()
            del self._targets[who]
            return go_on() and not self._over

    # Whoever lets time pass

    def settle(self) -> None:
        """Wait until all members wait for a later moment.

        Raises:
            StuckError: One does not within the patience.
        """
        with self._turn:
            if not self._turn.wait_for(self._at_rest, PATIENCE_S):
                awake = sorted(name for name in self._members if not self._rests(name))
                raise StuckError(f"{', '.join(awake)}: neither reads nor waits for {PATIENCE_S} s")

    def advance(self, limit_s: float) -> None:
        """Let time pass up to the first moment that somebody waits for, at most to a limit."""
        with self._turn:
            self._now_s = max(self._now_s, min([limit_s, *self._targets.values()]))
            self._turn.notify_all()

    def _at_rest(self) -> bool:
        return all(self._rests(name) for name in self._members)

    def _rests(self, name: str) -> bool:
        return self._targets.get(name, self._now_s) > self._now_s


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait, in real time, until a condition holds.

    Raises:
        StuckError: It does not within the patience.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise StuckError(f"{what}: not within {PATIENCE_S} s")
        time.sleep(0.0003)
