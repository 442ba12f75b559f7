"""Partners, random choices and the labels of an exchange."""

from __future__ import annotations

import torch
from torch import Tensor


def partner(x: Tensor) -> Tensor:
    """The batch in reverse order: row i becomes row B-1-i."""
    return x.flip(0)


def bernoulli(batch: int, probability: float, rng: torch.Generator) -> Tensor:
    """One independent choice a sample, shape (B,) bool."""
    return torch.rand(batch, generator=rng, device=rng.device) < probability


def exchange_labels(labels: Tensor, exchanged: Tensor) -> Tensor:
    """Labels after one half of a sample came from its partner: (B, C) -> (B, 3C).

    Untouched samples keep their label in the first block; exchanged ones share it evenly between
    their own label in the second and the partner's in the third.

    Args:
        labels: Shape (B, C), rows sum to one.
        exchanged: Shape (B,) bool.
    """
    zeros = torch.zeros_like(labels)
    kept = torch.cat([labels, zeros, zeros], dim=1)
    mixed = torch.cat([zeros, labels / 2, partner(labels) / 2], dim=1)
    return torch.where(exchanged[:, None], mixed, kept)
