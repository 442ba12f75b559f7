"""Unit vectors and the distances between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import ScorerError
from edge_asd.records import FloatArray


def unit(z: FloatArray) -> FloatArray:
    """Scale vectors to unit Euclidean length, (..., D) -> (..., D); zero stays zero."""
    norm = np.linalg.norm(z, axis=-1, keepdims=True)
    return np.asarray(z / np.maximum(norm, 1e-12), dtype=np.float32)


def cosine_distances(
    z: FloatArray, references: FloatArray | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cosine distances in [0, 2], (..., D) and (K, D) of unit length -> (..., K).

    Raises:
        ScorerError: The sizes differ.
    """
    if z.shape[-1] != references.shape[1]:
        raise ScorerError(
            f"embeddings have {z.shape[-1]} values, the references {references.shape[1]}"
        )
    # In double precision: the rounding of a product in single precision depends on how many
    # windows are scored together, and a close reference leaves little else than rounding.
    exact = z.astype(np.float64)
    norm = np.sqrt(np.add.reduce(np.square(exact), axis=-1, keepdims=True))
    exact /= np.maximum(norm, 1e-12)
    distances: NDArray[np.float64] = exact @ references.T.astype(np.float64, copy=False)
    return np.subtract(1.0, distances, out=distances)
