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


def decode(path: Path) -> tuple[FloatArray, int]:
    """All samples of an audio file, shape (n, channels) in ±1, and its rate in Hz.

    Raises:
        DataError: It cannot be decoded.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); remove or repair it") from error
    return samples, int(rate)


def at_rate(mono: FloatArray, rate: int, wanted: int) -> NDArray[np.int16]:
    """Samples (n,) of ``rate`` Hz as 16-bit integers of ``wanted`` Hz."""
    return to_int16(mono if rate == wanted else soxr.resample(mono, rate, wanted))


def read_clip(path: Path, sample_rate: int, channel: int = 0) -> NDArray[np.int16]:
    """One channel of an audio file at ``sample_rate``, shape (n,).

    Raises:
        DataError: It cannot be decoded, is empty, or holds no sound at all.
    """
    samples, rate = decode(path)
    if len(samples) == 0:
        raise DataError(f"{path}: holds no samples; remove it")
    clip = at_rate(samples[:, channel], rate, sample_rate)
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
