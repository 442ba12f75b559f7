"""The plain layout: a folder a machine, with or without folders for normal, anomaly and test.

``pump/1.wav``, ``pump/normal/1.wav``, ``pump/train/1.wav`` are normal clips for training,
``pump/test/normal_1.wav``, ``pump/test/anomaly/1.wav`` and ``pump/anomaly/1.wav`` are tests. Other
folders in between name the section: ``fan/id_00/normal/1.wav`` is of section ``id_00`` of ``fan``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_asd_train.datasets.index import ClipFile, Split
from edge_asd_train.datasets.tree import Found

PLAIN = "plain"

_HELD_BACK = 5
"""Every fifth normal clip of a section is kept for tests where only anomalies were."""

_TRAIN = frozenset({"train", "training"})
_NORMAL = "normal"
_TEST = "test"
_ANOMALOUS = ("anomal", "abnormal", "fault")
"""Beginnings of names of folders and files."""

SPLIT_FOLDERS = frozenset(
    {*_TRAIN, _NORMAL, _TEST, "anomaly", "anomalous", "abnormal", "source_test", "target_test"}
)
"""A folder in which one of these lies is a machine's."""


def read_plain(found: Sequence[Found]) -> list[ClipFile]:
    """Clips of the plain layout.

    Where a section has anomalies but no test clip that may be normal, every fifth of its normal
    clips by name order (the 5th, 10th, ...) is a test clip instead of a training clip.
    """
    sections: dict[tuple[str, str], list[ClipFile]] = {}
    for one in found:
        clip = _read(one)
        sections.setdefault((clip.machine, clip.section), []).append(clip)
    return [clip for clips in sections.values() for clip in _with_tests(clips)]


def _read(one: Found) -> ClipFile:
    names = [*(folder.lower() for folder in one.folders), one.path.name.lower()]
    section = "/".join(folder for folder in one.folders if not _says_split(folder.lower()))
    anomalous: bool | None = None
    if any(name.startswith(_ANOMALOUS) for name in names):
        anomalous = True
    elif any(name.startswith(_NORMAL) for name in names):
        anomalous = False
    split: Split = "test" if anomalous or any(n.startswith(_TEST) for n in names) else "train"
    return ClipFile(
        path=one.path,
        machine=one.machine,
        section=section or "00",
        split=split,
        anomalous=False if split == "train" else anomalous,
    )


def _says_split(folder: str) -> bool:
    return folder in _TRAIN or folder.startswith((_NORMAL, _TEST, *_ANOMALOUS))


def _with_tests(clips: list[ClipFile]) -> list[ClipFile]:
    tests = [clip for clip in clips if clip.split == "test"]
    if not tests or not all(clip.anomalous for clip in tests):
        return clips
    normal = sorted((clip for clip in clips if clip.split == "train"), key=lambda one: one.path)
    kept = {clip.path for clip in normal[_HELD_BACK - 1 :: _HELD_BACK]}
    return [replace(clip, split="test") if clip.path in kept else clip for clip in clips]
