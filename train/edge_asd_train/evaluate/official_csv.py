"""Official CSV files: systems scored against the ground truth, and scores written for others.

Layouts of the years (``ground_truth`` and ``domains`` are folders, files may lie in one folder):

======  =================================================  =====================================
year    scores                                             ground truth
======  =================================================  =====================================
2020    anomaly_score_MACHINE_id_NN.csv                    ground_truth_MACHINE_id_NN.csv, or
                                                           one eval_data_list.csv
2021    anomaly_score_MACHINE_section_NN_DOMAIN_test.csv   ground_truth_… of the same name
2022-   anomaly_score_MACHINE_section_NN_test.csv, or      ground_truth_… of the same name, again
        …_DCASE2023T2MACHINE_section_NN_test_seed….csv     in the folder of domains
======  =================================================  =====================================

``decision_result_…`` files lie beside the scores; they may be absent altogether. Rows are matched
by the names of the clips, never by position. Where a folder ``ground_truth_attributes`` lies beside
the ground truth, clips may also go by the names with attributes that it lists.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import DataError, StorageError, UsageError
from edge_asd_train.datasets.index import Domain
from edge_asd_train.evaluate.bootstrap import confidence_interval, half_widths
from edge_asd_train.evaluate.official_files import (
    Cell,
    FileKey,
    Kind,
    find_files,
    finite,
    join,
    parse_cell,
    read_aliases,
    read_column,
    read_rows,
    zero_or_one,
)
from edge_asd_train.evaluate.official_result import write_result
from edge_asd_train.evaluate.rules import Evaluation, evaluate, rules_of
from edge_asd_train.evaluate.sections import DOMAINS, SectionScores

__all__ = ["Scored", "evaluate_csv", "read_sections", "write_result", "write_scores"]

_LIST_2020 = "eval_data_list.csv"
_ATTRIBUTES = "ground_truth_attributes"

Truth = tuple[Path, dict[str, Cell]]
"""Where the labels of a section are from, and the labels by clip."""


def evaluate_csv(
    scores: Path,
    ground_truth: Path,
    domains: Path | None,
    rules: int,
    *,
    compat: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a system from its score files.

    Args:
        scores: Folder of ``anomaly_score_`` files and, optionally, ``decision_result_`` files.
        ground_truth: Folder of labels.
        domains: Folder of domains, needed from 2022 on.
        rules: Year, 2020 to 2026.
        compat: Result files repeat the faults of the official tool of 2022; see
            ``official_result``.
        seed: Of the bootstrap.

    Returns:
        The evaluation with its bootstrap interval and the half-widths of the 2022 tool.

    Raises:
        DataError: A file or row is missing, given twice or unusable; the message names it.
        UsageError: No such rules, ``domains`` is missing, or ``compat`` with another year.
    """
    if compat and rules != 2022:
        raise UsageError(f"the faults of the tool of 2022 cannot be had by the rules of {rules}")
    sections = read_sections(scores, ground_truth, domains, rules)
    return dataclasses.replace(
        evaluate(sections, rules),
        ci95=confidence_interval(sections, rules, rng=np.random.default_rng(seed)),
        half_widths=half_widths(sections),
        compat2022=compat,
    )


def read_sections(
    scores: Path, ground_truth: Path, domains: Path | None, rules: int
) -> list[SectionScores]:
    """Scores and truth of every section of the ground truth, in order of machine and section.

    Raises:
        DataError, UsageError: See ``evaluate_csv``.
    """
    year = rules_of(rules).year
    truths = _read_truths(ground_truth, year)
    score_files = _files_for(truths, scores, "anomaly_score", year)
    decision_files: Mapping[FileKey, Path] = {}
    if find_files(scores, "decision_result", year):
        decision_files = _files_for(truths, scores, "decision_result", year)
    domain_files: Mapping[FileKey, Path] = {}
    if year >= 2022:
        if domains is None:
            raise UsageError(f"the rules of {year} need the folder of the domains")
        domain_files = _files_for(truths, domains, "ground_truth", year, surplus=True)
    parts = []
    for key, (_, labels) in truths.items():
        aliases = _aliases(ground_truth, key, year)
        parts.append(
            SectionScores(
                key.machine,
                key.section,
                tuple(labels),
                np.array(_column(score_files[key], labels, aliases)),
                np.array([cell.value == 1 for cell in labels.values()]),
                _domains(key, labels, domain_files),
                np.array(_column(decision_files[key], labels, aliases, flags=True)) == 1
                if decision_files
                else None,
            )
        )
    return _merge(parts)


class Scored(Protocol):
    """What a system says about the clips of a section; their truth need not be known."""

    @property
    def machine(self) -> str:
        """Machine type."""

    @property
    def section(self) -> str:
        """Two digits."""

    @property
    def names(self) -> tuple[str, ...]:
        """File names, (N,)."""

    @property
    def scores(self) -> NDArray[np.float64]:
        """Anomaly scores, (N,)."""

    @property
    def decisions(self) -> NDArray[np.bool_] | None:
        """Which clips are called anomalous, (N,); ``None`` where nothing was decided."""


