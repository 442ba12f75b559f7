"""How well faults are heard, by their severity and by what they are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import DataError
from edge_asd.simulate import Fault
from edge_asd_train.evaluate.contest import ScoredSection
from edge_asd_train.evaluate.rank import auc

AUDIBLE_AUC = 0.9
"""From this AUC on a fault counts as heard."""
BINS = 10
"""Bins of the whole range of severities, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Graded:
    """How well some anomalous clips stand apart."""

    auc: float
    """Against all normal test clips of the same machine, averaged over machines."""
    clips: int
    """Number of these anomalous clips."""


@dataclass(frozen=True, slots=True)
class SeverityBin:
    """Anomalous clips of about the same severity."""

    low: float
    high: float
    graded: Graded


@dataclass(frozen=True, slots=True)
class FirstShot:
    """Which faults of machines that it never heard a method hears."""

    left_out: tuple[str, ...]
    """Kinds that were measured and not heard in training."""
    heard: tuple[str, ...]
    """Kinds that were measured though training did not leave them out."""
    severity: tuple[SeverityBin, ...]
    """Rising; bins without clips are left out."""
    faults: Mapping[str, Graded]
    """By the name of the fault, in order of the names."""

    @property
    def audible_from(self) -> float | None:
        """Lower end of the first bin from which on every AUC is at least 0.9."""
        lowest = None
        for one in reversed(self.severity):
            if one.graded.auc < AUDIBLE_AUC:
                break
            lowest = one.low
        return lowest

    @property
    def headline(self) -> str:
        """The lowest severity that is heard, in words."""
        share = f"{100 * AUDIBLE_AUC:.0f} %"
        if self.audible_from is None:
            return f"AUC below {share} at the highest severity"
        return f"AUC at least {share} from severity {self.audible_from:.1f} on"

    def as_json(self) -> dict[str, Any]:
        """What scripts read; every AUC is a fraction of 1."""
        return {
            "left_out": list(self.left_out),
            "heard": list(self.heard),
            "severity": [
                {"from": one.low, "to": one.high, **dataclasses.asdict(one.graded)}
                for one in self.severity
            ],
            "audible_from": self.audible_from,
            "faults": {name: dataclasses.asdict(one) for name, one in self.faults.items()},
        }

    def as_markdown(self) -> str:
        """The headline, and a table each for severities and for faults."""
        bins = {f"{one.low:.1f} to {one.high:.1f}": one.graded for one in self.severity}
        lines = [f"**{self._title}: {self.headline}.**", ""]
        return "\n".join([*lines, *_table("severity", bins), *_table("fault", self.faults)])

    @property
    def _title(self) -> str:
        return "Faults by severity" if self.heard else "First shot"


def grade(
    scored: Sequence[ScoredSection],
    faults: Mapping[Path, Fault],
    *,
    left_out: Sequence[str] = (),
    heard: Sequence[str] = (),
) -> FirstShot:
    """AUC by severity, in bins of 0.1, and by fault.

    A severity between two bins belongs to the upper one, the highest of all to the one below it.

    Args:
        scored: Sections with normal test clips; together they have at least one anomalous one.
        faults: What is wrong in every anomalous clip; the others are normal.
        left_out: Kinds of these machines that training did not hear.
        heard: Their other kinds.

    Raises:
        DataError: There is no anomalous clip, or a section has no normal one.
    """
    told = [_Told.of(section, faults) for section in scored]
    severities = np.concatenate([[fault.severity for fault in one.faults] for one in told])
    if not len(severities):
        raise DataError("no anomalous test clips to grade; add some, or simulate the set again")
    first = math.floor(_in_bins(severities.min()))
    last = max(first, math.ceil(_in_bins(severities.max())) - 1)
    found = []
    for number in range(first, last + 1):
        graded = _graded(told, [_bins(one.faults, last) == number for one in told])
        if graded is not None:
            found.append(SeverityBin(number / BINS, (number + 1) / BINS, graded))
    by_name = {}
    for name in sorted({fault.name for one in told for fault in one.faults}):
        graded = _graded(told, [np.array([f.name == name for f in one.faults]) for one in told])
        if graded is not None:
            by_name[name] = graded
    return FirstShot(tuple(left_out), tuple(heard), tuple(found), by_name)


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """Scores of one section, and what is wrong."""

    normals: NDArray[np.float64]
    """(n,)."""
    anomalies: NDArray[np.float64]
    """(m,)."""
    faults: tuple[Fault, ...]
    """(m,)."""

    @classmethod
    def of(cls, section: ScoredSection, faults: Mapping[Path, Fault]) -> _Told:
        wrong = [faults.get(clip.path) for clip in section.clips]
        anomalous = np.asarray([one is not None for one in wrong], np.bool_)
        return cls(
            section.scores[~anomalous],
            section.scores[anomalous],
            tuple(one for one in wrong if one is not None),
        )


def _in_bins(severity: float) -> float:
    """Severity in units of a bin: 0.3 is 3, not 2.9999."""
    return round(float(severity) * BINS, 6)


def _bins(faults: Sequence[Fault], last: int) -> NDArray[np.int64]:
    """Bin of each fault, (m,)."""
    bins = [min(math.floor(_in_bins(fault.severity)), last) for fault in faults]
    return np.asarray(bins, np.int64)


def _graded(told: Sequence[_Told], chosen: Sequence[NDArray[np.bool_]]) -> Graded | None:
    """The chosen anomalous clips of every section; ``None`` where there are none."""
    areas, clips = [], 0
    for one, mask in zip(told, chosen, strict=True):
        if mask.any():
            picked = one.anomalies[mask]
            truth = np.arange(len(one.normals) + len(picked)) >= len(one.normals)
            areas.append(auc(np.concatenate([one.normals, picked]), truth))
            clips += len(picked)
    return Graded(float(np.mean(areas)), clips) if areas else None


def _table(title: str, rows: Mapping[str, Graded]) -> list[str]:
    lines = [f"| {name} | {100 * one.auc:.2f} | {one.clips} |" for name, one in rows.items()]
    return [f"| {title} | AUC | clips |", "| :--- | ---: | ---: |", *lines, ""]
