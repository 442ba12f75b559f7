"""The bounded queue between a capture thread and the worker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from edge_asd.records import Block


class BlockQueue:
    """Blocks in order, bounded by the seconds of audio they hold.

    Full, it either makes the writer wait or drops the oldest blocks; what is dropped stays visible
    as a jump in ``Block.start``.

    Args:
        limit_s: Most audio it holds; one block always fits.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._blocks: deque[tuple[Block, float]] = deque()
        self._held_s = 0.0
        self._ended = False
        self._changed = threading.Condition()
        self._announce: Callable[[], None] = lambda: None

    def tell(self, announce: Callable[[], None]) -> None:
        """Have this called when a block comes, or the end: whoever reads may wait elsewhere."""
        with self._changed:
            self._announce = announce
            if self._blocks or self._ended:
                announce()

    def put_dropping(self, block: Block, duration_s: float) -> list[Block]:
        """Add a block; return the oldest ones that had to make room."""
        dropped = []
        with self._changed:
            while not self._fits(duration_s):
                dropped.append(self._pop())
            self._push(block, duration_s)
        return dropped

    def put_waiting(self, block: Block, duration_s: float, go_on: Callable[[], bool]) -> bool:
        """Add a block once there is room; False once ended or if ``go_on`` says no.

        It is asked twice a second.
        """
        with self._changed:
            while not self._fits(duration_s):
                if self._ended or not go_on():
                    return False
                self._changed.wait(0.5)
            self._push(block, duration_s)
        return True

    def get(self, timeout_s: float) -> Block | None:
        """Take the oldest block; None if none came in time or none will ever come."""
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._ended, timeout_s)
            if not self._blocks:
                return None
            block = self._pop()
            self._changed.notify_all()
            return block

    def end(self) -> None:
        """Nothing more will come: wake whoever waits, reader or writer."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._announce()

    @property
    def spent(self) -> bool:
        """Ended and empty."""
        with self._changed:
            return self._ended and not self._blocks

    @property
    def held_s(self) -> float:
        """Seconds of audio that wait."""
        with self._changed:
            return self._held_s

    def _fits(self, duration_s: float) -> bool:
        return not self._blocks or self._held_s + duration_s <= self._limit_s

    def _push(self, block: Block, duration_s: float) -> None:
        self._blocks.append((block, duration_s))
        self._held_s += duration_s
        self._changed.notify_all()
        self._announce()

    def _pop(self) -> Block:
        block, duration_s = self._blocks.popleft()
        self._held_s = self._held_s - duration_s if self._blocks else 0.0
        return block
