"""Short-time Fourier magnitudes, each frame computed once however windows overlap."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edge_asd.features.fft import magnitudes
from edge_asd.features.rows import SlidingRows
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
    *batch, length = samples.shape
    shape = (*batch, frame_count(length, n_fft, hop_length), n_fft // 2 + 1)
    out = np.empty(shape, np.float32)
    for index in np.ndindex(*batch):
        _write_frames(samples[index], n_fft, hop_length, out[index])
    return out


def _write_frames(samples: FloatArray, n_fft: int, hop_length: int, out: FloatArray) -> None:
    """Magnitudes of the first frames of samples (L,), as many as ``out`` (T, n_fft/2 + 1) holds."""
    samples = np.ascontiguousarray(samples)
    strides = (hop_length * samples.itemsize, samples.itemsize)
    frames: FloatArray = np.ndarray((len(out), n_fft), samples.dtype, samples, 0, strides)
    magnitudes(frames, out, taper=periodic_hann(n_fft))


class FrameCache:
    """Frames of successive overlapping windows of one stream.

    A window that continues the one before (same run, a whole number of hop_lengths later) takes the
    frames they share from it and computes only the new ones.
    """

    def __init__(self, n_fft: int, hop_length: int) -> None:
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.fresh = 0
        """So many of the newest frames handed out are new."""
        self._run = -1
        self._start = 0
        self._rows = SlidingRows(n_fft // 2 + 1)

    def frames(self, window: Window) -> FloatArray:
        """Frames of ``window``, shape (T, n_fft/2 + 1) float32; read-only."""
        total = frame_count(len(window.samples), self.n_fft, self.hop_length)
        kept = self._shared(window, total)
        self.fresh = total - kept
        frames, new = self._rows.advance(kept, self.fresh)
        if self.fresh:
            tail = window.samples[kept * self.hop_length :]
            _write_frames(tail, self.n_fft, self.hop_length, new)
        self._run, self._start = window.run, window.start
        return frames

    def _shared(self, window: Window, total: int) -> int:
        """How many of the newest frames are the first of this window as well."""
        offset = window.start - self._start
        if window.run != self._run or offset < 0 or offset % self.hop_length:
            return 0
        shared = len(self._rows) - offset // self.hop_length
        return shared if 0 < shared <= total else 0
