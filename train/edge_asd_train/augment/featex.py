"""FeatEx: an embedding takes over its partner's spectrogram half."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_asd_train.augment.draws import Rng, bernoulli, exchange_labels, label_blocks, partner


def featex(
    e_fft: Tensor, e_spec: Tensor, labels: Tensor, *, probability: float, rng: Rng
) -> tuple[Tensor, Tensor]:
    """Exchange the spectrogram branch's embeddings; gradients flow to both owners.

    Args:
        e_fft: Embeddings of the spectrum branch, shape (B, D).
        e_spec: Embeddings of the spectrogram branch, shape (B, D).
        labels: Shape (B, C), rows sum to one.
        probability: Chance of a sample to take over its partner's ``e_spec``.
        rng: Source of randomness.

    Returns:
        Joint embeddings (B, 2D) and labels (B, 3C): block two belongs to the owner of ``e_fft``,
        block three to the owner of ``e_spec``. Labels (B, C) where the probability is zero.
    """
    if label_blocks(probability) == 1:
        return torch.cat([e_fft, e_spec], dim=1), labels
    exchanged = bernoulli(len(e_fft), probability, rng)
    e_spec = torch.where(exchanged[:, None], partner(e_spec), e_spec)
    return torch.cat([e_fft, e_spec], dim=1), exchange_labels(labels, exchanged)
