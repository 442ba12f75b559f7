"""What is known of the files of a data set before any of them is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Domain = Literal["source", "target"]
Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class ClipFile:
    """One audio file and what its name says."""

    path: Path
    machine: str
    """Machine type: the folder of the machine."""
    section: str
    """Two digits; the machine identifier in 2020; ``00`` where there are no sections."""
    split: Split
    domain: Domain | None = None
    """``None`` where it is not told, as in the test clips of an evaluation set."""
    anomalous: bool | None = None
    """``None`` where it is not told; training clips are normal."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Names and values in the order of the file name; empty where they are hidden."""


@dataclass(frozen=True, slots=True)
class Index:
    """The files of a data set."""

    root: Path
    """The folder that holds the machines."""
    layout: str
    """Name of the layout by which the files were read."""
    files: tuple[ClipFile, ...]
    """In order of machine, split and name."""
    unparsed: tuple[Path, ...] = ()
    """Audio files whose names do not fit the layout."""

    @property
    def sections(self) -> tuple[tuple[str, str], ...]:
        """Every machine and section, in order."""
        return tuple(sorted({(file.machine, file.section) for file in self.files}))

    def of(self, machine: str, section: str, split: Split) -> Iterator[ClipFile]:
        """Files of one section."""
        return (
            file
            for file in self.files
            if (file.machine, file.section, file.split) == (machine, section, split)
        )
