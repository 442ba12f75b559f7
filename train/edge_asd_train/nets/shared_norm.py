"""Batch normalisation over a batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edge_asd_train.nets.layers import FeatureBatchNorm


class _Sum(torch.autograd.Function):
    """Sum over all processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004 - nothing needs to be kept
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation with the statistics of all processes' rows.

    Takes over parameters and statistics of another layer under the same names. torch's own
    ``SyncBatchNorm`` works on graphics processors only.

    Args:
        layer: What it stands in for; processes have equally many rows.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        for name, buffer in layer.named_buffers():
            setattr(self, name, buffer)
        self._channels_last = isinstance(layer, FeatureBatchNorm)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, ...), or (..., C) where it stands in for ``FeatureBatchNorm``."""
        axis = x.dim() - 1 if self._channels_last else 1
        shape = [1] * x.dim()
        shape[axis] = self.num_features
        if self.training:
            mean, variance = self._statistics(x.float(), axis, shape)
        else:
            mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift.view(shape), x.float(), scale.view(shape)).to(x.dtype)

    def _statistics(self, x: Tensor, axis: int, shape: list[int]) -> tuple[Tensor, Tensor]:
        """Mean and variance of every channel over all processes, shape (C,) each."""
        axes = [i for i in range(x.dim()) if i != axis]
        count = x.numel() // self.num_features * distributed.get_world_size()
        mean: Tensor = _Sum.apply(x.sum(axes)) / count  # type: ignore[no-untyped-call]
        squares = (x - mean.view(shape)).square().sum(axes)
        variance: Tensor = _Sum.apply(squares) / count  # type: ignore[no-untyped-call]
        self._follow(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        return mean, variance

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as torch's own layers do."""
        seen = self.get_buffer("num_batches_tracked").add_(1)
        weight = 1.0 / float(seen) if self.momentum is None else self.momentum
        self.get_buffer("running_mean").lerp_(mean, weight)
        self.get_buffer("running_var").lerp_(variance, weight)


def share_batch_norm(network: nn.Module) -> None:
    """Replace every batch normalisation of a network by one over all processes."""
    for name, layer in network.named_children():
        if isinstance(layer, _BatchNorm):
            setattr(network, name, SharedBatchNorm(layer))
        else:
            share_batch_norm(layer)