def write_scores(folder: Path, sections: Sequence[Scored], rules: int = 2022) -> None:
    """Write ``anomaly_score_`` files and, of sections with decisions, ``decision_result_`` files.

    Args:
        folder: Made where it is missing; files of the same names are replaced.
        sections: What to write; in 2021 the names of the clips tell their domain.
        rules: Year whose file names are used.

    Raises:
        DataError: The name of a clip of 2021 tells no domain.
        StorageError: A file cannot be written.
        UsageError: No rules of that year are known.
    """
    year = rules_of(rules).year
    for section in sections:
        files: dict[FileKey, list[int]] = {}
        for row, name in enumerate(section.names):
            domain = _domain_in(name) if year == 2021 else None
            files.setdefault(FileKey(section.machine, section.section, domain), []).append(row)
        for key, rows in files.items():
            scores = [(section.names[row], repr(float(section.scores[row]))) for row in rows]
            _write_rows(folder / key.file_name("anomaly_score", year), scores)
            if section.decisions is not None:
                flags = [(section.names[row], str(int(section.decisions[row]))) for row in rows]
                _write_rows(folder / key.file_name("decision_result", year), flags)


def _domain_in(name: str) -> Domain:
    for domain in DOMAINS:
        if f"_{domain}_" in name:
            return domain
    raise DataError(f"{name}: a clip of 2021 has _source_ or _target_ in its name")


def _read_truths(folder: Path, year: int) -> dict[FileKey, Truth]:
    files = find_files(folder, "ground_truth", year)
    truths = {key: (path, read_column(path, zero_or_one)) for key, path in files.items()}
    if not truths and year == 2020 and (folder / _LIST_2020).is_file():
        truths = _read_list(folder / _LIST_2020)
    if not truths:
        raise DataError(f"{folder}: no ground_truth_ files of {year} in it")
    return truths


def _read_list(path: Path) -> dict[FileKey, Truth]:
    """The one list of 2020: a row with a machine's name, then its ``name,original name,label``."""
    labels: dict[FileKey, dict[str, Cell]] = {}
    machine = ""
    for number, cells in read_rows(path, 1):
        if len(cells) == 1:
            machine = cells[0]
            continue
        identifier = re.match(r"id_(\d\d)_", cells[0])
        if identifier is None or len(cells) != 3 or not machine:
            raise DataError(f"{path}, row {number}: expected id_NN_….wav,name,label of a machine")
        of_section = labels.setdefault(FileKey(machine, identifier[1]), {})
        if cells[0] in of_section:
            raise DataError(f"{path}, row {number}: {cells[0]} is listed twice")
        of_section[cells[0]] = Cell(number, parse_cell(path, number, cells[2], zero_or_one))
    return {key: (path, values) for key, values in sorted(labels.items())}


def _files_for(
    truths: Mapping[FileKey, Truth], folder: Path, kind: Kind, year: int, *, surplus: bool = False
) -> dict[FileKey, Path]:
    """One file for every section of the ground truth, and no others unless ``surplus``."""
    files = find_files(folder, kind, year)
    missing = [key.file_name(kind, year) for key in truths if key not in files]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(truths)} files are missing, the first is"
            f" {missing[0]}"
        )
    extra = [path for key, path in files.items() if key not in truths]
    if extra and not surplus:
        raise DataError(f"{extra[0]}: there is no ground truth for it; add it or remove this file")
    return files


def _aliases(ground_truth: Path, key: FileKey, year: int) -> dict[str, str]:
    path = ground_truth.resolve().parent / _ATTRIBUTES / key.file_name("ground_truth", year)
    return read_aliases(path) if year >= 2023 and path.is_file() else {}


def _column(
    path: Path, labels: Mapping[str, Cell], aliases: Mapping[str, str], *, flags: bool = False
) -> list[float]:
    return join(path, read_column(path, zero_or_one if flags else finite), labels, aliases)


def _domains(
    key: FileKey, labels: Mapping[str, Cell], files: Mapping[FileKey, Path]
) -> NDArray[np.int8]:
    if key in files:
        return np.array(_column(files[key], labels, {}, flags=True)).astype(np.int8)
    return np.full(len(labels), 0 if key.domain is None else DOMAINS.index(key.domain), np.int8)


def _merge(parts: Sequence[SectionScores]) -> list[SectionScores]:
    """The two files of a section of 2021 as one section."""
    merged: dict[str, SectionScores] = {}
    for part in parts:
        first = merged.get(part.label)
        merged[part.label] = part if first is None else _joined(first, part)
    return list(merged.values())


def _joined(first: SectionScores, second: SectionScores) -> SectionScores:
    decided = first.decisions is not None and second.decisions is not None
    return SectionScores(
        first.machine,
        first.section,
        first.names + second.names,
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.anomalous, second.anomalous]),
        np.concatenate([first.domains, second.domains]),
        np.concatenate([first.decisions, second.decisions]) if decided else None,
    )


def _write_rows(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
