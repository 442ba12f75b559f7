"""Scoring that cannot keep up scores less often, for every monitor alike, and never skips audio.

Windows overlap: with a window of ten hops nine of ten may go unscored before a single sample goes
unheard. So when audio piles up, the hop between scored windows is stretched by whole multiples, and
shortened again, more and more hesitantly, once there is nothing left to catch up with.
"""

from __future__ import annotations

LATE_S = 5.0
"""So much audio waits before the hop is stretched: a hiccup is no overload."""
CAUGHT_UP_S = 1.0
"""So little waits while scoring keeps up."""
RAISE_EVERY_S = 2.0
"""A longer hop needs a moment to show."""
FIRST_PATIENCE_S = 10.0
"""So long it must have kept up before a shorter hop is tried …"""
LAST_PATIENCE_S = 600.0
"""… and at most so long, after tries that failed."""


class Overload:
    """How many hops lie between two scored windows; explicit state, driven by what waits.

    Args:
        limit: Most hops: a window's length, so that every sample lies in a scored window.
    """

    def __init__(self, limit: int) -> None:
        self.limit = max(1, limit)
        self.stretch = 1
        """Hops from one scored window to the next; 1 while scoring keeps up."""
        self._patience_s = FIRST_PATIENCE_S
        self._changed_s = -float("inf")
        self._waited_s = 0.0  # audio that waited at the last change
        self._kept_up_since_s: float | None = None

    @property
    def exhausted(self) -> bool:
        """Even the longest hop may not be enough: what is late will be dropped."""
        return self.stretch >= self.limit

    def update(self, waiting_s: float, now_s: float) -> bool:
        """Take in how much audio waits; True when the stretch changed.

        Args:
            waiting_s: Of the live source that is furthest behind, seconds.
            now_s: Monotonic time.
        """
        if waiting_s > LATE_S:
            self._kept_up_since_s = None
            return self._raise(waiting_s, now_s)
        if waiting_s > CAUGHT_UP_S or self.stretch == 1:
            self._kept_up_since_s = None
            return False
        if self._kept_up_since_s is None:
            self._kept_up_since_s = now_s
        if now_s - self._kept_up_since_s < self._patience_s:
            return False
        self._kept_up_since_s = None
        return self._set(self.stretch - 1, waiting_s, now_s)

    def _raise(self, waiting_s: float, now_s: float) -> bool:
        falling = waiting_s < self._waited_s
        self._waited_s = waiting_s
        soon = now_s - self._changed_s < RAISE_EVERY_S
        if soon or (falling and self.stretch > 1) or self.stretch == self.limit:
            return False
        if now_s - self._changed_s < 2.0 * self._patience_s:
            # The last step towards the normal hop was one too many.
            self._patience_s = min(LAST_PATIENCE_S, 2.0 * self._patience_s)
        else:
            self._patience_s = FIRST_PATIENCE_S
        return self._set(min(self.limit, max(self.stretch + 1, self.stretch * 2)), waiting_s, now_s)

    def _set(self, stretch: int, waiting_s: float, now_s: float) -> bool:
        self.stretch, self._waited_s, self._changed_s = stretch, waiting_s, now_s
        return True
