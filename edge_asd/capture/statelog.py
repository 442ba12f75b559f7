"""The states of a source in the log: once each, not a thousand times."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

REPEAT_S = 600.0
"""What has not changed is said again after so long, and how often it happened."""

_AT_ONCE = 6  # changes told without a wait; a microphone with a loose contact has thousands

logger = logging.getLogger(__name__)


class StateLog:
    """Writes changes of state at once, and repeated ones with a count every ten minutes.

    Args:
        name: Of the source.
        clock: Monotonic seconds.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._clock = name, clock
        self._said = ""
        self._said_s = clock()
        self._due: tuple[int, str] | None = None  # the state, while that is not in the log
        self._untold = 0  # changes and repetitions since the last line
        self._credit = float(_AT_ONCE)  # lines
        self._credit_s = self._said_s

    def up(self, details: str) -> None:
        """It delivers."""
        self._state(logging.INFO, f"state=up {details}")

    def down(self, reason: str) -> None:
        """It does not; called after every attempt."""
        self._state(logging.WARNING, f"state=down reason={reason!r}")

    def look(self) -> None:
        """Write what had to wait; called every now and then while nothing changes."""
        if self._due is None:
            return
        level, text = self._due
        now_s = self._clock()
        self._credit = min(_AT_ONCE, self._credit + (now_s - self._credit_s) / REPEAT_S)
        self._credit_s = now_s
        repeated = text == self._said and now_s - self._said_s < REPEAT_S
        if repeated or self._credit < 1.0:
            return
        self._credit -= 1.0
        more = f" unlogged={self._untold - 1}" if self._untold > 1 else ""
        logger.log(level, "source=%s %s%s", self._name, text, more)
        self._said, self._said_s, self._due, self._untold = text, now_s, None, 0

    def _state(self, level: int, text: str) -> None:
        self._due = level, text
        self._untold += 1
        self.look()
