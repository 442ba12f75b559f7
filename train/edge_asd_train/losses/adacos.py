"""Sub-cluster AdaCos: angular softmax over several centres a class, with soft labels."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

ScaleMode = Literal["fixed", "adacos_excl", "published"]
SCALE_MODES: tuple[ScaleMode, ...] = get_args(ScaleMode)

_MOST_SCALE = 64.0
_COS_LIMIT = 1.0 - 1e-7  # keeps the angle of a perfect match off the edge of acos


class _Cosine(torch.autograd.Function):
    """Products of unit vectors (B, D) with centres (K, D), divided by the centres' lengths.

    The centres are the largest tensor of a run by far. Differentiating a normalised copy of them
    passes over that much memory eight times and took longer than the network; this does it
    twice.
    """

    @staticmethod
    def forward(ctx: Any, unit: Tensor, centres: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(centres, dim=1).clamp_min(1e-12)  # (K,)
        cosine = (unit @ centres.T).div_(lengths)
        ctx.save_for_backward(unit, centres, lengths, cosine)
        return cosine

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        unit, centres, lengths, cosine = ctx.saved_tensors
        scaled = gradient / lengths  # (B, K)
        # d cos(u, w) / dw = (u - cos w / |w|) / |w|
        pull = (scaled * cosine).sum(0).div_(lengths)[:, None]  # (K, 1)
        return scaled @ centres, (scaled.T @ unit).addcmul_(centres, pull, value=-1.0)


class SubclusterAdaCos(nn.Module):
    """Loss head with S centres for each of C classes.

    Args:
        size: D, size of the embeddings.
        classes: C.
        subclusters: S, centres a class.
        trainable: Whether the centres are learned or stay where they were drawn.
        scale: How the scale s moves: ``fixed`` keeps sqrt(2) ln(C S - 1); ``adacos_excl`` adapts
            it without counting a sample's own classes; ``published`` adapts it as the published
            code does, which grows without bound once samples are well classified, so it is
            limited to 64.

    Source: Wilkinghoff, "Sub-cluster AdaCos" (2021), and AdaCos, Zhang et al. (2019). Differs: the
    logarithm of the class probability is computed stably instead of clipping at 1e-7.
    """

    scale: Tensor

    def __init__(
        self,
        size: int,
        classes: int,
        subclusters: int = 16,
        *,
        trainable: bool = True,
        scale: ScaleMode = "fixed",
    ) -> None:
        super().__init__()
        self.classes = classes
        self.subclusters = subclusters
        self.mode: ScaleMode = scale
        columns = classes * subclusters
        # One centre a row: class c owns rows c S to c S + S - 1.
        centres = torch.empty(columns, size)
        nn.init.xavier_uniform_(centres)
        self.trainable = trainable
        if trainable:
            self.centres = nn.Parameter(centres)
        else:
            self.register_buffer("centres", functional.normalize(centres))
        start = math.sqrt(2.0) * math.log(max(columns - 1, 2))
        self.register_buffer("scale", torch.tensor(start))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch; in training an adaptive scale moves first.

        Args:
            z: Embeddings, shape (B, D), any length.
            labels: Shape (B, C), rows sum to one.

        Returns:
            Scalar cross-entropy.
        """
        unit = functional.normalize(z)
        if self.trainable:
            cosine: Tensor = _Cosine.apply(unit, self.centres)  # type: ignore[no-untyped-call]
        else:
            cosine = unit @ self.centres.T  # (B, D) @ (D, C S) -> (B, C S)
        if self.training and self.mode != "fixed":
            self._move_scale(cosine.detach(), labels)
        logits = self.scale * cosine
        by_class = logits.view(-1, self.classes, self.subclusters).logsumexp(2)  # (B, C)
        log_probability = by_class - by_class.logsumexp(1, keepdim=True)
        return -(labels * log_probability).sum(1).mean()

    @torch.no_grad()
    def _move_scale(self, cosine: Tensor, labels: Tensor) -> None:
        logits = (self.scale * cosine).view(-1, self.classes, self.subclusters)
        angles = torch.acos(cosine.clamp(-_COS_LIMIT, _COS_LIMIT)).view_as(logits)
        if self.mode == "published":
            angle = (labels > 0).sum(1) * (labels * angles.sum(2)).sum(1)
        else:
            logits = logits.masked_fill((labels > 0)[:, :, None], -torch.inf)
            angle = (labels * angles.amin(2)).sum(1)
        # ln of the mean over the batch of the sum over all centres
        log_sum = logits.flatten(1).logsumexp(1).logsumexp(0) - math.log(len(cosine))
        median = angle.median().clamp(max=math.pi / 4)
        self.scale.copy_((log_sum / median.cos()).clamp(max=_MOST_SCALE))
