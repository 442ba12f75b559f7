"""The official metrics of DCASE Task 2, 2020 to 2026.

Every figure is a term: a (partial) AUC over the normal clips of one population and the anomalous
clips of another. A year's rules are a list of terms and a mean over all of them, in which every
section of every machine counts the same.

The populations differ from year to year under one name. From 2022 on the AUC of a domain sets its
normal clips against the anomalous clips of *both* domains; 2021 and many papers take the anomalous
clips of that domain only. Here a key means one thing: ``auc_source`` is the former,
``auc_source_own`` the latter.

Source: task descriptions of DCASE Task 2, 2020 to 2024; the later years kept the formula of 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_asd.errors import DataError, UsageError
from edge_asd_train.datasets.index import Domain
from edge_asd_train.evaluate.rank import Ranking, detection
from edge_asd_train.evaluate.sections import DOMAINS, SectionScores

EPSILON = float(np.finfo(np.float64).eps)
"""Values are clipped to at least this, 2.22e-16, before a harmonic mean."""


@dataclass(frozen=True, slots=True)
class Term:
    """A (partial) AUC and the clips it is taken over."""

    title: str
    normals: Domain | None = None
    """Domain of its normal clips; ``None`` for both."""
    anomalies: Domain | None = None
    """Domain of its anomalous clips; ``None`` for both."""
    partial: bool = False

    def clips(self, section: SectionScores) -> NDArray[np.bool_]:
        """Which clips of a section the term is taken over, (N,)."""
        normal = ~section.anomalous & section.of_domain(self.normals)
        anomalous = section.anomalous & section.of_domain(self.anomalies)
        return np.asarray(normal | anomalous, np.bool_)

    def ranking(self, section: SectionScores) -> Ranking:
        """The term's clips, ranked.

        Raises:
            DataError: The term is undefined, for want of normal or anomalous clips.
        """
        chosen = self.clips(section)
        return Ranking(section.scores[chosen], section.anomalous[chosen])

    def values(
        self, ranking: Ranking, weights: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """The term under each row of weights of its clips, (R, n) -> (R,); see ``Ranking``."""
        return ranking.pauc(weights) if self.partial else ranking.auc(weights)


TERMS: Mapping[str, Term] = MappingProxyType(
    {
        "auc": Term("AUC (all)"),
        "auc_source": Term("AUC (source)", normals="source"),
        "auc_target": Term("AUC (target)", normals="target"),
        "pauc": Term("pAUC", partial=True),
        "auc_source_own": Term("AUC (source only)", "source", "source"),
        "auc_target_own": Term("AUC (target only)", "target", "target"),
        "pauc_source_own": Term("pAUC (source only)", "source", "source", partial=True),
        "pauc_target_own": Term("pAUC (target only)", "target", "target", partial=True),
    }
)
DETECTION_TITLES: Mapping[str, str] = MappingProxyType(
    {"precision": "precision", "recall": "recall", "f1": "F1 score"}
)


@dataclass(frozen=True, slots=True)
class Rules:
    """How one year scored a system."""

    year: int
    terms: tuple[str, ...]
    """Keys of ``TERMS`` that enter the official score."""
    mean: Literal["arithmetic", "harmonic"] = "harmonic"
    domains: bool = True
    """Clips belong to a source or a target domain."""

    def aggregate(self, values: ArrayLike) -> NDArray[np.float64]:
        """The year's mean over the last axis."""
        if self.mean == "harmonic":
            return harmonic_mean(values)
        return np.asarray(np.mean(np.asarray(values, np.float64), axis=-1), np.float64)


_FROM_2022 = ("auc_source", "auc_target", "pauc")
RULES: Mapping[int, Rules] = MappingProxyType(
    {
        2020: Rules(2020, ("auc", "pauc"), "arithmetic", domains=False),
        2021: Rules(
            2021, ("auc_source_own", "pauc_source_own", "auc_target_own", "pauc_target_own")
        ),
        **{year: Rules(year, _FROM_2022) for year in range(2022, 2027)},
    }
)


def rules_of(year: int) -> Rules:
    """The rules of a year.

    Raises:
        UsageError: No rules of that year are known.
    """
    if year not in RULES:
        raise UsageError(f"no rules of {year}: choose a year from {min(RULES)} to {max(RULES)}")
    return RULES[year]


@dataclass(frozen=True, slots=True)
class SectionResult:
    """The figures of one section."""

    machine: str
    section: str
    clips: int
    values: Mapping[str, float]
    """Terms by their keys, and ``precision``, ``recall``, ``f1`` by domain (``precision_source``)
    where there are decisions; what is undefined for want of clips is left out."""


