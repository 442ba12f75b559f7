"""StatEx: a spectrogram takes over its partner's statistics."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_asd_train.augment.draws import bernoulli, exchange_labels, partner

_EPSILON = 1e-16  # as published: a frame of digital silence has no spread


def statex(
    spectrograms: Tensor, labels: Tensor, *, probability: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Exchange mean and standard deviation over frequency of every frame.

    Args:
        spectrograms: Magnitudes, shape (B, T, F, 1).
        labels: Shape (B, N), rows sum to one.
        probability: Chance of a sample to take over its partner's statistics.
        rng: Source of randomness.

    Returns:
        Spectrograms (B, T, F, 1) and labels (B, 3N) as ``exchange_labels`` makes them.

    Source: Wilkinghoff (arXiv 2312.09578): the "temporal" statistics, one pair a frame.
    """
    exchanged = bernoulli(len(spectrograms), probability, rng)
    variance, mean = torch.var_mean(spectrograms, dim=2, keepdim=True, correction=0)
    deviation = variance.sqrt() + _EPSILON  # (B, T, 1, 1)
    chosen = exchanged[:, None, None, None]
    ratio = torch.where(chosen, partner(deviation) / deviation, 1.0)
    target = torch.where(chosen, partner(mean), mean)
    # The mean goes first: in a frame almost without spread the ratio is huge.
    return torch.addcmul(target, spectrograms - mean, ratio), exchange_labels(labels, exchanged)
