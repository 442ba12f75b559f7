"""Mixup: a sample becomes a weighted sum of itself and its partner."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_asd_train.augment.draws import Rng, bernoulli, partner, uniform


def mixup(
    waveforms: Tensor, labels: Tensor, *, probability: float, rng: Rng
) -> tuple[Tensor, Tensor]:
    """Mix waveforms and labels with weights drawn uniformly from 0 to 1.

    Args:
        waveforms: Shape (B, L).
        labels: Shape (B, N), rows sum to one.
        probability: Chance of a sample to be mixed.
        rng: Source of randomness.

    Returns:
        Waveforms (B, L) and labels (B, N).

    Source: Zhang et al., "mixup" (2018), with uniform weights as Wilkinghoff uses it.
    """
    if probability == 0:
        return waveforms, labels
    batch = len(waveforms)
    weight = uniform(batch, rng)
    weight = torch.where(bernoulli(batch, probability, rng), weight, torch.ones(()))[:, None]
    return (
        torch.lerp(partner(waveforms), waveforms, weight),
        torch.lerp(partner(labels), labels, weight),
    )
