"""Holding readers back: recordings to the chosen speed, programs to the time that passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_asd.steady import SteadyClock

_BLOCK_S = 0.5  # of real time, as microphones
_AHEAD_S = 8.0  # segments of a network stream come as bursts of several seconds
_FASTER = 1.02  # no sound card's clock is that wrong


class Pacer:
    """Gives stream positions a time and holds the reader back to the chosen speed.

    Args:
        speed: Times real time; None does not hold back.
        steady: What positions are dated with.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        speed: float | None,
        steady: SteadyClock | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.speed = speed
        self._clock = clock
        self._opened = clock()
        self._opened_at = (steady or SteadyClock()).now()
        self._closed = threading.Event()

    @property
    def block_s(self) -> float:
        """Stream seconds a block should hold, at most a second.

        A block that somebody waits for ends where he says; the others may be long.
        """
        return 1.0 if self.speed is None else min(1.0, _BLOCK_S * self.speed)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed.is_set()

    def captured_at(self, position_s: float) -> float:
        """Steady time of a stream position.

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


class Throttle:
    """Keeps a live source from running ahead of time.

    A few seconds at once are let through, and whatever a clock may be wrong; a program that pours
    out a recording is held back to little more than real time, and loses nothing by it.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ahead_s = 0.0
        self._at_s = clock()

    def wait_s(self, duration_s: float) -> float:
        """How long to wait before more is read, now that audio of this length was."""
        now_s = self._clock()
        passed_s, self._at_s = now_s - self._at_s, now_s
        self._ahead_s = max(0.0, self._ahead_s - passed_s * _FASTER) + duration_s
        return max(0.0, (self._ahead_s - _AHEAD_S) / _FASTER)
