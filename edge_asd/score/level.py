"""How far a window's level lies from the levels heard at enrolment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import ScorerError
from edge_asd.records import FloatArray


class LevelScorer:
    """Decibels to the nearest enrolled level; a spectrum distance alone dilutes a change of level.

    Args:
        levels_dbfs: Enrolled levels after gain, (N,) float32, in any order.
    """

    def __init__(self, levels_dbfs: FloatArray) -> None:
        if levels_dbfs.ndim != 1 or not len(levels_dbfs):
            raise ScorerError(f"levels of shape {levels_dbfs.shape}; (N,) with N >= 1 needed")
        self.levels_dbfs = np.sort(levels_dbfs)

    @classmethod
    def fit(cls, source: FloatArray, target: FloatArray | None) -> LevelScorer:
        """Keep the levels (N,) of enrolled and of confirmed windows."""
        return cls(source if target is None else np.concatenate([source, target]))

    def score(self, levels_dbfs: FloatArray) -> FloatArray:
        """Score levels, (B,) -> (B,) in dB, at least 0."""
        reference = self.levels_dbfs[self._nearest(levels_dbfs)]
        return np.asarray(np.abs(levels_dbfs - reference), dtype=np.float32)

    def nearest(self, levels_dbfs: FloatArray) -> list[int]:
        """Enrolled level nearest to each, (B,) -> B indices into the sorted levels."""
        return [int(index) for index in self._nearest(levels_dbfs)]

    def state(self) -> dict[str, FloatArray]:
        """What was fitted."""
        return {"levels_dbfs": self.levels_dbfs}

    @classmethod
    def from_state(cls, state: Mapping[str, FloatArray]) -> LevelScorer:
        """Restore what ``state`` gave."""
        return cls(state["levels_dbfs"])

    def _nearest(self, levels_dbfs: FloatArray) -> NDArray[np.intp]:
        above = np.minimum(self.levels_dbfs.searchsorted(levels_dbfs), len(self.levels_dbfs) - 1)
        below = np.maximum(above - 1, 0)
        to_above = np.abs(levels_dbfs - self.levels_dbfs[above])
        to_below = np.abs(levels_dbfs - self.levels_dbfs[below])
        return np.where(to_below <= to_above, below, above)
