"""The FeatEx network: a spectrum branch and a spectrogram branch, embedded side by side.

Source: Wilkinghoff, "Self-supervised learning for anomalous sound detection" (arXiv 2312.09578).
Written from a description of the published system; sizes and parameter counts are tested.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd.errors import ConfigError
from edge_asd.features import StftMagnitude, frame_count
from edge_asd_train.nets.layers import (
    Dense,
    FeatureBatchNorm,
    MapBatchNorm,
    SameConv1d,
    SameConv2d,
    SqueezeExcitation,
)

BRANCH_SIZE = 128
"""Size of the embedding of one branch."""

POOLED_FRAMES = 18
"""Most time steps that the last pooling of the spectrogram branch takes in at once."""


_LOG_FLOOR = 1e-3
"""Added to magnitudes before a logarithm: that of noise of about -95 dBFS in the spectrogram."""


class SpectrumBranch(nn.Module):
    """Branch A: magnitude spectrum (B, L/2, 1) -> (B, 128)."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for kernel, stride in ((256, 64), (64, 32), (16, 4)):
            layers += [SameConv1d(channels, 128, kernel, stride), nn.ReLU(), SqueezeExcitation(128)]
            channels = 128
            bins = -(-bins // stride)
        self.convolutions = nn.Sequential(*layers)
        dense: list[nn.Module] = []
        size = 128 * bins
        for _ in range(4):
            dense += [Dense(size, 128), FeatureBatchNorm(128), nn.ReLU()]
            size = 128
        self.dense = nn.Sequential(*dense, Dense(128, BRANCH_SIZE))

    def forward(self, spectrum: Tensor) -> Tensor:
        """Embed; see the class."""
        x = spectrum.transpose(1, 2)  # (B, L/2, 1) -> (B, 1, L/2)
        embedding: Tensor = self.dense(self.convolutions(x).flatten(1))
        return embedding


class FirstUnit(nn.Module):
    """Residual unit without normalisation in front: (B, 16, T, F) -> (B, 16, T, F)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReLU(),
            SameConv2d(channels, channels, 3),
            MapBatchNorm(channels),
            nn.ReLU(),
            SameConv2d(channels, channels, 3),
            SqueezeExcitation(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual; see the class."""
        return x + self.residual(x)  # type: ignore[no-any-return]


class PlainUnit(nn.Module):
    """Residual unit on the normalised map: (B, C, T, F) -> (B, C, T, F).

    Args:
        channels: C.
        relu_first: Rectify before the inner normalisation, as the second published unit does,
            in place of after it.
    """

    def __init__(self, channels: int, *, relu_first: bool = False) -> None:
        super().__init__()
        inner: list[nn.Module] = [MapBatchNorm(channels), nn.ReLU()]
        self.norm = MapBatchNorm(channels)
        self.residual = nn.Sequential(
            nn.ReLU(),
            SameConv2d(channels, channels, 3),
            *(reversed(inner) if relu_first else inner),
            SameConv2d(channels, channels, 3),
            SqueezeExcitation(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and add the residual; see the class."""
        x = self.norm(x)
        return x + self.residual(x)  # type: ignore[no-any-return]


class DownUnit(nn.Module):
    """Residual unit that halves both axes: (B, C, T, F) -> (B, D, ceil(T/2), ceil(F/2))."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.norm = MapBatchNorm(channels_in)
        self.residual = nn.Sequential(
            nn.ReLU(),
            SameConv2d(channels_in, channels, 3, stride=2),
            MapBatchNorm(channels),
            nn.ReLU(),
            SameConv2d(channels, channels, 3),
            SqueezeExcitation(channels),
        )
        self.skip = SameConv2d(channels_in, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, halve and add the residual; see the class."""
        x = self.norm(x)
        # With kernel 2 and stride 2, rounding up is the same as padding with -inf on the right.
        pooled = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        return self.skip(pooled) + self.residual(x)  # type: ignore[no-any-return]


class SpectrogramBranch(nn.Module):
    """Branch B: short-time magnitudes (B, T, F, 1) -> (B, 128)."""

    def __init__(self, frames: int, bins: int) -> None:
        super().__init__()
        self.bins_norm = FeatureBatchNorm(bins)
        self.stem = nn.Sequential(
            SameConv2d(1, 16, 7, stride=2),
            MapBatchNorm(16),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        units: list[nn.Module] = [FirstUnit(16), PlainUnit(16, relu_first=True)]
        frames, bins = (((-(-n // 2)) - 3) // 2 + 1 for n in (frames, bins))
        channels = 16
        for wider in (32, 64, 128):
            units += [DownUnit(channels, wider), PlainUnit(wider)]
            channels = wider
            frames, bins = -(-frames // 2), -(-bins // 2)
        if not 1 <= frames <= POOLED_FRAMES:
            raise ConfigError(
                f"window leaves {frames} time steps before the last pooling, 1 to {POOLED_FRAMES}"
                " are possible; choose a window_s between 0.2 and 18"
            )
        self.units = nn.Sequential(*units)
        self.norm = FeatureBatchNorm(128 * bins)
        self.dense = Dense(128 * bins, BRANCH_SIZE)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Embed; see the class."""
        x = spectrogram.squeeze(3)  # (B, T, F, 1) -> (B, T, F)
        x = x - x.mean(1, keepdim=True)
        x = self.bins_norm(x).unsqueeze(1)  # (B, T, F) -> (B, 1, T, F)
        x = self.units(self.stem(x))  # (B, 128, T', F')
        x = x.amax(2)  # pools all of time, as published for windows of at most 18 s
        embedding: Tensor = self.dense(self.norm(x.flatten(1)))
        return embedding


class FeatEx(nn.Module):
    """Both branches; the embedding of a window is their concatenation.

    Args:
        window_samples: L, samples of a window; the first dense layer of the spectrum branch
            depends on it.
        spec: Framing of the spectrogram branch.
        logarithmic: Take the logarithm of both inputs first, which the published network does not.
    """

    embedding_size = 2 * BRANCH_SIZE

    def __init__(
        self,
        window_samples: int,
        spec: StftMagnitude | None = None,
        *,
        logarithmic: bool = False,
    ) -> None:
        super().__init__()
        self.window_samples = window_samples
        self.spec = spec or StftMagnitude()
        self.logarithmic = logarithmic
        frames = frame_count(window_samples, self.spec.n_fft, self.spec.hop_length)
        self.spectrum_branch = SpectrumBranch(window_samples // 2)
        self.spectrogram_branch = SpectrogramBranch(frames, self.spec.n_fft // 2 + 1)

    def branches(self, spectrum: Tensor, spectrogram: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of both branches, ``(e_fft, e_spec)``, each (B, 128).

        Args:
            spectrum: Magnitude spectrum, shape (B, L/2, 1).
            spectrogram: Short-time magnitudes, shape (B, T, F, 1).
        """
        if self.logarithmic:
            spectrum, spectrogram = (torch.log(x + _LOG_FLOOR) for x in (spectrum, spectrogram))
        return self.spectrum_branch(spectrum), self.spectrogram_branch(spectrogram)

    def forward(self, spectrum: Tensor, spectrogram: Tensor) -> Tensor:
        """Embedding (B, 1, 256), not normalised; arguments as in ``branches``."""
        return torch.cat(self.branches(spectrum, spectrogram), dim=1).unsqueeze(1)
