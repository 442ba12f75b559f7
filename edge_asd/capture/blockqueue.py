"""The bounded queue between a capture thread and the worker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from edge_asd.records import Block

TOGETHER_S = 0.5
"""Audio that waits for more, so that it is handled at once, at most; see `BlockQueue.expect`."""


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
        self._awaited = 0

    def tell(self, announce: Callable[[], None]) -> None:
        """Have this called when audio is due, or the end: whoever reads may wait elsewhere."""
        with self._changed:
            self._announce = announce
            if self.due:
                announce()

    def expect(self, index: int) -> None:
        """Wait with the announcement until the audio up to a stream index is there.

        Nothing can be said earlier, and to be woken up for every block costs more than to handle
        it. Half a second of audio is announced in any case.
        """
        with self._changed:
            wished, self._awaited = self._awaited, index
            # Said twice, or after the end, it is nothing to come for once more.
            if index != wished and self._blocks and self.due:
                self._announce()

    @property
    def due(self) -> bool:
        """Whether whoever reads should take what is there."""
        with self._changed:
            if self._ended or not self._blocks:
                return self._ended
            newest, _ = self._blocks[-1]
            reached = newest.start + len(newest.samples) >= self._awaited
            return reached or self._held_s >= TOGETHER_S

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

    def take(self) -> Block | None:
        """Take the oldest blocks as one, as far as they continue one another; None without any.

        It lasts half a second, or up to a block more.
        """
        with self._changed:
            if not self._blocks:
                return None
            left_s, parts = self._held_s - TOGETHER_S, [self._pop()]
            while self._blocks and self._held_s > left_s and self._continues(parts[-1]):
                parts.append(self._pop())
            self._changed.notify_all()
        return parts[0] if len(parts) == 1 else _joined(parts)

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
        if self.due:
            self._announce()

    def _continues(self, block: Block) -> bool:
        """Whether the oldest block goes on where this one ends."""
        following, _ = self._blocks[0]
        return (
            following.start == block.start + len(block.samples)
            and following.samples.shape[1] == block.samples.shape[1]
            and not following.overflowed
        )

    def _pop(self) -> Block:
        block, duration_s = self._blocks.popleft()
        self._held_s = self._held_s - duration_s if self._blocks else 0.0
        return block


def _joined(blocks: list[Block]) -> Block:
    first = blocks[0]
    samples = np.concatenate([block.samples for block in blocks])
    return Block(samples, first.start, first.captured_at, overflowed=first.overflowed)
