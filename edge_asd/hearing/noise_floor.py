"""How quiet it becomes at a microphone: the quietest half second of the last minute."""

from __future__ import annotations

import math
from collections import deque

SPAN_S = 60.0
_PIECE_S = 0.5
"""What a level is the mean of; a shorter one would be chance."""
_SILENCE = 1e-20
"""Power of silence, so that there is a logarithm of it."""


class NoiseFloor:
    """Follows the levels of one channel; not thread-safe.

    A gap is no quiet: what is not pushed does not count, and nothing is carried over from before
    it. At most one entry for each half second is kept.
    """

    def __init__(self) -> None:
        self._heard_s = 0.0
        self._filled_s = 0.0
        self._energy = 0.0
        self._pieces: deque[tuple[float, float]] = deque()  # end, level; levels only grow

    def push(self, level_dbfs: float, seconds: float) -> float | None:
        """Take in a block.

        Args:
            level_dbfs: Its level, dB of full scale.
            seconds: Its length.

        Returns:
            The noise floor in dB of full scale; None before the first half second is complete.

        >>> floor = NoiseFloor()
        >>> [floor.push(level, 0.5) for level in (-20.0, -50.0, -30.0)]
        [-20.0, -50.0, -50.0]
        """
        self._heard_s += seconds
        self._filled_s += seconds
        self._energy += 10 ** (level_dbfs / 10) * seconds
        if self._filled_s >= _PIECE_S - 1e-9:
            self._complete()
        while self._pieces and self._pieces[0][0] < self._heard_s - SPAN_S:
            self._pieces.popleft()
        return self._pieces[0][1] if self._pieces else None

    def interrupt(self) -> None:
        """What comes next does not continue what was heard."""
        self._filled_s, self._energy = 0.0, 0.0

    def _complete(self) -> None:
        level = 10 * math.log10(max(self._energy / self._filled_s, _SILENCE))
        self.interrupt()
        # A level that a later, quieter one outlasts will never be the lowest again.
        while self._pieces and self._pieces[-1][1] >= level:
            self._pieces.pop()
        self._pieces.append((self._heard_s, level))
