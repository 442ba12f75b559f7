"""AdaProj: angular softmax over subspaces, one a class, with soft labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edge_asd_train.losses.angular import AngularHead, ScaleMode, angles_of, soft_cross_entropy

_LEAST_SQUARE = 1e-12  # of the length of a projection: a sample may be orthogonal to a subspace


class _CosineAndGram(torch.autograd.Function):
    """Cosines of unit vectors (B, D) with centres (C, S, D), and among the centres of each class.

    Both in one, because the gradients of the two meet in one product: the centres are passed over
    as often as in AdaCos.
    """

    @staticmethod
    def forward(ctx: Any, unit: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.linalg.vector_norm(centres, dim=2).clamp_min(1e-12)  # (C, S)
        cosine = (unit @ centres.flatten(0, 1).T).view(-1, *lengths.shape).div_(lengths)
        gram = (centres @ centres.mT).div_(lengths[:, :, None]).div_(lengths[:, None, :])
        ctx.save_for_backward(unit, centres, lengths, cosine, gram)
        return cosine, gram

    @staticmethod
    def backward(ctx: Any, d_cosine: Tensor, d_gram: Tensor) -> tuple[Tensor, Tensor]:
        unit, centres, lengths, cosine, gram = ctx.saved_tensors
        scaled = d_cosine / lengths  # (B, C, S)
        both = d_gram + d_gram.mT  # w_i is in row i and in column i
        # d cos(x, w) / dw = (x / |x| - cos w / |w|) / |w| for x = u and x = w_j
        pull = (scaled * cosine).sum(0) * lengths + (both * gram).sum(2)
        mixing = both / lengths[:, :, None] / lengths[:, None, :]  # (C, S, S)
        mixing.diagonal(dim1=1, dim2=2).sub_(pull / lengths.square())
        flat = scaled.flatten(1)  # (B, C S)
        d_centres = (flat.T @ unit).view_as(centres).baddbmm_(mixing, centres)
        return flat @ centres.flatten(0, 1), d_centres


class AdaProj(AngularHead):
    """Loss head with a subspace of S dimensions for each of C classes.

    A sample is drawn to the subspace of its class instead of to a centre, so that within the
    class it keeps S - 1 degrees of freedom. With the unit vectors w_s of a class, the unit
    embedding u is projected to p = sum_s (w_s . u) w_s, and the logit is the scale times
    cos(u, p). That is an orthogonal projection only as far as the w_s are orthogonal; in many
    dimensions random ones nearly are.

    Args:
        size: D, size of the embeddings.
        classes: C.
        subclusters: S, dimensions of a subspace, well below D; 32 in the paper.
        trainable: Whether the vectors are learned or stay where they were drawn.
        scale: How the scale s moves: ``fixed`` keeps sqrt(2) ln(C - 1); ``adacos_excl`` adapts it
            without counting a sample's own classes; ``published`` counts them with cosine zero.

    Source: Wilkinghoff, "AdaProj" (arXiv 2403.14179), written from its description. Differs: an
    adaptive scale stays between 1 and 64.
    Cost: that of ``SubclusterAdaCos`` and O((B + D) C S^2). Projections of every sample on every
    class would be (B, C, D); only their lengths are computed, from the cosines among the w_s.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        subclusters: int = 32,
        *,
        trainable: bool = True,
        scale: ScaleMode = "fixed",
    ) -> None:
        super().__init__(
            size, classes, subclusters, trainable=trainable, scale=scale, logits=classes
        )

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch; in training an adaptive scale moves first.

        Args:
            z: Embeddings, shape (B, D), any length.
            labels: Shape (B, C), rows sum to one.

        Returns:
            Scalar cross-entropy.
        """
        cosine = self.cosines(z)
        if self.scale_moves:
            self._adapt(cosine.detach(), labels)
        return soft_cross_entropy(self.scale * cosine, labels)

    def cosines(self, z: Tensor) -> Tensor:
        """Cosine of every sample with its projection on every subspace, (B, D) -> (B, C)."""
        shares, gram = self._shares(z)
        shares = shares.transpose(0, 1)  # a_s = w_s . u, (C, B, S)
        product = shares.square().sum(2)  # u . p = sum_s a_s^2, (C, B)
        square = ((shares @ gram) * shares).sum(2)  # p . p = a G a, (C, B)
        return (product * square.clamp_min(_LEAST_SQUARE).rsqrt()).T

    def _shares(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines with all directions (B, C, S), and among those of each class (C, S, S)."""
        by_class = self.centres.view(self.classes, self.subclusters, -1)  # (C, S, D)
        if not self.trainable:  # of unit length
            return self.directions(z), by_class @ by_class.mT
        unit = functional.normalize(z)
        both: tuple[Tensor, Tensor] = _CosineAndGram.apply(unit, by_class)  # type: ignore[no-untyped-call]
        return both

    @torch.no_grad()
    def _adapt(self, cosine: Tensor, labels: Tensor) -> None:
        logits, own = self.scale * cosine, labels > 0
        angle = (labels * angles_of(cosine)).sum(1)
        if self.mode == "published":
            logits.masked_fill_(own, 0.0)
            angle = own.sum(1) * angle
        else:
            logits.masked_fill_(own, -torch.inf)
        self.move_scale(logits, angle)
