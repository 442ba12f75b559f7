"""The FeatEx back end: cosine distance to cluster centres of normal embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import ScorerError
from edge_asd.records import FloatArray
from edge_asd.score.cosine import cosine_distances, unit
from edge_asd.score.kmeans import kmeans


class CentreScorer:
    """Minimum cosine distance to k-means centres of the source and all target embeddings.

    Args:
        references: (K, D) float32 of unit length.

    Source: Wilkinghoff (2023), back end of the FeatEx system. Differs: the centres are scaled back
    to unit length, so that the score is a cosine distance.
    """

    def __init__(self, references: FloatArray) -> None:
        if references.ndim != 2 or not len(references):
            raise ScorerError(f"references of shape {references.shape}; (K, D) with K >= 1 needed")
        self.references = references
        self._exact = references.astype(np.float64)  # what distances are computed in

    @classmethod
    def fit(
        cls,
        source: FloatArray,
        target: FloatArray | None,
        clusters: int,
        rng: np.random.Generator,
    ) -> CentreScorer:
        """Learn references.

        Args:
            source: Embeddings of enrolled windows, (N, S, D), N >= 1.
            target: Embeddings of audio confirmed as normal later, (M, S, D), kept one by one.
            clusters: Number of centres; clamped to the data.
            rng: Source of the k-means start.

        Raises:
            ScorerError: There is nothing to learn from.
        """
        if not len(source):
            raise ScorerError("no normal windows to learn references from")
        points = unit(source).reshape(-1, source.shape[-1])  # (N, S, D) -> (N*S, D)
        centres = unit(kmeans(points, clusters, rng))
        if target is not None and len(target):
            centres = np.concatenate([centres, unit(target).reshape(-1, target.shape[-1])])
        return cls(centres)

    def score(self, z: FloatArray) -> FloatArray:
        """Score embeddings, (B, S, D) -> (B,) in [0, 2]; the mean over segments."""
        distances = cosine_distances(z, self._exact)  # (B, S, D) -> (B, S, K)
        return np.asarray(distances.min(axis=-1).mean(axis=-1), dtype=np.float32)

    def nearest(self, z: FloatArray) -> list[int]:
        """Reference nearest to each window, (B, S, D) -> B indices."""
        distances = cosine_distances(z, self._exact)  # (B, S, D) -> (B, S, K)
        nearest: NDArray[np.intp] = distances.min(axis=1).argmin(axis=-1)
        return [int(index) for index in nearest]

    def state(self) -> dict[str, FloatArray]:
        """What was fitted."""
        return {"references": self.references}

    @classmethod
    def from_state(cls, state: Mapping[str, FloatArray]) -> CentreScorer:
        """Restore what ``state`` gave."""
        return cls(state["references"])
