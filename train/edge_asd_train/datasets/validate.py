"""Check the clips of a data set before hours are spent on them.

Headers of all files are compared first. Samples are checked while they are decoded for training,
or by ``check_clips`` where nothing else decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import DataError
from edge_asd.records import FloatArray
from edge_asd_train.datasets.decode import at_rate, decode
from edge_asd_train.datasets.findings import Finding, Invalid, Kind, settle
from edge_asd_train.datasets.headers import compare_headers, read_headers
from edge_asd_train.datasets.index import ClipFile, Index
from edge_asd_train.datasets.labels import class_label, training_classes
from edge_asd_train.datasets.layouts import LAYOUTS
from edge_asd_train.datasets.measure import MeasureCache, Measured, measure
from edge_asd_train.datasets.store import Clip, Pending, only_one_class

_SILENT_DBFS = -80.0
"""Below it a 16-bit recording holds dither of a dead input rather than a machine."""

_CLIPPED_SHARE = 0.01
"""Of all samples at full scale; single peaks do no harm."""


def check_clips(
    index: Index,
    sample_rate: int,
    folder: Path,
    *,
    invalid: Invalid = "refuse",
    advance: Callable[[], None] = lambda: None,
) -> Index:
    """Check every clip of a data set; only files that have changed are decoded again.

    Args:
        index: The data set.
        sample_rate: Rate to which its clips will be brought, Hz.
        folder: Keeps what was measured (``checks.json``) and the report ``findings.csv``.
        invalid: ``refuse`` the data set, or ``skip`` bad clips.
        advance: Called after every clip.

    Returns:
        The data set without bad clips.

    Raises:
        DataError: Something is wrong and is to be refused.
        StorageError: The folder cannot be written.
    """
    cache = MeasureCache(folder)
    checker = _Checker(_Promised.of(index, sample_rate), cache)
    good = []
    try:
        for file in index.files:
            if checker.passes(file.path):
                good.append(file)
            advance()
    finally:
        cache.save()
    settle(checker.findings, invalid, folder)
    return replace(index, files=tuple(good), unparsed=())


def training_clips(
    index: Index,
    sample_rate: int,
    folder: Path,
    *,
    invalid: Invalid = "refuse",
    alone: bool = True,
) -> Pending:
    """Training clips of a data set, checked while they are decoded.

    Args:
        index: The data set; the headers of its test clips are checked as well.
        sample_rate: Rate to which clips are brought, Hz.
        folder: Keeps what was measured (``checks.json``) and the report ``findings.csv``.
        invalid: ``refuse`` the data set once all clips were checked, or ``skip`` bad clips.
        alone: Nothing else is trained on, so that the clips have to be of two classes.

    Returns:
        The clips, labelled; a machine is a section of a machine.

    Raises:
        DataError: The clips cannot be used, as far as it shows without decoding.
        StorageError: The folder cannot be written.
    """
    files = [file for file in index.files if file.split == "train"]
    promised = _Promised.of(index, sample_rate)
    cache = MeasureCache(folder)
    lacking = _too_few(index.root, files, alone=alone)
    if lacking:
        settle([*promised.findings, *lacking], invalid, folder)
    if invalid == "refuse":
        _refuse_known(promised, cache, files, folder)

    def clips() -> Iterator[Clip]:
        checker = _Checker(promised, cache)
        good = []
        try:
            for file in files:
                samples = checker.read(file.path, sample_rate)
                if samples is not None:
                    good.append(file)
                    machine = f"{file.machine}/{file.section}"
                    yield Clip(samples, label=class_label(file), machine=machine)
        finally:
            cache.save()
        left = _too_few(index.root, good, alone=alone)
        settle([*checker.findings, *left], invalid, folder)

    return Pending(len(files), clips, sum(promised.samples.get(f.path, 0) for f in files))


def _refuse_known(
    promised: _Promised, cache: MeasureCache, files: Sequence[ClipFile], folder: Path
) -> None:
    """Refuse without decoding what an earlier run has measured whole."""
    checker = _Checker(promised, cache)
    if all(checker.knows(file.path) for file in files):
        for file in files:
            checker.passes(file.path)
        settle(checker.findings, "refuse", folder)


@dataclass(frozen=True, slots=True)
class _Promised:
    """What names and headers tell of a data set."""

    frames: Mapping[Path, int]
    samples: Mapping[Path, int]
    """At the rate to which clips are brought."""
    findings: tuple[Finding, ...]
    channel: int

    @classmethod
    def of(cls, index: Index, sample_rate: int) -> _Promised:
        name = f"name does not fit layout {index.layout}"
        unparsed = [Finding(path, "name", name) for path in index.unparsed]
        headers, broken = read_headers(index.files)
        compared = compare_headers(index, headers, sample_rate)
        return cls(
            frames={path: header.frames for path, header in headers.items()},
            samples={
                path: header.frames * sample_rate // header.rate_hz
                for path, header in headers.items()
            },
            findings=(*unparsed, *broken, *compared),
            channel=LAYOUTS[index.layout].channel if index.layout in LAYOUTS else 0,
        )


class _Checker:
    """One pass through the clips; the first of two equal ones is the good one."""

    def __init__(self, promised: _Promised, cache: MeasureCache) -> None:
        self.findings = list(promised.findings)
        self._promised = promised
        self._cache = cache
        self._bad = {finding.path for finding in promised.findings}
        self._first: dict[str, Path] = {}

    def knows(self, path: Path) -> bool:
        """Whether a clip can be judged without decoding it."""
        return path in self._bad or self._cache.get(path) is not None

    def passes(self, path: Path) -> bool:
        """Whether a clip is good, as far as possible without decoding it."""
        if path in self._bad:
            return False
        measured = self._cache.get(path)
        if measured is None:
            measured = self._decode(path)[0]
        return self._judge(path, measured)

    def read(self, path: Path, sample_rate: int) -> NDArray[np.int16] | None:
        """Samples of a clip at a rate, (n,); nothing where it is not good."""
        if path in self._bad:
            return None
        measured, samples, rate = self._decode(path)
        if not self._judge(path, measured):
            return None
        return at_rate(samples[:, self._promised.channel], rate, sample_rate)

    def _decode(self, path: Path) -> tuple[Measured, FloatArray, int]:
        try:
            samples, rate = decode(path)
        except DataError as error:
            problem = f"cannot be decoded ({error.__cause__})"
            measured, samples, rate = Measured(problem=problem), np.zeros((0, 1), np.float32), 0
        else:
            measured = measure(samples, self._promised.channel)
        self._cache.put(path, measured)
        return measured, samples, rate

    def _judge(self, path: Path, measured: Measured) -> bool:
        found = self._wrong(path, measured)
        if found is not None:
            self.findings.append(found)
        return found is None

    def _wrong(self, path: Path, measured: Measured) -> Finding | None:
        missing = self._promised.frames[path] - measured.frames
        checks: tuple[tuple[bool, Kind, str], ...] = (
            (bool(measured.problem), "undecodable", measured.problem),
            (missing > 0, "truncated", f"is cut off: {missing} samples are missing"),
            (not measured.finite, "undecodable", "holds samples that are no numbers"),
            (
                measured.level_dbfs < _SILENT_DBFS,
                "silent",
                f"is silent: {measured.level_dbfs:.0f} dBFS",
            ),
            (
                measured.clipped > _CLIPPED_SHARE,
                "clipped",
                f"is clipped: {measured.clipped:.1%} of its samples are at full scale",
            ),
        )
        for wrong, kind, text in checks:
            if wrong:
                return Finding(path, kind, text)
        first = self._first.setdefault(measured.digest, path)
        if first != path:
            return Finding(path, "duplicate", f"holds the same samples as {first}")
        return None


def _too_few(root: Path, files: Sequence[ClipFile], *, alone: bool) -> list[Finding]:
    if not files:
        return [Finding(root, "single-clip", "no clip for training in it")]
    if alone and len(files) == 1:
        return [Finding(root, "single-clip", f"only one clip for training ({files[0].path})")]
    classes = training_classes(files)
    if alone and len(classes) == 1:
        return [Finding(root, "one-class", only_one_class(classes[0]))]
    return []
