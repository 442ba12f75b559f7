"""What angular losses share: cosines with directions of classes, a scale, soft cross-entropy."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

ScaleMode = Literal["fixed", "adacos_excl", "published"]
SCALE_MODES: tuple[ScaleMode, ...] = get_args(ScaleMode)

_LEAST_SCALE = 1.0  # in a batch that leaves nothing to count the rules give minus infinity
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


class AngularHead(nn.Module):
    """S directions for each of C classes and a scale between cosines and logits.

    Args:
        size: D, size of the embeddings.
        classes: C.
        subclusters: S, directions a class.
        trainable: Whether the directions are learned or stay where they were drawn.
        scale: How the scale moves.
        logits: K, how many logits a sample has; the scale starts at sqrt(2) ln(K - 1).
    """

    centres: Tensor
    scale: Tensor

    def __init__(
        self,
        size: int,
        classes: int,
        subclusters: int,
        *,
        trainable: bool,
        scale: ScaleMode,
        logits: int,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.subclusters = subclusters
        self.trainable = trainable
        self.mode: ScaleMode = scale
        # One centre a row: class c owns rows c S to c S + S - 1.
        centres = torch.empty(classes * subclusters, size)
        nn.init.xavier_uniform_(centres)
        if trainable:
            self.centres = nn.Parameter(centres)
        else:
            self.register_buffer("centres", functional.normalize(centres))
        start = math.sqrt(2.0) * math.log(max(logits - 1, 2))
        self.register_buffer("scale", torch.tensor(start))

    @property
    def scale_moves(self) -> bool:
        """Whether a batch seen now changes the scale: never in inference."""
        return self.training and self.mode != "fixed"

    def directions(self, z: Tensor) -> Tensor:
        """Cosines with all directions: (B, D) -> (B, C, S)."""
        unit = functional.normalize(z)
        if self.trainable:
            cosine: Tensor = _Cosine.apply(unit, self.centres)  # type: ignore[no-untyped-call]
        else:
            cosine = unit @ self.centres.T  # (B, D) @ (D, C S) -> (B, C S)
        return cosine.view(-1, self.classes, self.subclusters)

    @torch.no_grad()
    def move_scale(self, logits: Tensor, angles: Tensor) -> None:
        """Adapt the scale to a batch.

        Args:
            logits: Under the present scale, shape (B, ...); -inf where one is not to count.
            angles: Between each sample and its class in radians, shape (B,).

        Source: AdaCos, Zhang et al. (2019). Differs: the result stays between 1 and 64.
        """
        sums, angles = _whole_batch(torch.stack([logits.flatten(1).logsumexp(1), angles]))
        # ln of the mean over the batch of the sum over all that count
        log_sum = sums.logsumexp(0) - math.log(len(sums))
        median = angles.median().clamp(max=math.pi / 4)
        self.scale.copy_((log_sum / median.cos()).clamp(_LEAST_SCALE, _MOST_SCALE))


def _whole_batch(rows: Tensor) -> Tensor:
    """Columns of all processes that share a batch, (n, b) -> (n, B); without others, the same."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, rows)
    return torch.cat(parts, dim=1)


def angles_of(cosine: Tensor) -> Tensor:
    """Angles in radians of cosines."""
    return torch.acos(cosine.clamp(-_COS_LIMIT, _COS_LIMIT))


def soft_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of -sum(labels ln softmax(logits)).

    Args:
        logits: Shape (B, C).
        labels: Shape (B, C), rows sum to one.
    """
    return -(labels * logits.log_softmax(1)).sum(1).mean()
