"""Tables of attributes beside the clips: ``attributes_00.csv`` since 2022."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from edge_asd.errors import DataError
from edge_asd_train.datasets.layouts import NO_ATTRIBUTE, Layout

Table = dict[str, tuple[tuple[str, str], ...]]
"""Attributes by file name."""

_FILE = "file_name"


def read_tables(homes: Mapping[str, Path], layout: Layout) -> dict[str, Table]:
    """Attributes of every machine's clips; an empty table where none is published.

    Args:
        homes: Folder of every machine.
        layout: Whether it has tables.

    Raises:
        DataError: A table cannot be read.
    """
    tables: dict[str, Table] = {machine: {} for machine in homes}
    if layout.attribute_tables:
        for machine, home in homes.items():
            for path in sorted(home.glob("attributes_[0-9][0-9].csv")):
                tables[machine].update(_read(path))
    return tables


def _read(path: Path) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, restkey="", restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); repair it") from error
    if rows and _FILE not in rows[0]:
        raise DataError(f"{path}: has no column {_FILE}; repair or remove the table")
    # The files are named with a path inside the data set: machine/train/name.wav.
    return {PurePosixPath(row[_FILE]).name: _pairs(row) for row in rows}


def _pairs(row: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Columns d1p, d1v, d2p, d2v, ... as pairs of name and value."""
    pairs = []
    for number in range(1, len(row)):
        name = row.get(f"d{number}p") or ""
        if name and name != NO_ATTRIBUTE:
            pairs.append((name, row.get(f"d{number}v") or ""))
    return tuple(pairs)
