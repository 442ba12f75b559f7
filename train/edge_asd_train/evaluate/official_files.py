"""The names and rows of the official CSV files: no header, commas, one clip a row."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from edge_asd.errors import DataError
from edge_asd_train.datasets.index import Domain

Kind = Literal["anomaly_score", "decision_result", "ground_truth"]

_BASELINE = r"(?:DCASE20\d\dT2)?"
"""The baselines of 2022 and later put this before the machine, and ``_seed…`` at the end."""
_NAMES = {
    2020: r"(?P<machine>.+)_id_(?P<section>\d\d)",
    2021: r"(?P<machine>.+)_section_(?P<section>\d\d)_(?P<domain>source|target)_test",
}
_NAME_FROM_2022 = _BASELINE + r"(?P<machine>.+)_section_(?P<section>\d\d)_test(?:_seed\d+[^/]*)?"
_EXAMPLES = {2020: "MACHINE_id_00.csv", 2021: "MACHINE_section_00_source_test.csv"}
_EXAMPLE_FROM_2022 = "MACHINE_section_00_test.csv"


class FileKey(NamedTuple):
    """What the name of an official file says."""

    machine: str
    section: str
    domain: Domain | None = None
    """Told in 2021 only."""

    def file_name(self, kind: Kind, year: int) -> str:
        """Name of the file of a year."""
        if year == 2020:
            return f"{kind}_{self.machine}_id_{self.section}.csv"
        domain = "" if self.domain is None else f"_{self.domain}"
        return f"{kind}_{self.machine}_section_{self.section}{domain}_test.csv"


@dataclass(frozen=True, slots=True)
class Cell:
    """A value and the row it stands in, 1 being the first."""

    row: int
    value: float


def find_files(folder: Path, kind: Kind, year: int) -> dict[FileKey, Path]:
    """The official files of one kind in a folder, in order of machine and section.

    Raises:
        DataError: There is no such folder, a name of this kind is none of that year, or two files
            are of the same section.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    pattern = re.compile(f"{kind}_{_NAMES.get(year, _NAME_FROM_2022)}\\.csv")
    found: dict[FileKey, Path] = {}
    for path in sorted(folder.glob(f"{kind}_*.csv")):
        match = pattern.fullmatch(path.name)
        if match is None:
            example = _EXAMPLES.get(year, _EXAMPLE_FROM_2022)
            raise DataError(f"{path}: not a file name of {year}; expected {kind}_{example}")
        told: dict[str, Any] = match.groupdict()
        key = FileKey(**told)
        if key in found:
            raise DataError(
                f"{path}: of the same section as {found[key].name}; keep one system a folder"
            )
        found[key] = path
    return dict(sorted(found.items()))


def read_rows(path: Path, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, numbered from 1, blanks around the cells removed.

    Raises:
        DataError: The file cannot be read, or a row has fewer than ``columns`` cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    for number, cells in enumerate(csv.reader(text.splitlines()), 1):
        stripped = [cell.strip() for cell in cells]
        if not any(stripped):
            continue
        if len(stripped) < columns:
            raise DataError(f"{path}, row {number}: expected {columns} cells: {','.join(cells)!r}")
        yield number, stripped


def read_column(path: Path, parse: Callable[[str], float]) -> dict[str, Cell]:
    """A file of ``name,value`` rows.

    Raises:
        DataError: The file cannot be read, a row is not of that form, ``parse`` refuses a value, or
            a name occurs twice.
    """
    found: dict[str, Cell] = {}
    for number, cells in read_rows(path, 2):
        if len(cells) > 2:
            raise DataError(f"{path}, row {number}: more than two cells: {','.join(cells)!r}")
        name, text = cells
        if name in found:
            raise DataError(
                f"{path}, row {number}: {name} is listed twice, first in row {found[name].row}"
            )
        found[name] = Cell(number, parse_cell(path, number, text, parse))
    if not found:
        raise DataError(f"{path}: no rows in it")
    return found


def parse_cell(path: Path, row: int, text: str, parse: Callable[[str], float]) -> float:
    """One value; a refusal names the file and the row."""
    try:
        return parse(text)
    except ValueError as error:
        raise DataError(f"{path}, row {row}: {text!r} is {error}") from error


def finite(text: str) -> float:
    """A score."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError("not a number") from None
    if not np.isfinite(value):
        raise ValueError("not a finite number")
    return value


def zero_or_one(text: str) -> float:
    """A label, a decision or a domain."""
    if finite(text) not in (0, 1):
        raise ValueError("neither 0 nor 1")
    return float(text)


def read_aliases(path: Path) -> dict[str, str]:
    """Longer names of clips by the files of attributes of 2023 and later.

    A row is ``name.wav,name with attributes[,full name.wav]``; both longer names stand for the
    first one.

    Raises:
        DataError: The file cannot be read, or a longer name stands for two clips.
    """
    aliases: dict[str, str] = {}
    for number, (name, *longer) in read_rows(path, 2):
        for alias in filter(None, longer[:2]):
            full = alias if alias.endswith(".wav") else f"{alias}.wav"
            if aliases.setdefault(full, name) != name:
                raise DataError(f"{path}, row {number}: {full} stands for {aliases[full]} already")
    return aliases


def join(
    path: Path, column: Mapping[str, Cell], truth: Mapping[str, Cell], aliases: Mapping[str, str]
) -> list[float]:
    """Values in the order of the ground truth, matched by the names of the clips.

    Raises:
        DataError: A clip is unknown, occurs twice under two names, or is missing.
    """
    found: dict[str, Cell] = {}
    for name, cell in column.items():
        known = aliases.get(name, name)
        if known not in truth:
            raise DataError(f"{path}, row {cell.row}: {name} is not in the ground truth")
        if known in found:
            raise DataError(
                f"{path}, row {cell.row}: {name} is listed twice, first in row {found[known].row}"
            )
        found[known] = cell
    missing = [name for name in truth if name not in found]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(truth)} clips of the ground truth have no row, the"
            f" first is {missing[0]}; list every clip once"
        )
    return [found[name].value for name in truth]
