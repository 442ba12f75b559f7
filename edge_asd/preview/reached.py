"""Where the decision statistic reaches a level, for millions of windows at once.

The same scores count as in `edge_asd.decide`: the last n, none older than n - 1/2 hops, none from
before the machine stopped, and one that stands for several hops counts so many times. The statistic
itself, the k-th largest, is not needed for this: it reaches a level where k scores do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_asd.decide import Rules
from edge_asd.records import FloatArray


class Reached:
    """Scores of one stretch, ready for questions.

    Args:
        at_s: Stream time of every window's end, (N,) ascending.
        scores: (N,)
        hops: Hops that every score stands for, (N,).
        resets: Windows before which everything older is forgotten.
        rules: Persistence and hop.
    """

    def __init__(
        self,
        at_s: NDArray[np.float64],
        scores: FloatArray,
        hops: NDArray[np.int32],
        resets: Sequence[int],
        rules: Rules,
    ) -> None:
        self._k = rules.persistence.k
        # An entry is what the state machine remembers: a score, as often as it counts.
        self._after = np.cumsum(hops, dtype=np.int32)  # (N,) after the last entry of every window
        self._entries, entries_s = scores, at_s  # (E,)
        if len(hops) and hops.max() > 1:
            self._entries = np.repeat(scores, hops)
            back = np.repeat(self._after, hops) - 1 - np.arange(len(self._entries))
            entries_s = np.repeat(at_s, hops) - back * rules.hop_s
        oldest_s = at_s - (rules.persistence.n - 0.5) * rules.hop_s
        first = np.searchsorted(entries_s, oldest_s).astype(np.int32)  # (N,)
        np.maximum(first, self._after - rules.persistence.n, out=first)
        forgotten = np.zeros(len(scores), np.int32)
        for window in resets:
            if 0 < window < len(scores):
                forgotten[window] = self._after[window - 1]
        np.maximum(first, np.maximum.accumulate(forgotten), out=first)
        self._first = first

    def level(self, level: float, windows: slice) -> NDArray[np.bool_]:
        """Whether the statistic is there and at or above a level, for every window of a slice."""
        first, after = self._first[windows], self._after[windows]
        if not len(first):
            return np.zeros(0, np.bool_)
        begin, end = int(first[0]), int(after[-1])
        high = self._entries[begin:end] >= _as_float32(level)
        count = np.zeros(len(high) + 1, np.int32)
        np.cumsum(high, out=count[1:])
        return np.asarray(count[after - begin] - count[first - begin] >= self._k)

    def peak(self, windows: slice) -> float:
        """Largest statistic in a slice of windows; minus infinity where there is none."""
        first, after = self._first[windows], self._after[windows]
        if not len(first):
            return float("-inf")
        scores = np.unique(self._entries[int(first[0]) : int(after[-1])])
        # The statistic is one of the scores: the highest that is reached, found by halves.
        low, high = -1, len(scores) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.level(float(scores[middle]), windows).any():
                low = middle
            else:
                high = middle - 1
        return float(scores[low]) if low >= 0 else float("-inf")


def _as_float32(level: float) -> np.float32:
    """Smallest float32 that is not below a level.

    Scores are float32, and compare with it as they do in double precision with the level itself.
    """
    nearest = np.float32(level)
    return nearest if float(nearest) >= level else np.nextafter(nearest, np.float32(np.inf))
