"""Log-mel spectrogram and its statistics over time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_asd.records import FloatArray

_GROUPS = 4

LOG_FLOOR = 1e-10
"""Added to the mel power before the logarithm, so that digital silence stays finite."""


def hz_to_mel(hz: NDArray[np.floating]) -> NDArray[np.floating]:
    """Frequency in hertz to mel (HTK)."""
    return np.asarray(2595.0 * np.log10(1.0 + hz / 700.0))


def mel_to_hz(mel: NDArray[np.floating]) -> NDArray[np.floating]:
    """The inverse of `hz_to_mel`."""
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


@lru_cache(maxsize=8)
def mel_filterbank(
    sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float
) -> FloatArray:
    """Triangular mel filters (HTK scale) of unit area per hertz.

    Returns:
        Shape (n_fft/2 + 1, n_mels) float32, read-only. Dividing each triangle by its width keeps
        the expected value of white noise equal over the filters (Slaney's normalisation).
    """
    bins = np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    low, high = hz_to_mel(np.asarray(f_min)), hz_to_mel(np.asarray(min(f_max, sample_rate / 2)))
    edges = mel_to_hz(np.linspace(low, high, n_mels + 2))
    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    bank: FloatArray = filters.astype(np.float32)
    bank.setflags(write=False)
    return bank


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Filters that lie beside each other, without the bins that none of them sees."""

    bins: slice
    filters: slice
    weights: FloatArray
    """(bins, filters)."""


class MelFilters:
    """A bank of filters as products are made with it: a few neighbours at a time.

    A filter sees few bins. Products of some filters with the bins that they see take less than half
    the time of one with the whole bank, and touch a quarter of the memory.

    Args:
        weights: Shape (F, M), from ``mel_filterbank``.
    """

    def __init__(self, weights: FloatArray) -> None:
        self.weights = weights
        self._groups = tuple(
            _group(weights, int(those[0]), int(those[-1]) + 1)
            for those in np.array_split(np.arange(weights.shape[1]), _GROUPS)
            if len(those)
        )

    def __call__(self, power: FloatArray) -> FloatArray:
        """What the filters let through, (..., F) -> (..., M) float32."""
        levels = np.empty((*power.shape[:-1], self.weights.shape[1]), np.float32)
        for group in self._groups:
            np.matmul(power[..., group.bins], group.weights, out=levels[..., group.filters])
        return levels


def _group(weights: FloatArray, begin: int, end: int) -> _Group:
    """Filters ``begin`` to ``end`` of a bank; one bin at least, if only to find nothing there."""
    seen = np.flatnonzero(weights[:, begin:end].any(axis=1))
    bins = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1)
    return _Group(bins, slice(begin, end), np.ascontiguousarray(weights[bins, begin:end]))


@lru_cache(maxsize=8)
def mel_filters(
    sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float
) -> MelFilters:
    """The filters of ``mel_filterbank``, to be applied."""
    return MelFilters(mel_filterbank(sample_rate, n_fft, n_mels, f_min, f_max))


def log_mel(magnitudes: FloatArray, filters: MelFilters) -> FloatArray:
    """Logarithmic mel spectrogram in decibels.

    Args:
        magnitudes: Short-time magnitudes, shape (..., T, F) float32.
        filters: Of F bins.

    Returns:
        Shape (..., T, M) float32, 10 log10 of the mel power.
    """
    levels = filters(np.square(magnitudes))  # (..., T, F) -> (..., T, M)
    levels += np.float32(LOG_FLOOR)
    np.log10(levels, out=levels)
    levels *= np.float32(10.0)
    return levels


def mel_statistics(spectrogram: FloatArray) -> FloatArray:
    """Mean and standard deviation over time, concatenated: (..., T, M) -> (..., 2M)."""
    mean = spectrogram.mean(axis=-2, keepdims=True)
    swing = spectrogram - mean  # what NumPy's own ``std`` would find the mean for once more
    np.square(swing, out=swing)
    deviation = np.sqrt(swing.mean(axis=-2))
    return np.concatenate([mean[..., 0, :], deviation], axis=-1)
