"""What an evaluation leaves behind: figures as JSON and markdown, official CSV files, pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.errors import DataError
from edge_asd.files import replace_file
from edge_asd_train.datasets.index import Index
from edge_asd_train.evaluate.bootstrap import confidence_interval, half_widths
from edge_asd_train.evaluate.contest import ScoredSection
from edge_asd_train.evaluate.official_csv import read_sections, write_result, write_scores
from edge_asd_train.evaluate.rules import (
    RULES,
    TERMS,
    Evaluation,
    Rules,
    check_sections,
    evaluate,
    rules_of,
)
from edge_asd_train.evaluate.sections import SectionScores
from edge_asd_train.evaluate.severity import FirstShot
from edge_asd_train.evaluate.tables import evaluation_table

DEFAULT_RULES = 2023
"""Of data sets that are of no year."""

_NO_DOMAINS = 2020


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What the scores are worth; nothing is measured where no truth is known."""

    evaluation: Evaluation | None
    sections: tuple[SectionScores, ...]
    """Those whose truth is known."""
    notes: tuple[str, ...]
    """What a reader of the figures has to know."""
    first_shot: FirstShot | None = None
    """Where the severity of the faults is known and was asked for."""

    def as_json(self) -> dict[str, Any]:
        """The figures, with the keys that scripts read even where there are none."""
        if self.evaluation is not None:
            figures = self.evaluation.as_json()
        else:
            figures = {"official": None, "hmean": {}, "machines": {}, "ci95": None}
        if self.first_shot is not None:
            figures["first_shot"] = self.first_shot.as_json()
        return {**figures, "notes": list(self.notes)}

    def as_markdown(self) -> str:
        """The tables and the notes."""
        tables = [evaluation_table(self.evaluation)] if self.evaluation is not None else []
        if self.first_shot is not None:
            tables.append(self.first_shot.as_markdown())
        return "\n".join([*tables, *(f"* {note}\n" for note in self.notes)])


@dataclass(frozen=True, slots=True)
class Truth:
    """Folders of official ground truth, for data sets whose names do not tell it."""

    ground_truth: Path
    domains: Path | None


def rules_year(layout: str) -> int:
    """Rules by which a layout's year was scored; 2023 for layouts of no year."""
    return int(layout) if layout.isdecimal() and int(layout) in RULES else DEFAULT_RULES


def write_score_files(
    out: Path, scored: Sequence[ScoredSection], layout: str, year: int | None
) -> None:
    """Write the official score and decision files of every section.

    Args:
        out: Folder.
        scored: What to write.
        layout: Of the data set; its year names the files.
        year: Rules that were asked for, which name the files instead.
    """
    write_scores(out, scored, year or rules_year(layout))


def judge(
    scored: Sequence[ScoredSection],
    layout: str,
    year: int | None,
    *,
    truth: tuple[Truth, Path] | None = None,
    seed: int = 0,
) -> Verdict:
    """Compare scores with the truth.

    Args:
        scored: What a method said.
        layout: Of the data set; its year's rules apply unless ``year`` is given.
        year: Rules, 2020 to 2026.
        truth: Official ground truth, and the folder to which the score files were written; the
            names of the clips tell the truth where it is left out.
        seed: Of the bootstrap.

    Raises:
        DataError: The rules cannot score the sections, or the ground truth does not fit.
        UsageError: No such rules.
    """
    if truth is not None:
        year = rules_of(year or rules_year(layout)).year
        sections = read_sections(truth[1], truth[0].ground_truth, truth[0].domains, year)
        notes: tuple[str, ...] = ()
    else:
        sections = [one.with_truth() for one in scored if one.labelled]
        year, notes = settle_rules(scored, layout, year)
    if not sections:
        return Verdict(None, (), notes)
    return Verdict(measured(sections, year, seed=seed), tuple(sections), notes)


def settle_rules(
    scored: Sequence[ScoredSection], layout: str, year: int | None
) -> tuple[int, tuple[str, ...]]:
    """The rules by which test clips can be scored, whatever their scores are.

    Args:
        scored: Of any method, or ``unscored``; the names of the clips tell the truth.
        layout: Of the data set; its year's rules apply unless ``year`` is given, or those of 2020
            where a domain is missing.
        year: Rules, 2020 to 2026.

    Returns:
        The year, and what a reader of the figures has to know.

    Raises:
        DataError: No rules, or not those asked for, can score them.
        UsageError: No such rules.
    """
    notes: list[str] = []
    untold = [f"{one.machine} {one.section}" for one in scored if not one.labelled]
    if untold:
        notes.append(
            f"no truth to compare with in the names of the test clips of {', '.join(untold)}:"
            " their scores are written; give --ground-truth and --domains to evaluate them"
        )
    sections = [one.with_truth() for one in scored if one.labelled]
    if year is None:
        year = rules_year(layout)
        lacking = _lacking(sections, RULES[year])
        if lacking is not None:
            year = _NO_DOMAINS
            notes.append(
                f"{lacking}, for want of test clips of both domains: the official score is the"
                f" mean of AUC and pAUC over all clips (rules of {year})"
            )
    if sections:
        check_sections(sections, rules_of(year))
    return year, tuple(notes)


def measured(sections: Sequence[SectionScores], year: int, *, seed: int = 0) -> Evaluation:
    """The evaluation with its bootstrap interval.

    Raises:
        DataError: The rules cannot score the sections.
        UsageError: No such rules.
    """
    return dataclasses.replace(
        evaluate(sections, year),
        ci95=confidence_interval(sections, year, rng=np.random.default_rng(seed)),
        half_widths=half_widths(sections),
    )


def write_report(out: Path, verdict: Verdict, about: dict[str, Any]) -> None:
    """Write ``evaluation.json``, ``evaluation.md`` and the official result file.

    Args:
        out: Folder.
        verdict: What was measured.
        about: What it was measured on, joined to the JSON.

    Raises:
        StorageError: A file cannot be written.
    """
    text = json.dumps({**verdict.as_json(), **about}, indent=1, ensure_ascii=False)
    replace_file(out / "evaluation.json", f"{text}\n".encode())
    lines = [f"* {key}: {_words(value)}" for key, value in about.items() if value is not None]
    markdown = "\n".join([verdict.as_markdown(), *lines, ""])
    replace_file(out / "evaluation.md", markdown.encode())
    if verdict.evaluation is not None:
        write_result(out / "result.csv", verdict.evaluation)


def describe_data(index: Index, fingerprint: str) -> dict[str, Any]:
    """The data set in words, without its place."""
    return {
        "folder": index.root.resolve().name,
        "layout": index.layout,
        "clips": len(index.files),
        "fingerprint": fingerprint,
    }


def check_names(index: Index) -> None:
    """Refuse a data set some of whose names do not fit its layout: figures would miss clips.

    Raises:
        DataError: There are such names; the first is named.
    """
    if index.unparsed:
        raise DataError(
            f"{index.unparsed[0]}: its name does not fit layout {index.layout}, as those of"
            f" {len(index.unparsed)} files in all; rename or remove them, or choose --layout"
        )


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return str(value)


def _lacking(sections: Sequence[SectionScores], rules: Rules) -> str | None:
    """The first section without the clips of a domain that a term of the rules needs."""
    for section in sections:
        for key in rules.terms:
            truth = section.anomalous[TERMS[key].clips(section)]
            if rules.domains and (not truth.any() or truth.all()):
                return f"{section.label} has no {TERMS[key].title}"
    return None
