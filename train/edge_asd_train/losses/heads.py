"""The loss heads of FeatEx and their weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_asd.errors import EdgeAsdError
from edge_asd_train.augment import featex
from edge_asd_train.losses.adacos import ScaleMode, SubclusterAdaCos


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """Weights of the three heads; a head of weight zero is not built."""

    supervised: float = 1.0
    """Class as recorded, centres fixed."""
    statex: float = 0.0
    """Class and whether the statistics were exchanged."""
    featex: float = 1.0
    """The same and whether the branches' embeddings were exchanged."""


@dataclass(frozen=True, slots=True, eq=False)
class LossTerms:
    """Weighted terms of one step."""

    terms: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return torch.stack(list(self.terms.values())).sum()

    def values(self, step: int) -> dict[str, float]:
        """The terms as numbers.

        Raises:
            EdgeAsdError: One of them is not finite, named with the step.
        """
        values = {name: term.item() for name, term in self.terms.items()}
        for name, value in values.items():
            if not torch.isfinite(torch.tensor(value)):
                raise EdgeAsdError(
                    f"training diverged at step {step}: loss term {name} is {value}; lower"
                    " learning_rate, choose scale: fixed or precision: float32"
                )
        return values


class Heads(nn.Module):
    """All heads on the embeddings of both branches.

    Args:
        branch_size: D of one branch.
        classes: N.
        subclusters: Centres a class.
        weights: Weight of every head.
        scale: How the scale of every head moves.
    """

    def __init__(
        self,
        branch_size: int,
        classes: int,
        *,
        subclusters: int = 16,
        weights: HeadWeights | None = None,
        scale: ScaleMode = "fixed",
    ) -> None:
        super().__init__()
        self.weights = weights or HeadWeights()
        size = 2 * branch_size
        self.heads = nn.ModuleDict()
        for name, weight, count, trainable in (
            ("supervised", self.weights.supervised, classes, False),
            ("statex", self.weights.statex, 3 * classes, True),
            ("featex", self.weights.featex, 9 * classes, True),
        ):
            if weight:
                self.heads[name] = SubclusterAdaCos(
                    size, count, subclusters, trainable=trainable, scale=scale
                )

    def forward(
        self,
        e_fft: Tensor,
        e_spec: Tensor,
        labels: Tensor,
        labels_statex: Tensor,
        *,
        featex_probability: float,
        rng: torch.Generator,
    ) -> LossTerms:
        """Weighted loss of every head.

        Args:
            e_fft: Embeddings of the spectrum branch, shape (B, D).
            e_spec: Embeddings of the spectrogram branch, shape (B, D).
            labels: After mixup, shape (B, N).
            labels_statex: After StatEx, shape (B, 3N).
            featex_probability: Chance of a sample to exchange embeddings.
            rng: Source of randomness.
        """
        joint = torch.cat([e_fft, e_spec], dim=1)
        exchanged, labels_featex = featex(
            e_fft, e_spec, labels_statex, probability=featex_probability, rng=rng
        )
        inputs = {
            "supervised": (joint, labels),
            "statex": (joint, labels_statex),
            "featex": (exchanged, labels_featex),
        }
        terms = {}
        for name, head in self.heads.items():
            terms[name] = getattr(self.weights, name) * head(*inputs[name])
        return LossTerms(terms)