@dataclass(frozen=True, slots=True)
class HalfWidths:
    """Half of the 95 % confidence interval of (AUC + pAUC) / 2 over the clips of all machines.

    The pooled ranking compares scores of different machines: it is printed because the official
    tool of 2022 prints it. ``ci95`` of an evaluation is the interval of the score itself.
    """

    jackknife: float
    compat2022: float
    """As that tool computes it: too small by the number of clips less one."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything measured on the test clips of one system."""

    rules: Rules
    sections: tuple[SectionResult, ...]
    ci95: tuple[float, float] | None = None
    """Bootstrap interval of the official score, see ``bootstrap.confidence_interval``."""
    half_widths: HalfWidths | None = None
    compat2022: bool = False
    """Result files repeat the faults of the official tool of 2022; see ``official_result``."""

    @property
    def official(self) -> float:
        """The official score: the year's mean over its terms, all sections of all machines."""
        return self._official(self.sections)

    @property
    def machines(self) -> tuple[str, ...]:
        """Names of the machines, in the order of their first sections."""
        return tuple(dict.fromkeys(section.machine for section in self.sections))

    def of(self, machine: str) -> tuple[SectionResult, ...]:
        """Results of a machine's sections."""
        return tuple(section for section in self.sections if section.machine == machine)

    def machine_official(self, machine: str) -> float:
        """The official score of one machine alone."""
        return self._official(self.of(machine))

    def hmean(self, key: str) -> float:
        """Harmonic mean of a figure over all sections."""
        return float(harmonic_mean([section.values[key] for section in self.sections]))

    def mean(self, key: str) -> float:
        """Arithmetic mean of a figure over all sections."""
        return float(np.mean([section.values[key] for section in self.sections]))

    def as_json(self) -> dict[str, Any]:
        """What scripts read; every value is a fraction of 1."""
        machines: dict[str, dict[str, dict[str, float]]] = {name: {} for name in self.machines}
        for section in self.sections:
            machines[section.machine][section.section] = dict(section.values)
        result: dict[str, Any] = {
            "rules": self.rules.year,
            "official": self.official,
            "hmean": {key: self.hmean(key) for key in self.rules.terms},
            "mean": {key: self.mean(key) for key in self.rules.terms},
            "machine_official": {name: self.machine_official(name) for name in self.machines},
            "machines": machines,
            "ci95": None if self.ci95 is None else list(self.ci95),
        }
        if self.half_widths is not None:
            result["ci95_half_width"] = {
                "jackknife": self.half_widths.jackknife,
                "compat2022": self.half_widths.compat2022,
            }
        return result

    def _official(self, sections: Sequence[SectionResult]) -> float:
        terms = [section.values[key] for section in sections for key in self.rules.terms]
        return float(self.rules.aggregate(terms))


def evaluate(sections: Sequence[SectionScores], rules: int) -> Evaluation:
    """Score a system by the rules of a year.

    Args:
        sections: Scored test clips, every machine and section once.
        rules: Year, 2020 to 2026.

    Returns:
        The evaluation, without a confidence interval.

    Raises:
        DataError: There are no sections, one occurs twice, or one lacks clips that a term needs.
        UsageError: No rules of that year are known.
    """
    year = rules_of(rules)
    check_sections(sections, year)
    return Evaluation(year, tuple(_result(section, year) for section in sections))


def check_sections(sections: Sequence[SectionScores], rules: Rules) -> None:
    """Refuse what the rules cannot score.

    Raises:
        DataError: See ``evaluate``.
    """
    if not sections:
        raise DataError("there are no test clips to evaluate: check the data folder")
    seen: set[str] = set()
    for section in sections:
        if section.label in seen:
            raise DataError(f"{section.label} is given twice; give every section once")
        seen.add(section.label)
        for key in rules.terms:
            truth = section.anomalous[TERMS[key].clips(section)]
            if not truth.any() or truth.all():
                raise DataError(
                    f"{section.label}: {TERMS[key].title} of the rules of {rules.year} needs"
                    f" normal and anomalous clips, not {int((~truth).sum())} normal and"
                    f" {int(truth.sum())} anomalous; add test clips"
                    + (" or use the rules of 2020, which know no domains" * rules.domains)
                )


def harmonic_mean(values: ArrayLike) -> NDArray[np.float64]:
    """Harmonic mean over the last axis; values below ``EPSILON`` count as that.

    >>> round(float(harmonic_mean([1.0, 0.5])), 4)
    0.6667
    """
    clipped = np.maximum(np.asarray(values, np.float64), EPSILON)
    return np.asarray(clipped.shape[-1] / np.sum(1 / clipped, axis=-1), np.float64)


def _result(section: SectionScores, rules: Rules) -> SectionResult:
    values: dict[str, float] = {}
    for key, term in TERMS.items():
        truth = section.anomalous[term.clips(section)]
        if key in rules.terms or (rules.domains and truth.any() and not truth.all()):
            values[key] = float(term.values(term.ranking(section))[0])
    if section.decisions is not None:
        for domain in DOMAINS if rules.domains else (None,):
            clips = section.of_domain(domain)
            figures = detection(section.decisions[clips], section.anomalous[clips])
            for name, value in figures._asdict().items():
                values[name if domain is None else f"{name}_{domain}"] = value
    return SectionResult(section.machine, section.section, len(section.names), values)
