"""Reading a recording as if it happened now: its clock and its speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pacer:
    """Gives stream positions a wall time and holds the reader back to the chosen speed.

    Args:
        speed: Times real time; None does not hold back.
        clock: Monotonic seconds.
        wall: Seconds since 1970 UTC.
    """

    def __init__(
        self,
        speed: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.speed = speed
        self._clock = clock
        self._opened = clock()
        self._opened_at = wall()
        self._closed = threading.Event()

    @property
    def block_s(self) -> float:
        """Stream seconds a block should hold: about 0.1 s of real time, at most a second."""
        return 1.0 if self.speed is None else min(1.0, 0.1 * self.speed)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed.is_set()

    def captured_at(self, position_s: float) -> float:
        """Wall time of a stream position, seconds since 1970 UTC.

        At another speed than real time it is the recording's own time, counted from the opening:
        a second of stream is a second in every message.
        """
        return self._opened_at + position_s

    def hold(self, position_s: float) -> bool:
        """Wait until the stream may have got to a position; False once closed."""
        if self.speed is not None:
            self._closed.wait(max(0.0, self._opened + position_s / self.speed - self._clock()))
        return not self.closed

    def close(self) -> None:
        """End all waiting."""
        self._closed.set()
