"""The loss heads of FeatEx, their sizes and their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from edge_asd_train.augment import Rng, featex
from edge_asd_train.losses.adacos import SubclusterAdaCos
from edge_asd_train.losses.adaproj import AdaProj
from edge_asd_train.losses.angular import ScaleMode
from edge_asd_train.losses.terms import LossTerms

HeadKind = Literal["adacos", "adaproj"]
HeadName = Literal["supervised", "statex", "featex"]

_KINDS: dict[HeadKind, type[SubclusterAdaCos | AdaProj]] = {
    "adacos": SubclusterAdaCos,
    "adaproj": AdaProj,
}


@dataclass(frozen=True, slots=True)
class HeadOptions:
    """One head."""

    weight: float
    """Factor of its loss; a head of weight zero is not built."""
    trainable: bool
    """Whether its centres are learned."""
    blocks: int = 1
    """Labels that reach it for each class as recorded."""


class Heads(nn.Module):
    """All heads on the embeddings of both branches.

    ``supervised`` gets the class as recorded, ``statex`` that and whether statistics were
    exchanged, ``featex`` both and whether embeddings were exchanged, on the exchanged embeddings.

    Args:
        size: D of the whole embedding.
        classes: N.
        heads: What is built, by name.
        kind: The loss of every head.
        subclusters: Centres a class, or dimensions of its subspace.
        scale: How the scale of every head moves.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        heads: Mapping[HeadName, HeadOptions],
        *,
        kind: HeadKind = "adacos",
        subclusters: int = 16,
        scale: ScaleMode = "fixed",
    ) -> None:
        super().__init__()
        built = {str(name): options for name, options in heads.items() if options.weight > 0}
        self.weights = {name: options.weight for name, options in built.items()}
        self.heads = nn.ModuleDict()
        for name, options in built.items():
            self.heads[name] = _KINDS[kind](
                size,
                options.blocks * classes,
                subclusters,
                trainable=options.trainable,
                scale=scale,
            )

    def forward(
        self,
        e_fft: Tensor,
        e_spec: Tensor,
        labels: Tensor,
        labels_statex: Tensor,
        *,
        featex_probability: float,
        rng: Rng,
    ) -> LossTerms:
        """Weighted loss of every head.

        Args:
            e_fft: First part of the embeddings, of FeatEx the spectrum branch's, shape (B, D1).
            e_spec: The rest, of FeatEx the spectrogram branch's, shape (B, D2); may be empty.
            labels: After mixup, shape (B, N).
            labels_statex: After StatEx, shape (B, N) or (B, 3N).
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
        return LossTerms(
            {name: self.weights[name] * head(*inputs[name]) for name, head in self.heads.items()}
        )
