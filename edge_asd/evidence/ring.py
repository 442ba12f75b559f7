"""The last seconds of one channel as the source gave them, found again by stream index."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

import numpy as np

from edge_asd.records import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A stretch of the stream; what was lost in it is silence, and named."""

    samples: FloatArray
    """(n,) float32; begins and ends with audio that is there, or is empty."""
    start: int
    """Stream index of the first sample."""
    gaps: tuple[tuple[int, int], ...]
    """Stream indices (begin, end) of lost audio, in order."""


class Ring:
    """So many samples and never more; not thread-safe.

    Lost audio takes no room: what is kept are the newest samples that exist, however far apart they
    lie in the stream. A stream that goes back in its count begins anew.

    Args:
        capacity: Samples kept.

    Cost: one copy of every sample pushed.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring of {capacity} samples keeps nothing")
        self.capacity = capacity
        self._buffer = np.zeros(capacity, np.float32)
        self._taken = 0  # samples ever taken in; sample i of them lies at i % capacity
        # (stream index, number among the samples ever taken in) where every stretch begins.
        self._stretches: deque[tuple[int, int]] = deque()

    @property
    def begin(self) -> int:
        """Stream index of the oldest sample kept; 0 where there is none."""
        if not self._stretches:
            return 0
        start, taken = self._stretches[0]
        return start + max(0, self._oldest - taken)

    @property
    def end(self) -> int:
        """Stream index after the newest sample; 0 where there is none."""
        if not self._stretches:
            return 0
        start, taken = self._stretches[-1]
        return start + self._taken - taken

    def push(self, mono: FloatArray, start: int) -> None:
        """Take in samples (n,) float32 that begin at stream index ``start``."""
        if not len(mono):
            return
        if self._stretches and start < self.end:
            self.clear()
        if not self._stretches or start != self.end:
            self._stretches.append((start, self._taken))
        skipped = max(0, len(mono) - self.capacity)
        self._taken += skipped
        self._write(mono[skipped:])
        while len(self._stretches) > 1 and self._stretches[1][1] <= self._oldest:
            self._stretches.popleft()

    def read(self, begin: int, end: int) -> Span:
        """What is kept of the stream from ``begin`` up to but not including ``end``.

        Raises:
            ValueError: More is asked for than the ring could ever hold.
        """
        if end - begin > self.capacity:
            raise ValueError(f"{end - begin} samples asked of a ring of {self.capacity}")
        pieces = self._pieces(begin, end)
        if not pieces:
            return Span(np.empty(0, np.float32), begin, ())
        first, last = pieces[0][0], pieces[-1][1]
        samples = np.zeros(last - first, np.float32)
        for piece_begin, piece_end, taken in pieces:
            self._copy(taken, samples[piece_begin - first : piece_end - first])
        gaps = [(before[1], after[0]) for before, after in itertools.pairwise(pieces)]
        return Span(samples, first, tuple(gaps))

    def clear(self) -> None:
        """Forget everything."""
        self._stretches.clear()
        self._taken = 0

    @property
    def _oldest(self) -> int:
        """Number of the oldest sample kept among those ever taken in."""
        return max(0, self._taken - self.capacity)

    def _pieces(self, begin: int, end: int) -> list[tuple[int, int, int]]:
        """Contiguous parts of a range: stream indices (begin, end) and number of the first."""
        pieces = []
        following = [*(taken for _, taken in self._stretches), self._taken][1:]
        for (start, taken), next_taken in zip(self._stretches, following, strict=True):
            low = max(begin, start, start + self._oldest - taken)
            high = min(end, start + next_taken - taken)
            if low < high:
                pieces.append((low, high, taken + low - start))
        return pieces

    def _write(self, mono: FloatArray) -> None:
        at = self._taken % self.capacity
        room = self.capacity - at
        self._buffer[at : at + len(mono)] = mono[:room]
        self._buffer[: max(0, len(mono) - room)] = mono[room:]
        self._taken += len(mono)

    def _copy(self, taken: int, out: FloatArray) -> None:
        at = taken % self.capacity
        room = self.capacity - at
        out[:room] = self._buffer[at : at + len(out)]
        out[room:] = self._buffer[: max(0, len(out) - room)]
