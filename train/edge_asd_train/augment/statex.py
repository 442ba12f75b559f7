"""StatEx: a spectrogram takes over its partner's statistics."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_asd_train.augment.draws import Rng, bernoulli, exchange_labels, label_blocks, partner

_EPSILON = 1e-16  # as published: a frame of digital silence has no spread
_TIME, _FREQUENCY = 1, 2  # axes of (B, T, F, 1)


def statex(
    spectrograms: Tensor,
    labels: Tensor,
    *,
    probability: float,
    probability_time: float = 0.0,
    rng: Rng,
) -> tuple[Tensor, Tensor]:
    """Exchange mean and standard deviation, those over frequency or those over time.

    Both axes are drawn independently; a sample drawn for both takes over the statistics over
    frequency first. Its label says that it was exchanged, not along which axis.

    Args:
        spectrograms: Magnitudes, shape (B, T, F, 1).
        labels: Shape (B, N), rows sum to one.
        probability: Chance of a sample to take over its partner's statistics over frequency.
        probability_time: The same for the statistics over time.
        rng: Source of randomness.

    Returns:
        Spectrograms (B, T, F, 1) and labels (B, 3N) as ``exchange_labels`` makes them; labels
        (B, N) where both probabilities are zero.

    Source: Wilkinghoff (arXiv 2312.09578): over frequency are the "temporal" statistics, one pair a
    frame, published with 0.5; over time one pair a bin, published with 0.
    """
    if label_blocks(probability, probability_time) == 1:
        return spectrograms, labels
    batch, given = len(spectrograms), spectrograms
    exchanged = torch.zeros(batch, dtype=torch.bool, device=spectrograms.device)
    for axis, chance in ((_FREQUENCY, probability), (_TIME, probability_time)):
        if chance > 0:
            chosen = bernoulli(batch, chance, rng)
            spectrograms = _exchange(spectrograms, given, chosen, axis)
            exchanged = exchanged | chosen
    return spectrograms, exchange_labels(labels, exchanged)


def _exchange(own: Tensor, given: Tensor, chosen: Tensor, axis: int) -> Tensor:
    """Give the chosen spectrograms their partners' statistics, those of ``given``, over an axis."""
    mean, deviation = _statistics(own, axis)
    other_mean, other_deviation = (mean, deviation) if own is given else _statistics(given, axis)
    chosen = chosen[:, None, None, None]
    ratio = torch.where(chosen, partner(other_deviation) / deviation, 1.0)
    target = torch.where(chosen, partner(other_mean), mean)
    # The mean goes first: in a frame almost without spread the ratio is huge.
    return torch.addcmul(target, own - mean, ratio)


def _statistics(spectrograms: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(spectrograms, dim=axis, keepdim=True, correction=0)
    return mean, variance.sqrt() + _EPSILON
