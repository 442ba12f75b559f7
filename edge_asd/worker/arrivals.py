"""Who has something for the worker: one place to wait for all sources."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Arrivals(Generic[T]):
    """Those who have announced themselves, each once, in the order in which they came.

    Waiting costs the same however many there are, and nobody is asked who has nothing.
    """

    def __init__(self) -> None:
        self._here: dict[int, T] = {}  # by identity; a dict keeps the order
        self._came = threading.Condition()
        self._woken = False

    def announce(self, who: T) -> None:
        """Somebody has something; called by any thread."""
        with self._came:
            self._here[id(who)] = who
            self._came.notify()

    def wake(self) -> None:
        """Whoever waits has something else to do; called by any thread."""
        with self._came:
            self._woken = True
            self._came.notify()

    def announcer(self, who: T) -> Callable[[], None]:
        """What somebody calls to announce himself."""
        return lambda: self.announce(who)

    def take(self, timeout_s: float) -> list[T]:
        """All who are here; nobody if nobody came in time, or if woken up."""
        with self._came:
            self._came.wait_for(lambda: self._here or self._woken, timeout_s)
            here, self._here, self._woken = self._here, {}, False
        return list(here.values())
