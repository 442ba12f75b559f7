"""``file:`` a sound file or a folder of them as one continuous stream, and whole files at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edge_asd.capture.due import Due
from edge_asd.capture.pacing import Pacer
from edge_asd.capture.reading import AudioInfo, inspect, read_blocks
from edge_asd.capture.uri import FileUri
from edge_asd.errors import DataError
from edge_asd.records import Block, FloatArray
from edge_asd.steady import SteadyClock

SUFFIXES = frozenset({".wav", ".wave", ".flac", ".ogg", ".oga"})
"""What counts as a sound file in a folder; a file named by itself may be called anything."""

CLIP_GAP_S = 1.0
"""Stream time between clips that are not to be joined."""


def read_audio(path: str | os.PathLike[str]) -> tuple[FloatArray, int]:
    """Read a whole file.

    Args:
        path: A WAV, FLAC or OGG file.

    Returns:
        Samples (n, C) float32 and the rate in hertz; n and C are at least 1.

    Raises:
        DataError: It is missing, empty, truncated, not audio, or holds NaN or infinity.
    """
    info = inspect(Path(path))
    samples = np.empty((info.frames, info.channels), np.float32)
    at = 0
    for piece in read_blocks(info, 1 << 18):
        samples[at : at + len(piece)] = piece
        at += len(piece)
    return samples, info.rate


def list_audio(path: str | os.PathLike[str]) -> list[Path]:
    """The sound files a path stands for: itself, or the folder's own in name order.

    Raises:
        DataError: A folder holds none, or cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        return [folder]
    try:
        files = sorted(
            entry
            for entry in folder.iterdir()
            if entry.suffix.lower() in SUFFIXES
            and not entry.name.startswith(".")
            and entry.is_file()
        )
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error}; check the permissions") from error
    if not files:
        known = " ".join(sorted(SUFFIXES))
        raise DataError(f"{folder}: no sound files in this folder (looked for {known})")
    return files


class FileSource:
    """Audio from files, streamed; their headers are checked at once.

    Args:
        uri: Path, speed, and whether files are joined or repeated.
        files: The files themselves instead of those the path stands for; at least one.
        clock: What blocks are dated with.

    Raises:
        DataError: A file cannot be used, or differs from the first in rate or channels.
    """

    def __init__(
        self,
        uri: FileUri,
        files: Sequence[Path] | None = None,
        *,
        clock: SteadyClock | None = None,
    ) -> None:
        self._uri = uri
        self._files = [inspect(path) for path in files or list_audio(uri.path)]
        self._check_alike()
        self._pacer = Pacer(uri.speed, clock)
        self._due = Due()

    @classmethod
    def of(cls, files: Sequence[Path]) -> FileSource:
        """Open these files, at least one, as one stream that is read as fast as it is taken.

        Raises:
            DataError: As for the class.
        """
        return cls(FileUri(text=f"file:{files[0]}", path=str(files[0])), files)

    @property
    def sample_rate(self) -> int:
        """Rate of all files."""
        return self._files[0].rate

    @property
    def channels(self) -> int:
        """Channels of the first file; what others have beyond them is left out."""
        return self._files[0].channels

    def blocks(self) -> Iterator[Block]:
        """Yield blocks until the last file ends, for ever when looping.

        Raises:
            DataError: A file turns out to be damaged.
        """
        rate = self.sample_rate
        start = 0
        for piece, opens in self._pieces(rate):
            if opens and start and self._uri.gap_per_clip:
                start += round(CLIP_GAP_S * rate)
            for samples in self._parts(piece, start):
                # A block exists only once its last sample was heard.
                if not self._pacer.hold((start + len(samples)) / rate):
                    return
                yield Block(samples, start, self._pacer.captured_at(start / rate))
                start += len(samples)

    def expect(self, index: int) -> None:
        """Have a block end at this stream index where blocks are paced; from any thread."""
        if self._pacer.speed is not None:
            self._due.index = index

    def close(self) -> None:
        """End the stream; the open file is closed by the thread that reads it."""
        self._pacer.close()

    def _parts(self, piece: FloatArray, start: int) -> Iterator[FloatArray]:
        """What was read at once, as long as blocks are, and cut where one is expected to end."""
        frames = max(1, round(self._pacer.block_s * self.sample_rate))
        for at in range(0, len(piece), frames):
            yield from self._due.parts(piece[at : at + frames], start + at)

    def _pieces(self, frames: int) -> Iterator[tuple[FloatArray, bool]]:
        """Every piece of every file, and whether it is the first of one."""
        while True:
            for info in self._files:
                opens = True
                for samples in read_blocks(info, frames):
                    yield samples[:, : self.channels], opens
                    opens = False
            if not self._uri.loop:
                return

    def _check_alike(self) -> None:
        first = self._files[0]
        for info in self._files[1:]:
            if info.rate != first.rate:
                raise DataError(
                    f"{info.path}: its rate is {info.rate} Hz, that of {first.path.name} "
                    f"{first.rate} Hz; {_resample(info, first)}"
                )
            if info.channels < first.channels:
                raise DataError(
                    f"{info.path}: has {info.channels} channels, {first.path.name} "
                    f"{first.channels}; move it to a folder of its own"
                )


def _resample(info: AudioInfo, first: AudioInfo) -> str:
    return f"resample it: ffmpeg -i {info.path.name} -ar {first.rate} OUT.wav"
