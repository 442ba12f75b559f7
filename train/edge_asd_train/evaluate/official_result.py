"""The official result files: figures of every section, means of every machine, means over all.

``compat2022`` of an evaluation repeats two faults of the official tool of 2022, so that its files
can be compared cell by cell:

* a machine's list of AUCs is those of the source domain of all sections, then those of the target
  domain; that tool cuts it after half the number of *sections* instead of half the list, so that
  its ``source`` row misses sections and its ``target`` row mixes both domains. Means over all
  machines are right there.
* ``official score ci95`` is too small, see ``bootstrap.half_widths``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edge_asd.errors import StorageError
from edge_asd_train.evaluate.rules import (
    DETECTION_TITLES,
    TERMS,
    Evaluation,
    SectionResult,
    harmonic_mean,
)
from edge_asd_train.evaluate.sections import DOMAINS

Row = list[str | float]

_OVER_ALL = "over all machine types, sections, and domains"
_FIGURES = ("auc", "pauc", *DETECTION_TITLES)
"""What a domain has one of each; the titles of the aggregate columns are in this order."""
_AGGREGATES = ("AUC", "pAUC", *DETECTION_TITLES.values())
_SECTION_KEYS = (
    "auc",
    "auc_source",
    "auc_target",
    "pauc",
    *(f"{name}_{domain}" for name in DETECTION_TITLES for domain in DOMAINS),
)
_SECTION_TITLES = (
    *(TERMS[key].title for key in _SECTION_KEYS[:4]),
    *(f"{title} ({domain})" for title in DETECTION_TITLES.values() for domain in DOMAINS),
)


def write_result(path: Path, evaluation: Evaluation) -> None:
    """Write the official result file of the evaluation's year.

    Cells of decisions stay empty where there were none. The files of 2020 and 2021 have no official
    score of their own: it is added as their last row, as the later years do.

    Args:
        path: File to write, replaced where it exists.
        evaluation: What to write; the row ``official score ci95`` needs its ``half_widths``.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(result_rows(evaluation))
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error


def result_rows(evaluation: Evaluation) -> list[Row]:
    """The rows of the result file; see ``write_result``."""
    of_machine = {2020: _machine_2020, 2021: _machine_2021}.get(
        evaluation.rules.year, _machine_2022
    )
    rows: list[Row] = []
    for machine in evaluation.machines:
        rows += [[machine], *of_machine(evaluation, evaluation.of(machine)), []]
    if evaluation.rules.year > 2020:
        rows += [["", "", *_AGGREGATES], *_over_all(evaluation), []]
    rows.append(["official score", "", evaluation.official])
    if evaluation.half_widths is not None:
        widths = evaluation.half_widths
        width = widths.compat2022 if evaluation.compat2022 else widths.jackknife
        rows.append(["official score ci95", "", width])
    return [*rows, []]


def _machine_2020(_: Evaluation, sections: Sequence[SectionResult]) -> list[Row]:
    keys = ("auc", "pauc")
    rows: list[Row] = [["id", "AUC", "pAUC"]]
    rows += [[section.section, *_cells(section, keys)] for section in sections]
    average: Row = [float(np.mean([section.values[key] for section in sections])) for key in keys]
    return [*rows, ["Average", *average]]


def _machine_2021(evaluation: Evaluation, sections: Sequence[SectionResult]) -> list[Row]:
    rows: list[Row] = [["section", "domain", *_AGGREGATES]]
    for domain in DOMAINS:
        keys = [_key(figure, domain, 2021) for figure in _FIGURES]
        rows += [[section.section, domain, *_cells(section, keys)] for section in sections]
    return [*rows, *_means(evaluation, sections)]


def _machine_2022(evaluation: Evaluation, sections: Sequence[SectionResult]) -> list[Row]:
    rows: list[Row] = [["section", *_SECTION_TITLES]]
    rows += [[section.section, *_cells(section, _SECTION_KEYS)] for section in sections]
    # Each list holds the sections of the source domain, then those of the target domain.
    middle = len(sections) // 2 if evaluation.compat2022 else len(sections)
    return [
        *rows,
        ["", "", *_AGGREGATES],
        *_means(evaluation, sections),
        _mean_row("source harmonic mean", evaluation, sections, slice(middle)),
        _mean_row("target harmonic mean", evaluation, sections, slice(middle, None)),
    ]


def _over_all(evaluation: Evaluation) -> list[Row]:
    sections, middle = evaluation.sections, len(evaluation.sections)
    rows = _means(evaluation, sections, f" {_OVER_ALL}")
    if evaluation.rules.year >= 2022:
        for domain, half in zip(DOMAINS, (slice(middle), slice(middle, None)), strict=True):
            title = f"{domain} harmonic mean {_OVER_ALL}"
            rows.append(_mean_row(title, evaluation, sections, half))
    return rows


def _means(
    evaluation: Evaluation, sections: Sequence[SectionResult], of_what: str = ""
) -> list[Row]:
    return [
        _mean_row(f"arithmetic mean{of_what}", evaluation, sections, slice(None), np.mean),
        _mean_row(f"harmonic mean{of_what}", evaluation, sections, slice(None)),
    ]


def _mean_row(
    title: str,
    evaluation: Evaluation,
    sections: Sequence[SectionResult],
    part: slice,
    mean: Callable[[list[float]], object] = harmonic_mean,
) -> Row:
    """One mean of every figure over a part of its list; empty where there is nothing to average."""
    row: Row = [title, ""]
    for figure in _FIGURES:
        values = _both_domains(figure, evaluation.rules.year, sections)[part]
        row.append(float(np.asarray(mean(values))) if values else "")
    return row


def _both_domains(figure: str, year: int, sections: Sequence[SectionResult]) -> list[float]:
    """A figure of the source domain of all sections, then of the target domain; maybe nothing."""
    keys = [_key(figure, domain, year) for domain in DOMAINS]
    if not all(key in section.values for section in sections for key in keys):
        return []
    return [section.values[key] for key in keys for section in sections]


def _key(figure: str, domain: str, year: int) -> str:
    if figure in DETECTION_TITLES:
        return f"{figure}_{domain}"
    if year == 2021:
        return f"{figure}_{domain}_own"
    return "pauc" if figure == "pauc" else f"{figure}_{domain}"


def _cells(section: SectionResult, keys: Sequence[str]) -> Row:
    return [section.values.get(key, "") for key in keys]
