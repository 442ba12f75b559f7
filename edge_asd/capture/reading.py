"""One sound file, opened and read with every way to be broken told apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from edge_asd.capture.pcm import FORMATS, decode
from edge_asd.capture.riff import WavHeader, read_wav_header
from edge_asd.errors import DataError
from edge_asd.records import FloatArray

_CONVERT = "convert it, for example: ffmpeg -i IN -c:a pcm_s16le OUT.wav"
_NO_LENGTH = 1 << 60  # libsndfile's way to say that a FLAC stream does not know its length


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file's header says."""

    path: Path
    rate: int
    channels: int
    frames: int
    wav: WavHeader | None
    """Where the samples are, for WAV files only."""


def inspect(path: Path) -> AudioInfo:
    """Check a file by its header.

    Raises:
        DataError: It is missing, empty, truncated or not audio; with the remedy.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name one of its files")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty; record or copy it again")
        wav = read_wav_header(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}; check path and permissions") from error
    _check_wav(path, wav)
    rate, channels, frames = _described(path, wav)
    if frames == 0:
        raise DataError(f"{path}: holds no samples; record or copy it again")
    if frames >= _NO_LENGTH:
        raise DataError(f"{path}: does not say how long it is; {_CONVERT}")
    return AudioInfo(path, rate, channels, frames, wav)


def _check_wav(path: Path, wav: WavHeader | None) -> None:
    if wav is None:
        return
    if wav.channels == 0 or wav.rate == 0:
        what = "channels" if wav.channels == 0 else "sample rate"
        raise DataError(f"{path}: its header says 0 {what}; {_CONVERT}")
    if wav.truncated:
        per_second = max(1, wav.bytes_per_second)
        raise DataError(
            f"{path}: truncated, holds {wav.present_bytes / per_second:.1f} s of the "
            f"{(wav.promised_bytes or 0) / per_second:.1f} s its header promises; copy it again, "
            f"or keep what there is: ffmpeg -i IN OUT.wav"
        )


def _described(path: Path, wav: WavHeader | None) -> tuple[int, int, int]:
    """Rate, channels and frames."""
    if wav is not None and wav.unsized:
        frame_bytes = FORMATS[wav.coding] * wav.channels
        return wav.rate, wav.channels, wav.present_bytes // frame_bytes
    try:
        info = soundfile.info(os.fsencode(path))
    except soundfile.LibsndfileError as error:
        raise DataError(
            f"{path}: not a sound file that can be read ({_said(error)}); {_CONVERT}"
        ) from error
    return int(info.samplerate), int(info.channels), int(info.frames)


def read_blocks(info: AudioInfo, frames: int) -> Iterator[FloatArray]:
    """Read a file piece by piece.

    Args:
        info: The file, as `inspect` found it.
        frames: Length of a piece; the last one may be shorter.

    Yields:
        Pieces (n, C) float32.

    Raises:
        DataError: It is damaged, shorter than its header says, or holds NaN or infinity.
    """
    done = 0
    try:
        with _open(info) as read:
            while done < info.frames:
                wanted = min(frames, info.frames - done)
                samples = read(wanted)
                if len(samples) < wanted:
                    raise DataError(_ends_early(info, done + len(samples)))
                _refuse_not_finite(info, samples, done)
                yield samples
                done += len(samples)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{_ends_early(info, done)} ({_said(error)})") from error


@contextmanager
def _open(info: AudioInfo) -> Iterator[Callable[[int], FloatArray]]:
    """Open the samples: a function that reads the next so many frames, (n, C) float32."""
    wav = info.wav
    if wav is not None and wav.unsized:
        frame_bytes = FORMATS[wav.coding] * wav.channels
        with info.path.open("rb") as file:
            file.seek(wav.data_at)
            yield lambda n: decode(file.read(n * frame_bytes), wav.coding, wav.channels)
    else:
        with soundfile.SoundFile(os.fsencode(info.path)) as sound:
            yield lambda n: np.asarray(sound.read(n, dtype="float32", always_2d=True))


def _ends_early(info: AudioInfo, frames: int) -> str:
    return (
        f"{info.path}: damaged or truncated after {frames / info.rate:.1f} s of "
        f"{info.frames / info.rate:.1f} s; copy it again, or keep what there is: "
        f"ffmpeg -i IN OUT.wav"
    )


def _refuse_not_finite(info: AudioInfo, samples: FloatArray, at: int) -> None:
    bad = ~np.isfinite(samples).all(axis=1)  # (n, C) -> (n,)
    if bad.any():
        first = (at + int(np.argmax(bad))) / info.rate
        raise DataError(
            f"{info.path}: sample at {first:.3f} s is NaN or infinite; export it again from the "
            f"program that wrote it, as 16- or 24-bit WAV"
        )


def _said(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()).rstrip(".")
