"""What a WAV header promises: libsndfile silently reads a truncated file as a shorter one."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Programs that write to a pipe cannot know the length: 0, all ones, or just below or at 2 GiB.
_UNKNOWN = frozenset({0, 0xFFFFFFFF, 0x80000000, *range(0x7FFFF000, 0x80000000)})

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


@dataclass(frozen=True, slots=True)
class WavHeader:
    """Layout of a RIFF or RF64 WAV file."""

    rate: int
    channels: int
    coding: str
    """``s16le`` and so on for plain PCM, empty for anything else."""
    bytes_per_second: int
    data_at: int
    """Position of the first sample in the file."""
    promised_bytes: int | None
    """Size of the samples by the header; None where the writer could not know."""
    present_bytes: int
    """Size of what follows the data chunk's header."""

    @property
    def truncated(self) -> bool:
        """The file holds less than its header promises."""
        return self.promised_bytes is not None and self.present_bytes < self.promised_bytes

    @property
    def unsized(self) -> bool:
        """Plain PCM of unknown length; libsndfile takes a size of 0 at its word."""
        return self.promised_bytes is None and bool(self.coding)


def read_wav_header(path: Path) -> WavHeader | None:
    """Read where the samples of a WAV file are.

    Args:
        path: Any file.

    Returns:
        None if it is not a WAV file or has no format and data chunk.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] not in {b"RIFF", b"RF64"} or head[8:] != b"WAVE":
            return None
        return _walk(file, path.stat().st_size)


def _walk(file: BinaryIO, file_bytes: int) -> WavHeader | None:
    layout: tuple[int, int, str, int] | None = None
    long_bytes: int | None = None
    while len(head := file.read(8)) == 8:
        name, size = head[:4], int.from_bytes(head[4:], "little")
        at = file.tell()
        if name == b"data":
            if layout is None:
                return None
            promised = long_bytes if long_bytes is not None and size == 0xFFFFFFFF else size
            known = None if promised in _UNKNOWN and file_bytes - at != promised else promised
            return WavHeader(*layout, at, known, file_bytes - at)
        if name == b"ds64":
            long_bytes = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"fmt ":
            layout = _layout(file.read(min(size, 40)))
        file.seek(at + size + size % 2)  # chunks begin at even positions
    return None


def _layout(chunk: bytes) -> tuple[int, int, str, int] | None:
    if len(chunk) < 16:
        return None
    tag, channels, rate, per_second, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    kinds = {(_PCM, 16): "s16le", (_PCM, 24): "s24le", (_PCM, 32): "s32le", (_FLOAT, 32): "f32le"}
    return rate, channels, kinds.get((tag, bits), ""), per_second
