"""Short-time Fourier magnitudes, each frame computed once however windows overlap."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft

from edge_asd.records import FloatArray, Window


@lru_cache(maxsize=8)
def periodic_hann(n: int) -> FloatArray:
    """Periodic Hann window, shape (n,) float32."""
    window = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)).astype(np.float32)
    window.setflags(write=False)
    return window


def frame_count(n_samples: int, n_fft: int, hop_length: int) -> int:
    """Frames of a signal without padding at either end.

    >>> frame_count(288_000, 1024, 512), frame_count(160_000, 1024, 512)
    (561, 311)
    """
    return max(0, 1 + (n_samples - n_fft) // hop_length)


def stft_magnitude(samples: FloatArray, n_fft: int, hop_length: int) -> FloatArray:
    """Magnitude of the short-time Fourier transform, periodic Hann, no padding.

    Args:
        samples: Shape (..., L) float32, L >= n_fft.
        n_fft: Frame and transform length in samples.
        hop_length: Distance between frames in samples.

    Returns:
        Shape (..., T, n_fft/2 + 1) float32, T = 1 + (L - n_fft) // hop_length; not scaled.

    Source: Wilkinghoff (2023), front end of the spectrogram branch.
    """
    view = np.lib.stride_tricks.sliding_window_view(samples, n_fft, axis=-1)
    frames = view[..., ::hop_length, :] * periodic_hann(n_fft)  # (..., T, n_fft)
    return np.asarray(np.abs(scipy.fft.rfft(frames, axis=-1)), dtype=np.float32)


class FrameCache:
    """Frames of successive overlapping windows of one stream.

    A window that continues the one before (same run, a whole number of hop_lengths later) takes the
    frames they share from it and computes only the new ones.
    """

    def __init__(self, n_fft: int, hop_length: int) -> None:
        self.n_fft = n_fft
        self.hop_length = hop_length
        self._run = -1
        self._start = 0
        self._frames: FloatArray = np.empty((0, n_fft // 2 + 1), np.float32)

    def frames(self, window: Window) -> FloatArray:
        """Frames of ``window``, shape (T, n_fft/2 + 1) float32; read-only."""
        total = frame_count(len(window.samples), self.n_fft, self.hop_length)
        kept = self._shared_frames(window)[:total]
        if len(kept) < total:
            tail = window.samples[len(kept) * self.hop_length :]
            new = stft_magnitude(tail, self.n_fft, self.hop_length)
            kept = np.concatenate([kept, new]) if len(kept) else new
        kept.setflags(write=False)
        self._run, self._start, self._frames = window.run, window.start, kept
        return kept

    def _shared_frames(self, window: Window) -> FloatArray:
        offset = window.start - self._start
        if window.run != self._run or offset < 0 or offset % self.hop_length:
            return self._frames[:0]
        return self._frames[offset // self.hop_length :]
