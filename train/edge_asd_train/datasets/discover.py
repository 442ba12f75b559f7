"""Find the clips of a data set and what their names say, whatever year's layout it has."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import soundfile

from edge_asd.errors import DataError, UsageError
from edge_asd_train.datasets.attributes import read_tables
from edge_asd_train.datasets.index import ClipFile, Index
from edge_asd_train.datasets.layouts import LAYOUTS, Layout
from edge_asd_train.datasets.plain import PLAIN, SPLIT_FOLDERS, read_plain
from edge_asd_train.datasets.tree import Found, find_audio, folders_in

_logger = logging.getLogger(__name__)

LAYOUT_NAMES = ("auto", *LAYOUTS, PLAIN)
"""What ``--layout`` takes."""

_WRAPPER = re.compile(r"raw|dev_data|eval_data|dcase20\d\d(t2)?", re.IGNORECASE)
"""Folders that others unpack the data sets into."""

_PEEKED = 8
"""Files whose headers are looked at for the number of channels."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a layout made of the files that were found."""

    files: list[ClipFile]
    unparsed: list[Path]
    left_out: int = 0


def index_folder(root: Path, layout: str = "auto") -> Index:
    """Find the clips of a data set.

    Args:
        root: The folder that holds the machines, or one machine's folder. A folder around it
            (``dev_data``, ``raw``) is looked through where only one can be meant.
        layout: A year, ``plain``, or ``auto``: the newest year whose names fit all files and whose
            number of channels they have; failing that, the year that fits most of them; and
            ``plain`` where no year fits more than half.

    Returns:
        All clips in order of machine, split and name; names that do not fit are in ``unparsed``.

    Raises:
        DataError: No such folder, no clips in it, or several data sets.
        UsageError: No such layout.
    """
    if layout not in LAYOUT_NAMES:
        raise UsageError(f"layout {layout}: unknown; choose from {', '.join(LAYOUT_NAMES)}")
    root = _holder(root)
    found = find_audio(root, single=_is_machine(root))
    if not found:
        raise DataError(f"{root}: no audio in it (wav, flac, ogg, aiff)")
    name, reading = _detect(found) if layout == "auto" else (layout, _read(layout, found))
    if not reading.files:
        raise DataError(
            f"{root}: no file name fits layout {name} (first: {found[0].path}); choose another"
            " --layout, or plain for MACHINE/normal/*.wav"
        )
    _logger.info(
        "layout=%s root=%s clips=%d unparsed=%d left_out=%d",
        *(name, root, len(reading.files), len(reading.unparsed), reading.left_out),
    )
    files = sorted(reading.files, key=lambda one: (one.machine, one.split != "train", one.path))
    return Index(root=root, layout=name, files=tuple(files), unparsed=tuple(reading.unparsed))


def _read(layout: str, found: Sequence[Found]) -> _Reading:
    if layout == PLAIN:
        return _Reading(read_plain(found), [])
    return _read_year(LAYOUTS[layout], found)


def _read_year(layout: Layout, found: Sequence[Found]) -> _Reading:
    splits = dict(layout.folders)
    renamed = {one.machine for one in found if one.folders == (layout.renamed_test,)}
    tables = read_tables({one.machine: one.home for one in found}, layout)
    files: dict[tuple[str, str, str], ClipFile] = {}
    unparsed: list[Path] = []
    left_out = 0
    for one in found:
        folder = one.folders[0] if len(one.folders) == 1 else ""
        if folder in layout.other_folders or (folder == "test" and one.machine in renamed):
            left_out += 1
            continue
        split = "test" if folder == layout.renamed_test else splits.get(folder)
        clip = split and layout.parse(one.path, one.machine, split, tables[one.machine])
        if not clip:
            unparsed.append(one.path)
        elif clip != files.setdefault((one.machine, clip.split, one.path.name), clip):
            left_out += 1  # source_test/ and target_test/ beside the test/ merged from them
    return _Reading(list(files.values()), unparsed, left_out)


def _detect(found: Sequence[Found]) -> tuple[str, _Reading]:
    channels = _channels(found)
    readings = {
        name: _read_year(layout, found)
        for name, layout in reversed(list(LAYOUTS.items()))
        if channels is None or layout.channels == channels
    }
    complete = [name for name, reading in readings.items() if not reading.unparsed]
    complete = [name for name in complete if readings[name].files]
    if complete:
        if len(complete) > 1:
            _logger.info("layouts=%s all fit: taking the newest", ",".join(complete))
        return complete[0], readings[complete[0]]
    best = max(readings, key=lambda name: len(readings[name].files), default=PLAIN)
    if best != PLAIN and len(readings[best].files) > len(readings[best].unparsed):
        return best, readings[best]
    return PLAIN, _read(PLAIN, found)


def _channels(found: Sequence[Found]) -> int | None:
    """Channels of the first file whose header can be read."""
    for one in found[:_PEEKED]:
        with suppress(OSError, RuntimeError):  # found and named when the clips are checked
            return int(soundfile.info(one.path).channels)
    return None


def _is_machine(folder: Path) -> bool:
    """Whether a folder holds one machine's clips rather than machines."""
    return any(child.name.lower() in SPLIT_FOLDERS for child in folders_in(folder))


def _holder(root: Path) -> Path:
    """The folder that holds the machines, below folders of known names.

    Raises:
        DataError: Several of them hold audio.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    while True:
        children = folders_in(root)
        if _is_machine(root) or any(map(_is_machine, children)):
            return root
        wrappers = [child for child in children if _WRAPPER.fullmatch(child.name)]
        holding = [child for child in wrappers if find_audio(child, single=True)]
        if len(holding) > 1:
            names = " or ".join(str(_innermost(child)) for child in holding)
            raise DataError(f"{root}: holds several data sets; give {names}")
        if not holding:
            return root
        root = holding[0]


def _innermost(folder: Path) -> Path:
    """Follow folders of known names down, for a message that names the right one."""
    inner = [child for child in folders_in(folder) if _WRAPPER.fullmatch(child.name)]
    return _innermost(inner[0]) if len(inner) == 1 else folder
