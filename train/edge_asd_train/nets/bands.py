"""Statistics of the log-mel spectrogram, refined by what faults of other machines taught.

The embedding starts out as the standardised mean, spread and rate of change of every mel band, in
which a nearest neighbour already hears much, and a small network over neighbouring bands adds a
correction to it. Few parameters see much of every machine, so that what they learn holds for
machines of kinds that were not there.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from edge_asd.errors import ConfigError
from edge_asd.features import StftMagnitude, mel_filterbank
from edge_asd.features.mel import LOG_FLOOR

STATISTICS = 3
"""Mean, standard deviation, and standard deviation of the change from frame to frame."""

LIFT = 3.0
"""Last coordinate of every embedding. Far from the origin compared with the others, whose root mean
square is about one, it makes the cosine distance of embeddings their Euclidean distance (squared,
scaled): scorers compare directions, while here the place says what a machine sounds like."""

_LEAST_VARIANCE = 1e-4  # dB²; keeps the gradient of the root finite in digital silence


class BandStatistics(nn.Module):
    """Short-time magnitudes (B, T, F, 1) -> statistics of mel bands in decibels (B, 3, M).

    The mean over all bands is taken off the first: how loud a window is, is not told.
    """

    filters: Tensor

    def __init__(self, spec: StftMagnitude, bands: int, sample_rate: int) -> None:
        super().__init__()
        filters = mel_filterbank(sample_rate, spec.n_fft, bands, 0.0, sample_rate / 2)
        if not filters.any(axis=0).all():  # it would stay at the floor, whatever the gain
            raise ConfigError(
                f"network.bands: {bands} are so narrow that one holds no bin of the spectrogram;"
                " choose fewer, or a larger spectrogram.n_fft"
            )
        self.register_buffer("filters", torch.from_numpy(np.array(filters)), persistent=False)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Take the statistics; see the class."""
        power = spectrogram.squeeze(3).square() @ self.filters  # (B, T, F) -> (B, T, M)
        decibels = 10.0 * torch.log10(power + LOG_FLOOR)
        mean = decibels.mean(1, keepdim=True)  # (B, 1, M)
        spread = _root_mean_square(decibels - mean)
        change = _root_mean_square(decibels[:, 1:] - decibels[:, :-1])
        return torch.cat([mean - mean.mean(2, keepdim=True), spread, change], dim=1)


class Bands(nn.Module):
    """Band statistics with a learned correction.

    Args:
        spec: Framing of the spectrogram.
        bands: M, mel bands.
        channels: Width of the correction; 0 leaves it out.
        kernel: Bands that each of its three layers sees; odd.
        sample_rate: Hz.

    Raises:
        ConfigError: A band is narrower than the bins of the spectrogram.
    """

    def __init__(
        self,
        spec: StftMagnitude,
        *,
        bands: int = 128,
        channels: int = 32,
        kernel: int = 7,
        sample_rate: int = 16_000,
    ) -> None:
        super().__init__()
        self.embedding_size = STATISTICS * bands + 1
        self.statistics = BandStatistics(spec, bands, sample_rate)
        self.norm = nn.BatchNorm1d(STATISTICS * bands)
        self.correction = _correction(channels, kernel) if channels else None

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Embeddings (B, 1, 3 M + 1) of short-time magnitudes (B, T, F, 1)."""
        return self.branches(spectrogram)[0].unsqueeze(1)

    def branches(self, spectrogram: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding (B, 3 M + 1) and nothing (B, 0): there is one branch."""
        # In full precision whatever the rest runs in: decibels need more than eleven bits.
        with torch.autocast(spectrogram.device.type, enabled=False):
            statistics = self.statistics(spectrogram.float())  # (B, 3, M)
            z = self.norm(statistics.flatten(1)).view_as(statistics)
        if self.correction is not None:
            z = z + self.correction(z).float()
        z = z.flatten(1) / math.sqrt(self.embedding_size - 1)
        z = torch.cat([z, torch.full_like(z[:, :1], LIFT)], dim=1)
        return z, z[:, :0]


def _correction(channels: int, kernel: int) -> nn.Sequential:
    """Three convolutions over the bands, the last of which starts at zero."""
    last = nn.Conv1d(channels, STATISTICS, kernel, padding=kernel // 2)
    nn.init.zeros_(last.weight)
    return nn.Sequential(
        nn.Conv1d(STATISTICS, channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm1d(channels),
        nn.ReLU(),
        nn.Conv1d(channels, channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm1d(channels),
        nn.ReLU(),
        last,
    )


def _root_mean_square(x: Tensor) -> Tensor:
    """Over time, (B, T, M) -> (B, 1, M)."""
    return (x.square().mean(1, keepdim=True) + _LEAST_VARIANCE).sqrt()
