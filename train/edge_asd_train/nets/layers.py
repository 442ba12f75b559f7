"""Layers as TensorFlow defines them: "same" padding, batch normalisation, initialisation.

The published system is a Keras model, and three of Keras' conventions change the numbers: padding
that puts the odd sample on the right or bottom, batch normalisation with eps 1e-3 and momentum
0.99, and Glorot's uniform initialisation of every kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-3
_MOMENTUM = 0.01  # Keras' momentum of 0.99


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after one axis so that ceil(size / stride) outputs remain.

    >>> same_padding(513, 7, 2), same_padding(128, 3, 2), same_padding(80_000, 256, 64)
    ((3, 3), (0, 1), (96, 96))
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _append_surplus(x: Tensor, kernel: int, stride: int) -> tuple[Tensor, tuple[int, ...]]:
    """Append the odd samples of "same" padding; return the symmetric rest for the kernel."""
    surplus: list[int] = []
    symmetric: list[int] = []
    for size in x.shape[2:]:
        before, after = same_padding(int(size), kernel, stride)
        symmetric.append(before)
        surplus[:0] = [0, after - before]  # functional.pad lists the last axis first
    if any(surplus):
        x = functional.pad(x, surplus)
    return x, tuple(symmetric)


class SameConv1d(nn.Conv1d):
    """Convolution (B, C, n) -> (B, D, ceil(n / stride)), no bias."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, bias=False)
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the kernel; see the class."""
        x, padding = _append_surplus(x, self.kernel_size[0], self.stride[0])
        return functional.conv1d(x, self.weight, None, self.stride, padding)


class SameConv2d(nn.Conv2d):
    """Convolution (B, C, n, m) -> (B, D, ceil(n / stride), ceil(m / stride)), no bias."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, bias=False)
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the kernel; see the class."""
        x, padding = _append_surplus(x, self.kernel_size[0], self.stride[0])
        return functional.conv2d(x, self.weight, None, self.stride, padding)


class Dense(nn.Linear):
    """Linear layer (B, C) -> (B, D), no bias."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__(size_in, size_out, bias=False)
        nn.init.xavier_uniform_(self.weight)


class FeatureBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of the last axis over all the others: (..., C) -> (..., C).

    In inference it is written as one multiplication and one addition, which every runtime accepts
    for every rank.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, eps=_EPSILON, momentum=_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; see the class."""
        if self.training:
            normalised: Tensor = super().forward(x.reshape(-1, self.num_features))
            return normalised.view(x.shape)
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return x * scale + (self.bias - mean * scale)


class MapBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of the channels of a map: (B, C, n, m) -> (B, C, n, m)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPSILON, momentum=_MOMENTUM)


class SqueezeExcitation(nn.Module):
    """Scale channels by what is heard in all of them: (B, C, ...) -> (B, C, ...).

    Source: Hu et al., "Squeeze-and-excitation networks" (2018), reduction 16, without biases.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = Dense(channels, channels // 16)
        self.excite = Dense(channels // 16, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Scale; see the class."""
        axes = tuple(range(2, x.dim()))
        pooled = x.mean(axes)  # (B, C, ...) -> (B, C)
        gates = torch.sigmoid(self.excite(torch.relu(self.squeeze(pooled))))
        for _ in axes:
            gates = gates.unsqueeze(-1)  # (B, C) -> (B, C, 1, ...)
        return x * gates
