"""What is kept of normal embeddings: few enough for a small computer, and more where few are known.

All vectors here have unit length, and all randomness comes from the caller.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asd.records import FloatArray
from edge_asd.score.cosine import cosine_distances, unit
from edge_asd.score.kmeans import kmeans

MAX_REFERENCES = 1024
"""References of one bank; more points are summarised by as many k-means centres. 1 MB at D = 256;
a section of DCASE, 990 source and 10 target clips, is kept whole."""

SMOTE_SHARE = 0.2
"""Targets, real and synthetic, a source reference."""
SMOTE_NEIGHBOURS = 2
MEMMIXUP_ALPHA = 0.9
"""Share of the target in a mixture."""

_MAX_POINTS = 4 * MAX_REFERENCES
_SUMMARY_ITERATIONS = 5
_ALIKE = 1e-6  # rounding to single precision alone moves a reference by about 1e-7


def evenly(count: int, at_most: int) -> NDArray[np.intp]:
    """Indices of at most so many of ``count`` things, spread evenly."""
    if count <= at_most:
        return np.arange(count)
    return np.arange(at_most) * count // at_most


def summarised(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The points, or centres of them where there are too many, (N, D) -> (min(N, 1024), D).

    Of more than 4096 points 4096 spread evenly are looked at, which bounds memory and time.
    """
    if len(points) <= MAX_REFERENCES:
        return points
    seen = points[evenly(len(points), _MAX_POINTS)]
    return unit(kmeans(seen, MAX_REFERENCES, rng, _SUMMARY_ITERATIONS))


def class_means(points: FloatArray, labels: NDArray[Any]) -> FloatArray:
    """Mean of the points of every label, scaled back to unit length, (N, D) -> (classes, D)."""
    _, number = np.unique(labels, return_inverse=True)
    means = [points[number == label].mean(axis=0) for label in range(int(number.max()) + 1)]
    return unit(np.stack(means))


def smote(targets: FloatArray, wanted: int, rng: np.random.Generator) -> FloatArray:
    """Oversample by points on the lines between targets and their nearest targets.

    Args:
        targets: (M, D).
        wanted: How many there shall be; no more than 1024 are made.
        rng: Chooses targets, neighbours and places on the lines.

    Returns:
        The targets and the synthetic ones, (max(M, wanted), D); a lone target stays alone.

    Source: Chawla et al., "SMOTE: synthetic minority over-sampling technique" (2002); for anomalous
    sound Wilkinghoff et al. (ICASSP 2025). Differs: scaled back to unit length.
    """
    missing = min(wanted, MAX_REFERENCES) - len(targets)
    if len(targets) < 2 or missing <= 0:
        return targets
    distances = cosine_distances(targets, targets)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argsort(axis=1)[:, : min(SMOTE_NEIGHBOURS, len(targets) - 1)]
    first = rng.integers(len(targets), size=missing)
    second = nearest[first, rng.integers(nearest.shape[1], size=missing)]
    share = rng.random(size=(missing, 1), dtype=np.float32)
    made = targets[first] + share * (targets[second] - targets[first])
    return np.concatenate([targets, unit(made)])


def memmixup(targets: FloatArray, source: FloatArray) -> FloatArray:
    """Add mixtures of every target with its nearest source references.

    Args:
        targets: (M, D), M >= 1.
        source: (K, D).

    Returns:
        The targets, and alpha * target + (1 - alpha) * source for as many of the nearest sources of
        every target as fit into 1024 references, (M * (1 + nearest), D).

    Source: Saengthong and Shinozaki, "Deep generic representations for domain-generalized anomalous
    sound detection" (arXiv 2409.05035), MemMixup. Differs: scaled back to unit length.
    """
    count = min(len(source), MAX_REFERENCES // len(targets) - 1)
    nearest = cosine_distances(targets, source).argsort(axis=1, kind="stable")[:, :count]
    mixed = MEMMIXUP_ALPHA * targets[:, None] + (1.0 - MEMMIXUP_ALPHA) * source[nearest]
    return np.concatenate([targets, unit(mixed).reshape(-1, targets.shape[1])])


def local_spacing(references: FloatArray, sources: int, neighbours: int) -> NDArray[np.float64]:
    """Mean cosine distance of every reference to its nearest others, (K, D) -> (K,), positive.

    The neighbours of a reference may lie in either domain, but there are never more of them than
    other references of its own domain: ten targets far from the source are no neighbours of it.
    A domain of a single reference, or of none but duplicates, has no density of its own and takes
    the median of the other's.

    Args:
        references: (K, D), those of the source first.
        sources: How many of them are of the source.
        neighbours: References that make a density.

    Returns:
        At least a tenth of the domain's mean, so that duplicates do not become infinitely dense;
        ones where neither domain has a density.
    """
    distances = np.maximum(cosine_distances(references, references), 0.0)
    np.fill_diagonal(distances, np.inf)
    distances.partition(min(neighbours, len(references) - 1), axis=1)
    spacing = np.full(len(references), np.nan)
    for domain in (slice(0, sources), slice(sources, None)):
        count = min(neighbours, len(spacing[domain]) - 1)
        if count < 1:
            continue
        found = np.sort(distances[domain, :neighbours], axis=1)[:, :count].mean(axis=1)
        if found.mean() > _ALIKE:
            spacing[domain] = np.maximum(found, 0.1 * found.mean())
    unknown = np.isnan(spacing)
    if unknown.all():
        return np.ones(len(references))
    spacing[unknown] = np.median(spacing[~unknown])
    return spacing
