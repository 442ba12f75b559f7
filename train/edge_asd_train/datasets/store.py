"""Clips decoded once: 16-bit samples in one file on disk, mapped into memory, with labels."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import DataError, StorageError
from edge_asd.records import FloatArray

_logger = logging.getLogger(__name__)

_SAMPLES, _INDEX = "clips.int16", "clips.json"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One clip as its source yields it."""

    samples: NDArray[np.int16]
    """(n,) mono."""
    label: str
    """Class."""
    machine: str
    """Whose level is normalised together; several classes may come from one machine."""
    faulty: bool = False
    """Whether something is wrong with the machine; only simulated clips ever are."""


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """Clips that are going to be decoded or rendered."""

    count: int
    """At most this many."""
    clips: Callable[[], Iterator[Clip]]
    """Start over and yield them."""
    samples: int = 0
    """Length of all together, as their headers promise it; what has none counts nothing."""


def only_one_class(name: str) -> str:
    """Why clips of one class alone are refused."""
    return (
        f"only one class ({name}): training learns by telling at least two machines or sounds"
        " apart; add another folder, --noise or --simulated"
    )


@dataclass(frozen=True, slots=True, eq=False)
class ClipStore:
    """Decoded clips of a training run."""

    samples: NDArray[np.int16]
    """All clips one after the other, (sum of lengths,)."""
    starts: NDArray[np.int64]
    """Where each clip begins, (N,)."""
    lengths: NDArray[np.int64]
    """Samples of each clip, (N,)."""
    labels: NDArray[np.int64]
    """Class of each clip, (N,)."""
    machines: NDArray[np.int64]
    """Machine of each clip, (N,)."""
    faulty: NDArray[np.bool_]
    """Whether something is wrong with it, (N,)."""
    classes: tuple[str, ...]
    machine_names: tuple[str, ...]

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.starts)

    def window(self, clip: int, offset: int, length: int) -> FloatArray:
        """Cut a window from a clip that repeats for ever, shape (length,) float32 in ±1."""
        first, n = int(self.starts[clip]), int(self.lengths[clip])
        samples = self.samples[first : first + n]
        offset %= n
        out = np.empty(length, np.float32)
        filled = 0
        while filled < length:
            part = samples[offset : offset + length - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            offset = 0
        out *= np.float32(1.0 / 32768.0)
        return out

    def check_trainable(self) -> None:
        """Refuse clips that nothing can be learned from.

        Raises:
            DataError: All clips are of one class.
        """
        if len(self.classes) < 2:
            raise DataError(only_one_class(self.classes[0]))

    def machines_with_faults(
        self, machines: int, normal: int, faulty: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Normal and faulty clips of every machine that has enough of both.

        Args:
            machines: How many machines are needed.
            normal: Normal clips needed of each.
            faulty: Faulty clips needed of each.

        Raises:
            DataError: There are fewer such machines.
        """
        found = []
        for machine in range(len(self.machine_names)):
            own = self.machines == machine
            clips = np.flatnonzero(own & ~self.faulty), np.flatnonzero(own & self.faulty)
            if len(clips[0]) >= normal and len(clips[1]) >= faulty:
                found.append(clips)
        if len(found) < machines:
            raise DataError(
                f"{len(found)} machines have {normal} normal and {faulty} faulty clips, the"
                f" recipe's episodes need {machines}: give more with --simulated, or choose a"
                " recipe without episodes (featex-cpu, published) for normal sound alone"
            )
        unused = len(self.machine_names) - len(found)
        if unused:
            _logger.warning(
                "unused_machines=%d of=%d reason=too few normal or faulty clips for the episodes",
                unused,
                len(self.machine_names),
            )
        return found

    def select(self, machines: NDArray[np.bool_]) -> ClipStore:
        """The clips of some machines, (machines,) bool; the samples are shared."""
        kept = machines[self.machines]
        names, labels = np.unique(self.labels[kept], return_inverse=True)
        places, own = np.unique(self.machines[kept], return_inverse=True)
        return replace(
            self,
            starts=self.starts[kept],
            lengths=self.lengths[kept],
            labels=labels.astype(np.int64),
            machines=own.astype(np.int64),
            faulty=self.faulty[kept],
            classes=tuple(self.classes[name] for name in names),
            machine_names=tuple(self.machine_names[place] for place in places),
        )

    def machine_levels_dbfs(self) -> NDArray[np.float64]:
        """Median level of every machine's normal clips, (machines,), dB re a mean square of 1."""
        levels = np.array([self._level_dbfs(clip) for clip in range(len(self))])
        levels[self.faulty] = np.nan
        names = range(len(self.machine_names))
        return np.array([np.nanmedian(levels[self.machines == name]) for name in names])

    def _level_dbfs(self, clip: int) -> float:
        first = int(self.starts[clip])
        samples = self.samples[first : first + int(self.lengths[clip])].astype(np.float32)
        return float(10.0 * np.log10(np.mean(np.square(samples / 32768.0)) + 1e-12))

    @classmethod
    def create(
        cls,
        folder: Path,
        sources: Sequence[Pending],
        *,
        advance: Callable[[], None] = lambda: None,
    ) -> ClipStore:
        """Decode every clip of the sources into ``folder`` and open the result.

        Args:
            folder: Made if missing; a store in it is replaced.
            sources: At least one; classes of the same name are one class.
            advance: Called after every clip.

        Raises:
            DataError: A clip cannot be used.
            StorageError: The folder cannot be written.
        """
        index: dict[str, list[Any]] = {"lengths": [], "labels": [], "machines": [], "faulty": []}
        classes: dict[str, int] = {}
        machines: dict[str, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _INDEX).unlink(missing_ok=True)
            with (folder / _SAMPLES).open("wb") as file:
                for source in sources:
                    for clip in source.clips():
                        file.write(clip.samples.tobytes())
                        index["lengths"].append(len(clip.samples))
                        index["labels"].append(classes.setdefault(clip.label, len(classes)))
                        index["machines"].append(machines.setdefault(clip.machine, len(machines)))
                        index["faulty"].append(clip.faulty)
                        advance()
            names = {"classes": list(classes), "machine_names": list(machines)}
            (folder / _INDEX).write_text(json.dumps({**index, **names}), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{folder}: cannot write clips: {error.strerror}") from error
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> ClipStore:
        """Map a store that ``create`` wrote.

        Raises:
            DataError: It is missing or damaged.
        """
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            samples = np.memmap(folder / _SAMPLES, np.int16, mode="r")
            lengths = np.array(index["lengths"], np.int64)
            store = cls(
                samples=samples,
                starts=np.cumsum(lengths) - lengths,
                lengths=lengths,
                labels=np.array(index["labels"], np.int64),
                machines=np.array(index["machines"], np.int64),
                faulty=np.array(index["faulty"], np.bool_),
                classes=tuple(index["classes"]),
                machine_names=tuple(index["machine_names"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder}: no complete set of clips ({error})") from error
        if lengths.sum() != len(samples) or (lengths < 1).any():
            raise DataError(f"{folder}: the clips are incomplete; delete the folder and start over")
        return store
