"""Turn windows into the arrays that networks and statistics read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_asd.features.frames import FrameCache, stft_magnitude
from edge_asd.features.mel import log_mel, mel_filterbank, mel_statistics
from edge_asd.features.spec import FeatureSpec, LogMelStatistics, MagnitudeSpectrum, StftMagnitude
from edge_asd.features.spectrum import magnitude_spectrum
from edge_asd.records import FloatArray, Window


def _from_frames(
    spec: StftMagnitude | LogMelStatistics, frames: FloatArray, sample_rate: int
) -> FloatArray:
    if isinstance(spec, StftMagnitude):
        return frames[..., None]  # (B, T, F) -> (B, T, F, 1)
    filters = mel_filterbank(sample_rate, spec.n_fft, spec.n_mels, spec.f_min, spec.f_max)
    return mel_statistics(log_mel(frames, filters))  # (B, T, F) -> (B, 2M)


def compute(spec: FeatureSpec, samples: FloatArray, sample_rate: int) -> FloatArray:
    """One feature of a batch of windows, offline.

    Args:
        spec: Which feature.
        samples: Windows, shape (B, L) float32, after gain.
        sample_rate: Rate in hertz.

    Returns:
        Shape (B, …) float32 as the feature's own function says.
    """
    if isinstance(spec, MagnitudeSpectrum):
        return magnitude_spectrum(samples)
    frames = stft_magnitude(samples, spec.n_fft, spec.hop_length)
    return _from_frames(spec, frames, sample_rate)


class FeatureExtractor:
    """All features of one monitor's stream; features with the same framing share one cache."""

    def __init__(self, specs: Mapping[str, FeatureSpec], sample_rate: int) -> None:
        self.specs = dict(specs)
        self.sample_rate = sample_rate
        self._caches: dict[tuple[int, int], FrameCache] = {}
        for spec in self.specs.values():
            if not isinstance(spec, MagnitudeSpectrum):
                framing = (spec.n_fft, spec.hop_length)
                self._caches.setdefault(framing, FrameCache(*framing))

    def extract(self, window: Window) -> dict[str, FloatArray]:
        """Every feature of one window, each with a leading batch axis of one."""
        frames = {framing: cache.frames(window) for framing, cache in self._caches.items()}
        features = {}
        for name, spec in self.specs.items():
            if isinstance(spec, MagnitudeSpectrum):
                features[name] = magnitude_spectrum(window.samples[None])
            else:
                shared = frames[spec.n_fft, spec.hop_length][None]
                features[name] = np.ascontiguousarray(_from_frames(spec, shared, self.sample_rate))
        return features
