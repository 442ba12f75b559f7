"""Sound as the model sees it: the bundle's own features, frame by frame, on a frequency axis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asd.audio import db_to_factor
from edge_asd.bundle.manifest import Manifest
from edge_asd.capture import Resampler
from edge_asd.features import (
    LogMelStatistics,
    MelFilters,
    StftMagnitude,
    frame_count,
    log_mel,
    mel_filters,
    stft_magnitude,
)
from edge_asd.features.mel import LOG_FLOOR, hz_to_mel, mel_to_hz
from edge_asd.records import Block, FloatArray

Reals = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Mono:
    """One channel at the bundle's rate, after the monitor's gain."""

    samples: FloatArray
    """(n,) float32; silence where audio was lost."""
    runs: tuple[tuple[int, int], ...]
    """Samples (begin, end) of every contiguous stretch."""


@dataclass(frozen=True, slots=True, eq=False)
class Spectrogram:
    """Levels over time and frequency."""

    db: FloatArray
    """(T, M); NaN in frames that touch lost audio."""
    first_s: float
    """Middle of the first frame, seconds from the first sample."""
    hop_s: float

    @property
    def times_s(self) -> Reals:
        """Middle of every frame (T,), seconds from the first sample."""
        return self.first_s + self.hop_s * np.arange(len(self.db))

    @property
    def duration_s(self) -> float:
        """Audio in the frames, seconds from the first sample where that is time 0."""
        return 2 * self.first_s + self.hop_s * (len(self.db) - 1)

    def seen_from(self, zero_s: float) -> Spectrogram:
        """The same with another moment as time 0."""
        return Spectrogram(self.db, self.first_s - zero_s, self.hop_s)

    def minus(self, levels_db: FloatArray) -> Spectrogram:
        """The difference from constant levels (M,)."""
        return Spectrogram(self.db - levels_db, self.first_s, self.hop_s)


class FrontEnd:
    """What the model reads, of any length, in decibels.

    Args:
        spec: A feature made of short frames.
        sample_rate: The bundle's rate, hertz.
        own: Whether the model really reads it.
    """

    def __init__(
        self, spec: LogMelStatistics | StftMagnitude, sample_rate: int, *, own: bool = True
    ) -> None:
        self.spec, self.sample_rate, self.own = spec, sample_rate, own
        self._filters: MelFilters | None = None
        if isinstance(spec, LogMelStatistics):
            self._filters = mel_filters(
                sample_rate, spec.n_fft, spec.n_mels, spec.f_min, spec.f_max
            )
            self.low_hz, self.high_hz = spec.f_min, min(spec.f_max, sample_rate / 2)
            count = spec.n_mels
        else:
            self.low_hz, self.high_hz = 0.0, sample_rate / 2
            count = spec.n_fft // 2 + 1
        self.linear = self._filters is None
        """Whether the axis is in hertz rather than mel."""
        self.bands = count
        """Rows of the axis (M)."""
        self.centres_hz: Reals = (
            np.linspace(0.0, sample_rate / 2, count)
            if self.linear
            else self.frequency(np.arange(1, count + 1) / (count + 1))
        )
        """(M,) middle of every band."""
        # Bands tile the axis: neighbours share an edge half-way between their centres.
        places = self.place(self.centres_hz)
        inner = self.frequency((places[1:] + places[:-1]) / 2)
        self.edges_hz = np.concatenate([[self.low_hz], inner, [self.high_hz]])
        """(M + 1,) where one band ends and the next begins."""

    def place(self, hz: Reals) -> Reals:
        """Where frequencies lie on the axis: 0 at its lowest, 1 at its highest."""
        low, high, at = (self._warp(np.asarray(f, float)) for f in (self.low_hz, self.high_hz, hz))
        return np.asarray((at - low) / (high - low))

    def frequency(self, place: Reals) -> Reals:
        """The inverse of ``place``."""
        low, high = (self._warp(np.asarray(f, float)) for f in (self.low_hz, self.high_hz))
        at = low + np.asarray(place) * (high - low)
        return np.asarray(at if self._filters is None else mel_to_hz(at))

    def _warp(self, hz: Reals) -> Reals:
        return hz if self._filters is None else np.asarray(hz_to_mel(hz))

    def frames(self, samples: FloatArray) -> FloatArray:
        """Levels of contiguous samples (n,), (T, M) in dB; T is 0 where they are too few."""
        spec = self.spec
        if len(samples) < spec.n_fft:
            return np.empty((0, self.bands), np.float32)
        magnitudes = stft_magnitude(samples, spec.n_fft, spec.hop_length)
        if self._filters is None:
            return np.asarray(
                10.0 * np.log10(np.square(magnitudes) + np.float32(LOG_FLOOR)), np.float32
            )
        levels = log_mel(magnitudes, self._filters)
        # At the low end a filter may lie between two bins and see nothing, whatever is played.
        seeing = np.flatnonzero(self._filters.weights.any(axis=0))
        nearest = np.abs(np.arange(self.bands)[:, None] - seeing).argmin(axis=1)
        return levels[:, seeing[nearest]]

    def spectrogram(self, mono: Mono) -> Spectrogram:
        """Every frame of a stretch of audio, those that touch lost audio left blank."""
        spec = self.spec
        count = frame_count(len(mono.samples), spec.n_fft, spec.hop_length)
        db = np.full((count, self.bands), np.nan, np.float32)
        for begin, end in mono.runs:
            first = -(-begin // spec.hop_length)
            levels = self.frames(mono.samples[first * spec.hop_length : end])
            db[first : first + len(levels)] = levels
        rate = self.sample_rate
        return Spectrogram(db, spec.n_fft / 2 / rate, spec.hop_length / rate)


def front_end_of(manifest: Manifest) -> FrontEnd:
    """The feature of a bundle that people can read best: mel bands, else short spectra.

    A model that reads neither is shown by the mel bands it would have by default.
    """
    rate = manifest.sample_rate
    specs = list(manifest.features.values())
    for kind in (LogMelStatistics, StftMagnitude):
        for spec in specs:
            if isinstance(spec, kind):
                return FrontEnd(spec, rate)
    size = min(1024, manifest.window_samples)
    usual = LogMelStatistics(n_fft=size, hop_length=size // 2, f_max=rate / 2)
    return FrontEnd(usual, rate, own=False)


def heard(
    samples: FloatArray,
    rate: int,
    gaps: Sequence[tuple[int, int]],
    *,
    target_rate: int,
    gain_db: float,
) -> Mono:
    """Audio as the pipeline hears it: resampled stretch by stretch, with the monitor's gain.

    Args:
        samples: (n,) as the source gave them.
        rate: Of the source, hertz.
        gaps: Samples (begin, end) that were lost, in order.
        target_rate: Rate of the bundle.
        gain_db: Of the profile.
    """
    # What no microphone gives, a broken driver may: it must not become infinite on the way.
    sound = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -100.0, 100.0)
    edges = [0, *itertools.chain.from_iterable(gaps), len(sound)]
    out = np.zeros(-(-len(sound) * target_rate // rate) + 1, np.float32)
    runs = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        resampler = Resampler(rate, target_rate)
        blocks = resampler.push(Block(sound[begin:end, None], begin, 0.0)) + resampler.flush()
        if not blocks:
            continue
        last = min(len(out), blocks[-1].start + len(blocks[-1].samples))
        for block in blocks:
            room = out[block.start : last]
            room[: len(block.samples)] = block.samples[: len(room), 0]
        runs.append((blocks[0].start, last))
    if not runs:
        return Mono(np.empty(0, np.float32), ())
    return Mono(out[: runs[-1][1]] * np.float32(db_to_factor(gain_db)), tuple(runs))
