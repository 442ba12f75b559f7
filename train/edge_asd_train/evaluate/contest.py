"""One method over all sections of a data set: learn, score, decide."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from edge_asd.errors import DataError
from edge_asd_train.datasets.index import ClipFile, Index
from edge_asd_train.evaluate.clips import ProgressFactory, no_progress
from edge_asd_train.evaluate.methods import Method
from edge_asd_train.evaluate.sections import DOMAINS, SectionScores

NORMAL_SHARE = 0.9
"""Share of normal clips that a decision lets pass."""
FEWEST_FOR_FIT = 50
"""Below so many scores a change of the fifth digit moves the fit by up to 80 % (draws of a gamma
distribution of shape 3), and it hits the share no better than the empirical quantile."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSection:
    """The test clips of a section as a method scored them, whether or not their truth is known."""

    machine: str
    section: str
    clips: tuple[ClipFile, ...]
    """(N,), in order of their paths."""
    scores: NDArray[np.float64]
    """(N,), higher is more anomalous."""
    threshold: float
    """A clip with a higher score is called anomalous."""

    @property
    def decisions(self) -> NDArray[np.bool_]:
        """Which clips are called anomalous, (N,)."""
        return np.asarray(self.scores > self.threshold, np.bool_)

    @property
    def labelled(self) -> bool:
        """Whether the truth of every clip is known."""
        return all(clip.anomalous is not None for clip in self.clips)

    @property
    def names(self) -> tuple[str, ...]:
        """File names, (N,); with their folders where they would not tell clips apart."""
        names = tuple(clip.path.name for clip in self.clips)
        if len(set(names)) == len(names):
            return names
        shared = Path(os.path.commonpath([clip.path for clip in self.clips]))
        return tuple(clip.path.relative_to(shared).as_posix() for clip in self.clips)

    def with_truth(self) -> SectionScores:
        """Scores together with what the file names tell; no domain told counts as source.

        Raises:
            DataError: The truth of a clip is not known.
        """
        unknown = next((clip for clip in self.clips if clip.anomalous is None), None)
        if unknown is not None:
            raise DataError(
                f"{unknown.path}: its name does not tell whether it is anomalous; give"
                " --ground-truth and --domains"
            )
        return SectionScores(
            machine=self.machine,
            section=self.section,
            names=self.names,
            scores=self.scores,
            anomalous=np.asarray([bool(clip.anomalous) for clip in self.clips]),
            domains=np.asarray([DOMAINS.index(clip.domain or "source") for clip in self.clips]),
            decisions=self.decisions,
        )


def score_sections(
    method: Method, index: Index, *, progress: ProgressFactory = no_progress
) -> list[ScoredSection]:
    """Let a method learn and score every section that has test clips.

    Args:
        method: What is measured.
        index: The data set.
        progress: Makes a bar; one step a section.

    Raises:
        DataError: There are no test clips, a section with tests has no training clips, or a clip
            cannot be used.
    """
    tested = check_contest(index)
    advance = progress(method.name, len(tested))
    scored = []
    for machine, section in tested:
        train = list(index.of(machine, section, "train"))
        clips = _tests(index, machine, section)
        fitted = method.fit(train)
        scores = fitted.score(clips)
        if not np.isfinite(scores).all():
            worst = clips[int(np.argmin(np.isfinite(scores)))]
            raise DataError(f"{worst.path}: {method.name} gives a score that is not finite")
        threshold = decision_threshold(fitted.train_scores)
        scored.append(ScoredSection(machine, section, clips, scores, threshold))
        advance()
    return scored


def run_method(
    method: Method, index: Index, *, progress: ProgressFactory = no_progress
) -> list[SectionScores]:
    """Scores and truth of every section; see ``score_sections``.

    Raises:
        DataError: Also when the truth of a test clip is not known.
    """
    return [scored.with_truth() for scored in score_sections(method, index, progress=progress)]


def check_contest(index: Index) -> list[tuple[str, str]]:
    """Machines and sections with test clips, before any time is spent on them.

    Raises:
        DataError: There are none, or one of them has no training clips.
    """
    tested = [key for key in index.sections if any(True for _ in index.of(*key, "test"))]
    if not tested:
        raise DataError(
            f"{index.root}: no test clips in it (read as layout {index.layout}); evaluation needs"
            " MACHINE/test/*.wav beside the training clips"
        )
    for machine, section in tested:
        if not any(True for _ in index.of(machine, section, "train")):
            raise DataError(
                f"{index.root}: {machine} section {section} has test clips but no training clips;"
                " add its normal recordings or remove the tests"
            )
    return tested


def unscored(index: Index) -> list[ScoredSection]:
    """Every section that has test clips, before a method has scored it.

    Raises:
        DataError: See ``check_contest``.
    """
    sections = []
    for machine, section in check_contest(index):
        clips = _tests(index, machine, section)
        sections.append(ScoredSection(machine, section, clips, np.zeros(len(clips)), 0.0))
    return sections


def _tests(index: Index, machine: str, section: str) -> tuple[ClipFile, ...]:
    return tuple(sorted(index.of(machine, section, "test"), key=lambda clip: clip.path))


def decision_threshold(train_scores: Sequence[float] | NDArray[np.float64]) -> float:
    """Score that one normal clip in ten exceeds.

    A gamma distribution with free location is fitted to held-out scores of training clips, as the
    official baseline does; their empirical quantile is taken where there are fewer than 50 of them,
    or where the fit fails or lies far off.

    Args:
        train_scores: (n,), n >= 1, of clips that the scorer had not learned.

    Source: DCASE 2020 to 2026 Task 2 baseline. Differs: fitted to clips, not to batches' means.
    """
    scores = np.asarray(train_scores, np.float64)
    empirical = float(np.quantile(scores, NORMAL_SHARE))
    if len(scores) < FEWEST_FOR_FIT or float(np.ptp(scores)) == 0.0:
        return empirical
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of the optimiser, on its way
            shape, location, scale = scipy.stats.gamma.fit(scores)
            fitted = float(scipy.stats.gamma.ppf(NORMAL_SHARE, shape, location, scale))
    except (ValueError, RuntimeError, FloatingPointError):  # FitError is a RuntimeError
        return empirical
    inside = float(np.median(scores)) < fitted < float(scores.max() + np.ptp(scores))
    return fitted if math.isfinite(fitted) and inside else empirical
