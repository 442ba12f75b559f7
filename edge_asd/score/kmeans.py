"""k-means, small and deterministic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_asd.records import FloatArray

_MAX_ITERATIONS = 100


def squared_distances(x: FloatArray, y: FloatArray) -> FloatArray:
    """Squared Euclidean distances between rows, (N, D) and (M, D) -> (N, M)."""
    # Decibels lie far from zero: without this, rounding is as large as what tells windows apart.
    origin = y.mean(axis=0)
    x, y = x - origin, y - origin
    cross = x @ y.T
    norms = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)[None, :]
    return np.asarray(np.maximum(norms - 2.0 * cross, 0.0))


def kmeans(
    x: FloatArray, k: int, rng: np.random.Generator, iterations: int = _MAX_ITERATIONS
) -> FloatArray:
    """Cluster centres of ``x`` by Lloyd's algorithm from a k-means++ start.

    Args:
        x: Points, shape (N, D) float32, N >= 1.
        k: Number of clusters; clamped to the number of distinct points.
        rng: Source of the start.
        iterations: Most of Lloyd's iterations; a few do where the centres only thin points out.

    Returns:
        Centres, shape (min(k, distinct points), D) float32.

    Source: Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding" (2007).
    """
    centres = _plus_plus(x, k, rng)
    assigned: NDArray[np.intp] = np.full(len(x), -1)
    for _ in range(iterations):
        nearest = squared_distances(x, centres).argmin(axis=1)  # (N, k) -> (N,)
        if np.array_equal(nearest, assigned):
            break
        assigned = nearest
        for index in range(len(centres)):
            members = x[assigned == index]
            if len(members):  # an emptied cluster keeps its centre
                centres[index] = members.mean(axis=0)
    return centres


def _plus_plus(x: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    chosen = [int(rng.integers(len(x)))]
    nearest = np.square(x - x[chosen[0]]).sum(axis=1, dtype=np.float64)
    while len(chosen) < k and nearest.max() > 0.0:
        chosen.append(int(rng.choice(len(x), p=nearest / nearest.sum())))
        distance = np.square(x - x[chosen[-1]]).sum(axis=1, dtype=np.float64)
        nearest = np.minimum(nearest, distance)
    return x[chosen].copy()
