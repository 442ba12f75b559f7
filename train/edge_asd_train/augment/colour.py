"""A random smooth frequency response for every window, as of a microphone moved a little."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from edge_asd_train.augment.draws import Rng, normal

_TERMS = 6
_LOWEST = 1.0 / 160.0  # of the Nyquist frequency (50 Hz of 8 kHz): below, the response is level


def colour(features: Mapping[str, Tensor], *, spread_db: float, rng: Rng) -> dict[str, Tensor]:
    """Apply one response to all magnitudes of a window.

    A response is a sum of cosines over the octaves, each as large as the others in the mean.

    Args:
        features: Magnitudes with their bins, from 0 Hz up, in the last axis but one: spectrograms
            (B, T, F, 1), spectra (B, F, 1).
        spread_db: Standard deviation of each cosine; 0 changes nothing.
        rng: Source of randomness.
    """
    if not spread_db:
        return dict(features)
    batch = len(next(iter(features.values())))
    weights = spread_db * normal(batch, _TERMS, rng)  # (B, K)
    return {name: x * _factors(weights, x) for name, x in features.items()}


def _factors(weights: Tensor, x: Tensor) -> Tensor:
    """Linear response in the shape of a feature."""
    bins = x.shape[-2]
    frequency = torch.linspace(0.0, 1.0, bins, device=weights.device).clamp_min(_LOWEST)
    place = 1.0 - frequency.log() / math.log(_LOWEST)  # 0 at the lowest, 1 at the Nyquist frequency
    order = torch.arange(1, _TERMS + 1, device=weights.device)
    response_db = weights @ torch.cos(math.pi * order[:, None] * place)  # (B, K) @ (K, F)
    shape = (len(weights), *(1 for _ in x.shape[1:-2]), bins, 1)
    return (10.0 ** (response_db / 20.0)).view(shape)
