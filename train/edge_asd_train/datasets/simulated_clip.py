"""Rendering one planned clip of the simulated set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from edge_asd.audio import db_to_factor
from edge_asd.errors import DataError
from edge_asd.records import FloatArray
from edge_asd.simulate import render
from edge_asd.simulate.dsp import child_rng, minimum_phase
from edge_asd_train.datasets.decode import audio_files, read_clip, to_int16
from edge_asd_train.datasets.simulated_plan import PLACES, PlannedClip

_COLOUR_TERMS = 6
_COLOUR_TAPS_MS = 16


def find_recordings(root: Path) -> tuple[Path, ...]:
    """Every audio file in a tree, in order.

    Raises:
        DataError: There is no such folder or no audio in it.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    found = tuple(path for folder in sorted(os.walk(root)) for path in audio_files(Path(folder[0])))
    if not found:
        raise DataError(f"{root}: no recordings in it (wav, flac, ogg, aiff)")
    return found


def render_clip(
    clip: PlannedClip, duration_s: float, recordings: Sequence[Path] = ()
) -> NDArray[np.int16]:
    """Render one clip.

    Args:
        clip: What it is.
        duration_s: Length in s.
        recordings: Shared out among the noise places and mixed in; none if empty.

    Returns:
        Samples, shape (n,).

    Raises:
        DataError: The chosen recording cannot be read.
    """
    scene = clip.scene
    samples = render(scene, duration_s, seed=clip.seed, fault=clip.fault)
    if recordings:
        level_db = scene.level_dbfs - clip.recording_snr_db
        path = _recording_of(clip, recordings)
        samples = samples + _part_of(path, len(samples), scene.sample_rate, level_db, clip.seed)
    kernel = colour(clip.seed, scene.sample_rate, clip.colour_db)
    return to_int16(scipy.signal.oaconvolve(samples, kernel)[: len(samples)])


def colour(seed: int, sample_rate: int, spread_db: float) -> FloatArray:
    """Colour of one clip: how the microphone happened to stand and to be mounted.

    A smooth response over the octaves: a sum of cosines, each as large as the others in the mean.

    Args:
        seed: Of the clip.
        sample_rate: Hz.
        spread_db: Standard deviation of each cosine.

    Returns:
        Minimum-phase kernel, shape (taps,).
    """
    rng = child_rng(seed, "colour")
    f_hz = np.linspace(0.0, sample_rate / 2.0, 257)
    low_hz = 50.0
    place = np.log2(np.maximum(f_hz, low_hz) / low_hz) / np.log2(sample_rate / 2.0 / low_hz)
    order = np.arange(1, _COLOUR_TERMS + 1)
    weight = spread_db * rng.standard_normal(_COLOUR_TERMS)
    response_db = np.cos(np.pi * np.outer(place, order)) @ weight  # (F, K) -> (F,)
    taps = _COLOUR_TAPS_MS * sample_rate // 1000
    return np.asarray(minimum_phase(response_db, taps), np.float32)


def _recording_of(clip: PlannedClip, recordings: Sequence[Path]) -> Path:
    """One of the recordings of the clip's noise place."""
    own = recordings[clip.point.place - 1 :: PLACES] or recordings
    return own[int(clip.recording * len(own))]


def _part_of(path: Path, n: int, sample_rate: int, level_db: float, seed: int) -> FloatArray:
    """A random part of a recording, repeated if it is short, at a level in dB, shape (n,)."""
    recording = _read(path, sample_rate)
    rng = child_rng(seed, "recording")
    start = int(rng.integers(len(recording)))
    part = np.resize(np.roll(recording, -start), n)
    rms = float(np.sqrt(np.mean(np.square(recording, dtype=np.float64))))
    return np.asarray(part * (db_to_factor(level_db) / rms), np.float32)


@lru_cache(maxsize=64)
def _read(path: Path, sample_rate: int) -> FloatArray:
    return np.asarray(read_clip(path, sample_rate) / np.float32(32768.0), np.float32)
