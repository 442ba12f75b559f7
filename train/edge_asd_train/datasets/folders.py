"""Folders of recordings: one class a folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from edge_asd.errors import DataError
from edge_asd_train.datasets.decode import audio_files, read_clip
from edge_asd_train.datasets.store import Clip, Pending

_logger = logging.getLogger(__name__)

_NORMAL = frozenset({"normal", "train"})
"""Folder names that say nothing about the machine."""

_NOT_FOR_TRAINING = ("test", "anomal", "abnormal", "fault")
"""Beginnings of folder and file names that never train: only normal sound does."""


def machine_folders(root: Path, sample_rate: int) -> Pending:
    """Normal clips of machines, every folder with audio being one machine and class.

    ``pump/normal/1.wav`` and ``pump/train/1.wav`` belong to the class ``pump``,
    ``fan/id_00/normal/1.wav`` to ``fan/id_00``. Folders and files whose names begin with ``test``,
    ``anomal``, ``abnormal`` or ``fault`` are left out.

    Args:
        root: Folder of machines.
        sample_rate: Rate to which clips are brought, Hz.

    Raises:
        DataError: There is no such folder or no audio in it.
    """
    found: list[tuple[str, Path]] = []
    left_out = 0
    for folder in _walk(root):
        parts = folder.relative_to(root).parts
        if any(part.lower().startswith(_NOT_FOR_TRAINING) for part in parts):
            left_out += len(audio_files(folder))
            continue
        name = "/".join(part for part in parts if part.lower() not in _NORMAL) or root.name
        for path in audio_files(folder):
            if path.name.lower().startswith(_NOT_FOR_TRAINING):
                left_out += 1
            else:
                found.append((name, path))
    if left_out:
        _logger.info("left_out=%d root=%s reason=not normal training audio", left_out, root)
    return _pending(root, found, sample_rate)


def class_folders(root: Path, sample_rate: int) -> Pending:
    """Clips of any sounds, every folder with audio being one class (the layout of ESC-10).

    Args:
        root: Folder of class folders.
        sample_rate: Rate to which clips are brought, Hz.

    Raises:
        DataError: There is no such folder or no audio in it.
    """
    found = [
        ("/".join((root.name, *folder.relative_to(root).parts)), path)
        for folder in _walk(root)
        for path in audio_files(folder)
    ]
    return _pending(root, found, sample_rate)


def _walk(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    folders = (Path(folder) for folder, _, _ in os.walk(root))
    return iter(sorted(f for f in folders if not any(p.startswith(".") for p in f.parts[1:])))


def _pending(root: Path, found: list[tuple[str, Path]], sample_rate: int) -> Pending:
    if not found:
        raise DataError(f"{root}: no audio for training in it (wav, flac, ogg, aiff)")

    def clips() -> Iterator[Clip]:
        for name, path in found:
            yield Clip(read_clip(path, sample_rate), label=name, machine=name)

    return Pending(len(found), clips)
