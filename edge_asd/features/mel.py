"""Log-mel spectrogram and its statistics over time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_asd.records import FloatArray

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


def log_mel(magnitudes: FloatArray, filters: FloatArray) -> FloatArray:
    """Logarithmic mel spectrogram in decibels.

    Args:
        magnitudes: Short-time magnitudes, shape (..., T, F) float32.
        filters: Shape (F, M), from ``mel_filterbank``.

    Returns:
        Shape (..., T, M) float32, 10 log10 of the mel power.
    """
    levels: FloatArray = np.square(magnitudes) @ filters  # (..., T, F) @ (F, M) -> (..., T, M)
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
