"""Nearest neighbour on a feature itself: the baseline that is hard to beat, and a good partner."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import ScorerError
from edge_asd.records import FloatArray
from edge_asd.score.kmeans import kmeans

MAX_REFERENCES = 512
"""More windows than this are summarised by as many k-means centres."""


class NeighbourScorer:
    """Mean Euclidean distance to the nearest enrolled windows.

    Args:
        references: (N, D) float32.
        neighbours: How many of them to average over; clamped to N.
    """

    def __init__(self, references: FloatArray, neighbours: int = 1) -> None:
        if references.ndim != 2 or not len(references):
            raise ScorerError(f"references of shape {references.shape}; (N, D) with N >= 1 needed")
        self.references = references
        self.neighbours = min(neighbours, len(references))
        # What ``squared_distances`` makes of references in double precision (see `cosine_distances`
        # for why), once instead of for every window.
        exact = references.astype(np.float64)
        self._origin = exact.mean(axis=0)
        self._centred = exact - self._origin
        self._squares = np.square(self._centred).sum(axis=1)

    @classmethod
    def fit(
        cls,
        source: FloatArray,
        target: FloatArray | None,
        neighbours: int,
        rng: np.random.Generator,
    ) -> NeighbourScorer:
        """Keep the windows (N, D), or centres of them where there are more than 512.

        Raises:
            ScorerError: There is nothing to learn from.
        """
        if not len(source):
            raise ScorerError("no normal windows to learn references from")
        kept = source if len(source) <= MAX_REFERENCES else kmeans(source, MAX_REFERENCES, rng)
        if target is not None and len(target):
            kept = np.concatenate([kept, target])
        return cls(kept, neighbours)

    def score(self, x: FloatArray) -> FloatArray:
        """Score features, (B, D) -> (B,); higher is more anomalous."""
        squared = self._squared(x)
        if self.neighbours == 1:
            nearest = np.minimum.reduce(squared, axis=1, keepdims=True)
        else:
            nearest = np.partition(squared, self.neighbours - 1, axis=1)[:, : self.neighbours]
        return np.asarray(np.sqrt(nearest).mean(axis=1), dtype=np.float32)

    def nearest(self, x: FloatArray) -> list[int]:
        """Reference nearest to each window, (B, D) -> B indices."""
        return [int(index) for index in self._squared(x).argmin(axis=1)]

    def state(self) -> dict[str, FloatArray]:
        """What was fitted."""
        return {
            "references": self.references,
            "neighbours": np.asarray([self.neighbours], np.float32),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, FloatArray]) -> NeighbourScorer:
        """Restore what ``state`` gave."""
        return cls(state["references"], int(state["neighbours"][0]))

    def _squared(self, x: FloatArray) -> NDArray[np.float64]:
        if x.shape[-1] != self.references.shape[1]:
            raise ScorerError(
                f"features have {x.shape[-1]} values, the references {self.references.shape[1]}"
            )
        centred = x.astype(np.float64) - self._origin
        squares = np.square(centred).sum(axis=1)[:, None] + self._squares
        return np.asarray(np.maximum(squares - 2.0 * (centred @ self._centred.T), 0.0))
