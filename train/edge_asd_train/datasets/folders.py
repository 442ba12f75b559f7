"""Folders of recordings of any sounds: one class a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_asd.errors import DataError
from edge_asd_train.datasets.decode import read_clip
from edge_asd_train.datasets.store import Clip, Pending
from edge_asd_train.datasets.tree import find_audio


def class_folders(root: Path, sample_rate: int) -> Pending:
    """Clips of any sounds, every folder with audio being one class (the layout of ESC-10).

    Args:
        root: Folder of class folders.
        sample_rate: Rate to which clips are brought, Hz.

    Raises:
        DataError: There is no such folder or no audio in it.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    found = find_audio(root, single=True)
    if not found:
        raise DataError(f"{root}: no audio in it (wav, flac, ogg, aiff)")

    def clips() -> Iterator[Clip]:
        for one in found:
            name = "/".join((one.machine, *one.folders))
            yield Clip(read_clip(one.path, sample_rate), label=name, machine=name)

    return Pending(len(found), clips)
