"""The normal audio a profile was learned from, kept so that a new bundle can learn from it again.

Pieces of contiguous audio, 24-bit FLAC, one channel at capture rate, before gain and resampling. A
piece's name is the stream index of its first sample, so that the gaps between pieces are known.
When the pieces outgrow their budget those with the closest neighbours are dropped: what stays is
spread over the whole time.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from edge_asd.errors import DataError, StorageError
from edge_asd.files import sync_folder
from edge_asd.records import Block, FloatArray

PIECE_S = 60.0
DEFAULT_BUDGET_BYTES = 64 * 2**20
_SUFFIX = ".flac"


class PieceWriter:
    """Write one channel of a stream as pieces of a minute; a gap begins a new piece.

    Args:
        folder: Where to; created, and emptied of what an interrupted recording left.
        sample_rate: Rate of the stream in hertz.
        channel: Which channel of its blocks.
        budget_bytes: Thin out beyond this; None keeps everything.
    """

    def __init__(
        self, folder: Path, sample_rate: int, channel: int = 0, budget_bytes: int | None = None
    ) -> None:
        self.folder = folder
        self.sample_rate = sample_rate
        self.channel = channel
        self.budget_bytes = budget_bytes
        self.written = 0  # samples
        self._file: soundfile.SoundFile | None = None
        self._next = 0  # stream index that continues the open piece
        self._end_of_piece = 0
        with _storage(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    @property
    def written_s(self) -> float:
        """Audio taken in so far, seconds."""
        return self.written / self.sample_rate

    def push(self, block: Block) -> None:
        """Append one block.

        Raises:
            StorageError: The disk is full or not writable.
        """
        samples = np.clip(block.samples[:, self.channel], -1.0, 1.0)  # (n, C) -> (n,)
        start = block.start
        with _storage(self.folder):
            while len(samples):
                if self._file is None or start != self._next or start >= self._end_of_piece:
                    self._open_piece(start)
                room = self._end_of_piece - start
                self._write(samples[:room])
                start += len(samples[:room])
                self._next = start
                samples = samples[room:]
        self.written += len(block.samples)

    def close(self) -> None:
        """Finish the open piece and make everything durable."""
        with _storage(self.folder):
            self._close_piece()
            sync_folder(self.folder)

    def _open_piece(self, start: int) -> None:
        self._close_piece()
        path = self.folder / f"{start:015d}{_SUFFIX}"
        self._file = soundfile.SoundFile(
            path, "w", self.sample_rate, channels=1, format="FLAC", subtype="PCM_24"
        )
        self._end_of_piece = start + round(PIECE_S * self.sample_rate)

    def _write(self, samples: FloatArray) -> None:
        if self._file is not None:
            self._file.write(samples)

    def _close_piece(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self.budget_bytes is not None:
            thin(self.folder, self.budget_bytes)


def thin(folder: Path, budget_bytes: int) -> None:
    """Drop the pieces that are missed least until the rest fits; one piece always stays.

    Raises:
        StorageError: The folder cannot be changed.
    """
    with _storage(folder):
        pieces = sorted(folder.glob(f"*{_SUFFIX}"))
        starts = [int(path.stem) for path in pieces]
        total = sum(path.stat().st_size for path in pieces)
        while len(pieces) > 1 and total > budget_bytes:
            # The smallest hole is left where the neighbours lie closest together.
            holes = [after - before for before, after in zip(starts, starts[2:], strict=False)]
            which = int(np.argmin(holes)) + 1 if holes else 1
            total -= pieces[which].stat().st_size
            pieces.pop(which).unlink()
            starts.pop(which)


class PieceSource:
    """The pieces of a folder as an audio source, gaps kept.

    Raises:
        DataError: There are none, or one is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = sorted(folder.glob(f"*{_SUFFIX}"))
        if not self._paths:
            raise DataError(f"{folder}: holds no recorded audio; enrol again")
        try:
            self._rate = int(soundfile.info(self._paths[0]).samplerate)
        except soundfile.LibsndfileError as error:
            raise DataError(f"{self._paths[0]}: damaged ({error}); enrol again") from error

    @property
    def sample_rate(self) -> int:
        """Rate in hertz."""
        return self._rate

    def blocks(self) -> Iterator[Block]:
        """Every piece in order, a second at a time."""
        for path in self._paths:
            start = int(path.stem)
            try:
                for samples in soundfile.blocks(path, self._rate, dtype="float32", always_2d=True):
                    yield Block(samples, start, start / self._rate)
                    start += len(samples)
            except soundfile.LibsndfileError as error:
                raise DataError(f"{path}: damaged ({error}); enrol again") from error

    def close(self) -> None:
        """Nothing stays open between blocks."""


@contextlib.contextmanager
def _storage(folder: Path) -> Iterator[None]:
    """Translate what a full or read-only disk raises."""
    try:
        yield
    except (OSError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(
            f"{folder}: audio cannot be written: {reason}; free space or correct the permissions"
        ) from error
