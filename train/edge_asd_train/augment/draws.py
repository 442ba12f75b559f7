"""Partners, random choices and the labels of an exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Random numbers for some rows of a batch that several processes share.

    All of them draw for the whole batch and keep the numbers of their rows, so that a row gets the
    same ones however the batch is divided.
    """

    generator: torch.Generator
    rows: Tensor
    """Numbers of the rows within the whole batch, shape (b,) int64."""
    batch: int
    """B, rows of the whole batch."""
    device: torch.device
    """Where the numbers are wanted."""


Rng: TypeAlias = torch.Generator | Draws
"""Source of an augmentation's randomness: for a whole batch, or for some of its rows."""


def partner(x: Tensor) -> Tensor:
    """The batch in reverse order: row i becomes row B-1-i."""
    return x.flip(0)


def uniform(batch: int, rng: Rng) -> Tensor:
    """One independent number from 0 to 1 a sample, shape (B,)."""
    if isinstance(rng, torch.Generator):
        return torch.rand(batch, generator=rng, device=rng.device)
    numbers = torch.rand(rng.batch, generator=rng.generator, device=rng.generator.device)
    return numbers[rng.rows].to(rng.device)


def normal(batch: int, size: int, rng: Rng) -> Tensor:
    """Independent standard normal numbers, shape (B, size)."""
    if isinstance(rng, torch.Generator):
        return torch.randn(batch, size, generator=rng, device=rng.device)
    numbers = torch.randn(rng.batch, size, generator=rng.generator, device=rng.generator.device)
    return numbers[rng.rows].to(rng.device)


def bernoulli(batch: int, probability: float, rng: Rng) -> Tensor:
    """One independent choice a sample, shape (B,) bool."""
    return uniform(batch, rng) < probability


def label_blocks(*probabilities: float) -> int:
    """How many labels a class becomes by an exchange: three, or one where it never happens.

    A head has as many classes as labels can reach it: N without exchanges, 3N after one kind of
    exchange, 9N after two.
    """
    return 3 if any(probability > 0 for probability in probabilities) else 1


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
