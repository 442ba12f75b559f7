"""Who wants to know when the broker has a message; forgotten with the process."""

from __future__ import annotations

import threading
from collections.abc import Callable

Receipt = Callable[[], None]
"""Called by the thread that heard the broker; must be quick."""

LIMIT = 1024
"""Messages that are waited for at most; the oldest are forgotten, uncounted: only a measurement is
missing then."""


class Receipts:
    """By monitor and sequence number; safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, int], Receipt] = {}  # a dict keeps the order

    def expect(self, monitor: str, seq: int, receipt: Receipt | None) -> None:
        """Have ``receipt`` called once the broker has that message; None: nobody wants to know."""
        with self._lock:
            self._waiting.pop((monitor, seq), None)
            if receipt is not None:
                self._waiting[monitor, seq] = receipt
            if len(self._waiting) > LIMIT:
                del self._waiting[next(iter(self._waiting))]

    def received(self, monitor: str, seq: int) -> None:
        """The broker has it."""
        with self._lock:
            receipt = self._waiting.pop((monitor, seq), None)
        if receipt is not None:
            receipt()
