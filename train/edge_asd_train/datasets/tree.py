"""Folders and audio files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import DataError
from edge_asd_train.datasets.decode import AUDIO_SUFFIXES


@dataclass(frozen=True, slots=True)
class Found:
    """One audio file and where it lies."""

    path: Path
    machine: str
    home: Path
    """Folder of the machine."""
    folders: tuple[str, ...]
    """Folders between the machine's and the file."""


def find_audio(root: Path, *, single: bool) -> list[Found]:
    """Audio files below a folder in order of their paths; hidden ones are left out.

    Args:
        root: Folder of machines.
        single: ``root`` is itself the folder of a machine. A file directly in a folder of machines
            belongs to a machine of that folder's name.

    Raises:
        DataError: A folder cannot be read.
    """
    name = root.resolve().name
    found = []
    for path in _walk(root, frozenset()):
        parts = path.relative_to(root).parts[:-1]
        if single or not parts:
            found.append(Found(path, name, root, parts))
        else:
            found.append(Found(path, parts[0], root / parts[0], parts[1:]))
    return found


def folders_in(folder: Path) -> list[Path]:
    """Folders directly in a folder, in name order; hidden ones are left out."""
    return [path for path in _entries(folder) if path.is_dir()]


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    # Links to folders are followed, as large data sets often lie elsewhere; a circle ends here.
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in _entries(folder):
        if path.is_dir():
            yield from _walk(path, above | {real})
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            yield path


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name[0] != ".")
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
