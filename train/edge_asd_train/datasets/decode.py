"""Read audio files as 16-bit mono at one rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from edge_asd.errors import DataError
from edge_asd.records import FloatArray

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".aif", ".aiff"})


def to_int16(samples: FloatArray) -> NDArray[np.int16]:
    """Samples in ±1 as 16-bit integers, full scale 32768, limited at the edges."""
    scaled = np.rint(np.asarray(samples, np.float32) * np.float32(32768.0))
    return np.asarray(np.clip(scaled, -32768, 32767), np.int16)


def read_clip(path: Path, sample_rate: int) -> NDArray[np.int16]:
    """First channel of an audio file at ``sample_rate``, shape (n,).

    Raises:
        DataError: It cannot be decoded, is empty, or holds no sound at all.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); remove or repair it") from error
    mono = samples[:, 0]
    if rate != sample_rate and len(mono):
        mono = soxr.resample(mono, rate, sample_rate)
    if len(mono) == 0:
        raise DataError(f"{path}: holds no samples; remove it")
    clip = to_int16(mono)
    if not clip.any():
        raise DataError(f"{path}: is digital silence; remove it")
    return clip


def audio_files(folder: Path) -> list[Path]:
    """Audio files directly in a folder, in name order."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file() and path.name[0] != "."
    )
