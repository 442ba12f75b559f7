"""What lies in the folder of all evidence, whoever put it there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge_asd.evidence.folders import DELETING, RECORD, WRITING_PREFIX, read_folder
from edge_asd.evidence.records import Kept

INDEX_NAME = "index.db"

_MONITOR = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_MONTH = re.compile(r"\d{4}-\d\d")
_NAME = re.compile(r"\d{8}T\d{6}Z_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(slots=True)
class Scan:
    """Paths below the root."""

    kept: list[Kept] = field(default_factory=list)
    drafts: list[Path] = field(default_factory=list)
    """Folders that were being written when a process died."""
    deleting: list[Path] = field(default_factory=list)
    """Folders that were being deleted."""
    empty: list[Path] = field(default_factory=list)
    """Folders with nothing in them, innermost first."""
    foreign: list[Path] = field(default_factory=list)
    """Everything that edge-asd did not make, or cannot recognise any more."""
    unreadable: list[Path] = field(default_factory=list)
    """What could not be looked into: what the index says of it stands."""


_Look = Callable[[Path, Path, "os.DirEntry[str]", Scan], None]


def scan(root: Path) -> Scan:
    """Look at everything below ``root``; whatever lies there, it never fails for it.

    Raises:
        OSError: The root itself cannot be read.
    """
    found = Scan()
    with os.scandir(root) as entries:
        monitors = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in monitors:
        if _is_index(entry.name):
            continue
        if not (_MONITOR.fullmatch(entry.name) and _is_folder(entry)):
            found.foreign.append(Path(entry.name))
            continue
        _look_into(root, Path(entry.name), found, _month)
    return found


def _is_index(name: str) -> bool:
    return name == INDEX_NAME or name.startswith((f"{INDEX_NAME}-", f"{INDEX_NAME}.corrupt-"))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _look_into(root: Path, folder: Path, found: Scan, look: _Look) -> None:
    """Hand every entry to ``look``; a folder that turns out empty is noted as such."""
    number = 0
    for entry in _entries(root, folder, found):
        number += 1
        look(root, folder / entry.name, entry, found)
    if not number and folder not in found.unreadable:
        found.empty.append(folder)


def _entries(root: Path, folder: Path, found: Scan) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(root / folder) as entries:
            yield from sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError:
        found.unreadable.append(folder)


def _month(root: Path, path: Path, entry: os.DirEntry[str], found: Scan) -> None:
    if _MONTH.fullmatch(entry.name) and _is_folder(entry):
        _look_into(root, path, found, _evidence)
    else:
        found.foreign.append(path)


def _evidence(root: Path, path: Path, entry: os.DirEntry[str], found: Scan) -> None:
    name = entry.name.removeprefix(WRITING_PREFIX)
    if not (_NAME.fullmatch(name) and _is_folder(entry)):
        found.foreign.append(path)
    elif name != entry.name:
        found.drafts.append(path)
    else:
        _sort_in(root, path, found)


def _sort_in(root: Path, path: Path, found: Scan) -> None:
    try:
        names = os.listdir(root / path)  # noqa: PTH208 - names may be no UTF-8
        kept = read_folder(root, path) if RECORD in names else None
    except OSError:
        found.unreadable.append(path)
        return
    if kept is not None:
        found.kept.append(kept)
    elif DELETING in names:
        found.deleting.append(path)
    elif not names:
        found.empty.append(path)
    else:
        found.foreign.append(path)
