"""The only definition of a feature; training takes its arrays from here.

A ``FeatureSpec`` in the bundle names a feature and its parameters; ``compute`` turns windows into
arrays. Features made of short frames read them through a ``FrameCache``, so that overlapping
windows compute every frame once.
"""

from __future__ import annotations

from edge_asd.features.extract import FeatureExtractor, compute
from edge_asd.features.fft import fft_backend
from edge_asd.features.frames import FrameCache, frame_count, stft_magnitude
from edge_asd.features.mel import (
    MelFilters,
    log_mel,
    mel_filterbank,
    mel_filters,
    mel_statistics,
)
from edge_asd.features.spec import FeatureSpec, LogMelStatistics, MagnitudeSpectrum, StftMagnitude
from edge_asd.features.spectrum import magnitude_spectrum

__all__ = [
    "FeatureExtractor",
    "FeatureSpec",
    "FrameCache",
    "LogMelStatistics",
    "MagnitudeSpectrum",
    "MelFilters",
    "StftMagnitude",
    "compute",
    "fft_backend",
    "frame_count",
    "log_mel",
    "magnitude_spectrum",
    "mel_filterbank",
    "mel_filters",
    "mel_statistics",
    "stft_magnitude",
]
