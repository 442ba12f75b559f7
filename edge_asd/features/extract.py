"""Turn windows into the arrays that networks and statistics read."""

from __future__ import annotations

from collections.abc import Mapping

from edge_asd.features.frames import FrameCache, stft_magnitude
from edge_asd.features.mel import MelFilters, log_mel, mel_filters, mel_statistics
from edge_asd.features.rows import SlidingRows
from edge_asd.features.spec import FeatureSpec, LogMelStatistics, MagnitudeSpectrum, StftMagnitude
from edge_asd.features.spectrum import magnitude_spectrum
from edge_asd.records import FloatArray, Window


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
    frames = stft_magnitude(samples, spec.n_fft, spec.hop_length)  # (B, T, F)
    if isinstance(spec, StftMagnitude):
        return frames[..., None]  # (B, T, F, 1)
    return mel_statistics(log_mel(frames, _filters(spec, sample_rate)))  # (B, 2M)


class FeatureExtractor:
    """All features of one monitor's stream; features with the same framing share one cache."""

    def __init__(self, specs: Mapping[str, FeatureSpec], sample_rate: int) -> None:
        self.specs = dict(specs)
        self.sample_rate = sample_rate
        self._caches: dict[tuple[int, int], FrameCache] = {}
        self._mels: dict[str, SlidingRows] = {}  # of features that summarise them, by name
        for name, spec in self.specs.items():
            if not isinstance(spec, MagnitudeSpectrum):
                framing = (spec.n_fft, spec.hop_length)
                self._caches.setdefault(framing, FrameCache(*framing))
            if isinstance(spec, LogMelStatistics):
                self._mels[name] = SlidingRows(spec.n_mels)

    def extract(self, window: Window) -> dict[str, FloatArray]:
        """Every feature of one window, each with a leading batch axis of one; read-only."""
        frames = {framing: cache.frames(window) for framing, cache in self._caches.items()}
        features = {}
        for name, spec in self.specs.items():
            if isinstance(spec, MagnitudeSpectrum):
                features[name] = magnitude_spectrum(window.samples[None])
            elif isinstance(spec, StftMagnitude):
                features[name] = frames[spec.n_fft, spec.hop_length][None, ..., None]
            else:
                features[name] = mel_statistics(self._log_mel(name, spec, frames)[None])
        return features

    def _log_mel(
        self, name: str, spec: LogMelStatistics, frames: Mapping[tuple[int, int], FloatArray]
    ) -> FloatArray:
        """Log-mel rows of the window, (T, M); those of frames it shares are there already."""
        framing = (spec.n_fft, spec.hop_length)
        shared = len(frames[framing]) - self._caches[framing].fresh
        rows, new = self._mels[name].advance(shared, self._caches[framing].fresh)
        new[:] = log_mel(frames[framing][shared:], _filters(spec, self.sample_rate))
        return rows


def _filters(spec: LogMelStatistics, sample_rate: int) -> MelFilters:
    return mel_filters(sample_rate, spec.n_fft, spec.n_mels, spec.f_min, spec.f_max)
