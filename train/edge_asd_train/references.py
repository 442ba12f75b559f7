"""Centres of the machines that a network was trained on, for ``references.npz`` of a bundle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_asd.records import FloatArray
from edge_asd.score.cosine import unit
from edge_asd.score.kmeans import kmeans
from edge_asd_train.datasets import ClipStore
from edge_asd_train.recipe import Recipe

CLUSTERS = 16
MAX_MACHINES = 4096
MAX_BYTES = 2**20
"""Of all centres together; where machines are many, each has fewer than ``CLUSTERS``."""

_MAX_WINDOWS = 128  # of a machine: many times the number of centres, and soon embedded
_BATCH = 16
_BYTES = 2  # of a number in half precision

Embed = Callable[[FloatArray], FloatArray]
"""Windows (B, L) float32 to embeddings (B, S, D)."""


def clusters_of(machines: int, embedding_size: int) -> int:
    """Centres of each of a number of machines, 1 to ``CLUSTERS``."""
    return min(CLUSTERS, max(1, MAX_BYTES // (_BYTES * embedding_size * machines)))


def machine_centres(
    clips: ClipStore,
    recipe: Recipe,
    embed: Embed,
    clusters: int,
    *,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, FloatArray]:
    """k-means centres of every machine's training clips, faulty ones left out.

    Args:
        clips: What was trained on, after decoding.
        recipe: Window, gain and seed. Clips are levelled as for training, but not disturbed.
        embed: The network.
        clusters: Centres of a machine; clamped to its windows.
        advance: Called after every machine.

    Returns:
        (K, D) float32 of unit length by machine.

    Cost: embeds at most 128 windows a machine, evenly spread over its clips.
    """
    gains_db: NDArray[np.float64] = np.zeros(len(clips.machine_names))
    if recipe.gain.per_machine:
        gains_db = recipe.gain.reference_dbfs - clips.machine_levels_dbfs()
    centres = {}
    for number, name in enumerate(clips.machine_names):
        own = np.flatnonzero(~clips.faulty & (clips.machines == number))
        if len(own):
            factor = np.float32(10.0 ** (gains_db[number] / 20.0))
            z = _embedded(clips, own, factor, recipe.window_samples, embed)
            rng = np.random.default_rng([recipe.seed, number])
            centres[name] = unit(kmeans(z, clusters, rng))
        advance()
    return centres


def _embedded(
    clips: ClipStore, own: NDArray[np.intp], factor: np.float32, length: int, embed: Embed
) -> FloatArray:
    """Unit embeddings (N, D) of windows that touch, the last of a clip ending with it."""
    places = [(int(clip), start) for clip in own for start in _starts(clips, int(clip), length)]
    chosen = np.unique(np.linspace(0, len(places) - 1, min(len(places), _MAX_WINDOWS)).astype(int))
    parts = []
    for first in range(0, len(chosen), _BATCH):
        batch = [places[i] for i in chosen[first : first + _BATCH]]
        windows = np.stack([clips.window(clip, start, length) for clip, start in batch])
        parts.append(unit(embed(windows * factor)))
    z = np.concatenate(parts)  # (N, S, D)
    return z.reshape(-1, z.shape[-1])


def _starts(clips: ClipStore, clip: int, length: int) -> list[int]:
    n = int(clips.lengths[clip])
    if n <= length:
        return [0]  # a short clip repeats
    starts = list(range(0, n - length + 1, length))
    return starts if starts[-1] + length == n else [*starts, n - length]
