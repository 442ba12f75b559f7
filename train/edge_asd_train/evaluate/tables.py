"""Evaluations as markdown tables, in per cent, and as JSON, in fractions of 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_asd.errors import DataError
from edge_asd_train.evaluate.rules import DETECTION_TITLES, TERMS, Evaluation, Rules
from edge_asd_train.evaluate.sections import DOMAINS

Runs = Mapping[str, Sequence[Evaluation]]
"""Evaluations of methods by their names, one for every seed."""


def evaluation_table(evaluation: Evaluation) -> str:
    """Figures of every section and their means, below one line with the official score."""
    keys = _columns(evaluation)
    rows = [
        [section.machine, section.section, *(_cell(section.values.get(key)) for key in keys)]
        for section in evaluation.sections
    ]
    for title, mean in (("harmonic", evaluation.hmean), ("arithmetic", evaluation.mean)):
        rows.append([f"**{title} mean**", "", *(_cell(mean(key)) for key in keys)])
    titles = ["machine", "section", *(_title(key) for key in keys)]
    return f"{_headline(evaluation)}\n\n{_markdown(titles, rows, left=2)}"


def comparison_table(runs: Runs) -> str:
    """Methods by their official score, its terms and the score of every machine.

    Where a method has several seeds a cell is mean ± standard deviation (of the sample) over them.

    Args:
        runs: At least one method with at least one evaluation, all of the same rules and sections.

    Raises:
        DataError: There is nothing to compare, or rules or sections differ.
    """
    rules = _common_rules(runs)
    machines = next(iter(runs.values()))[0].machines
    titles = ["method", "seeds", "official", *(_title(key) for key in rules.terms), *machines]
    rows = []
    for name, evaluations in runs.items():
        spread = [_plus_minus(*figure) for figure in _over_seeds(evaluations)]
        rows.append([_escaped(name), str(len(evaluations)), *spread])
    return _markdown([_escaped(title) for title in titles], rows, left=1)


def comparison_json(runs: Runs) -> dict[str, Any]:
    """What ``comparison_table`` shows, every figure as ``{"mean": …, "std": …}``.

    The deviation of a single seed is ``null``.

    Raises:
        DataError: See ``comparison_table``.
    """
    rules = _common_rules(runs)
    methods: dict[str, Any] = {}
    for name, evaluations in runs.items():
        figures = [{"mean": mean, "std": deviation} for mean, deviation in _over_seeds(evaluations)]
        first_machine = 1 + len(rules.terms)
        methods[name] = {
            "seeds": len(evaluations),
            "official": figures[0],
            "terms": dict(zip(rules.terms, figures[1:first_machine], strict=True)),
            "machines": dict(zip(evaluations[0].machines, figures[first_machine:], strict=True)),
        }
    return {"rules": rules.year, "methods": methods}


def _common_rules(runs: Runs) -> Rules:
    every = [evaluation for evaluations in runs.values() for evaluation in evaluations]
    if not every or not all(runs.values()):
        raise DataError("nothing to compare: every method needs at least one evaluation")
    tested = [
        (
            evaluation.rules,
            [(part.machine, part.section, part.clips) for part in evaluation.sections],
        )
        for evaluation in every
    ]
    if any(other != tested[0] for other in tested):
        raise DataError(
            "methods can only be compared by the same rules on the same sections and clips;"
            " evaluate them all on one data folder"
        )
    return every[0].rules


def _over_seeds(evaluations: Sequence[Evaluation]) -> list[tuple[float, float | None]]:
    """Mean and deviation of the official score, of the terms and of every machine, in this order.

    The deviation of a single seed is ``None``.
    """
    seeds = np.array([_figures(evaluation) for evaluation in evaluations])  # (seeds, figures)
    means = [float(mean) for mean in seeds.mean(axis=0)]
    if len(seeds) == 1:
        return [(mean, None) for mean in means]
    deviations = [float(deviation) for deviation in seeds.std(axis=0, ddof=1)]
    return list(zip(means, deviations, strict=True))


def _figures(evaluation: Evaluation) -> list[float]:
    terms = [
        [section.values[key] for section in evaluation.sections] for key in evaluation.rules.terms
    ]
    return [
        evaluation.official,
        *(float(evaluation.rules.aggregate(values)) for values in terms),
        *(evaluation.machine_official(machine) for machine in evaluation.machines),
    ]


def _columns(evaluation: Evaluation) -> list[str]:
    """The year's terms, the AUC over all clips, and the figures of decisions that all have."""
    domains = [f"_{domain}" for domain in DOMAINS] if evaluation.rules.domains else [""]
    decided = [f"{name}{domain}" for name in DETECTION_TITLES for domain in domains]
    keys = dict.fromkeys([*evaluation.rules.terms, "auc", *decided])
    return [key for key in keys if all(key in part.values for part in evaluation.sections)]


def _title(key: str) -> str:
    if key in TERMS:
        return TERMS[key].title
    name, _, domain = key.partition("_")
    return f"{DETECTION_TITLES[name]} ({domain})" if domain else DETECTION_TITLES[name]


def _headline(evaluation: Evaluation) -> str:
    interval = ""
    if evaluation.ci95 is not None:
        low, high = evaluation.ci95
        interval = f" (95 % interval {_cell(low)} to {_cell(high)})"
    clips = sum(section.clips for section in evaluation.sections)
    return (
        f"**Official score {_cell(evaluation.official)} %**{interval}, rules of"
        f" {evaluation.rules.year}, {clips} clips."
    )


def _cell(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _plus_minus(mean: float, deviation: float | None) -> str:
    return _cell(mean) if deviation is None else f"{_cell(mean)} ± {_cell(deviation)}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """A table whose first ``left`` columns are words and whose others are numbers."""
    rule = [":---"] * left + ["---:"] * (len(titles) - left)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (titles, rule, *rows))
