"""How sure an official score is: bootstrap of its clips, and the jackknife of the 2022 tool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from edge_asd.errors import UsageError
from edge_asd_train.evaluate.rank import Ranking
from edge_asd_train.evaluate.rules import TERMS, HalfWidths, check_sections, rules_of
from edge_asd_train.evaluate.sections import SectionScores

_BLOCK_CELLS = 1 << 19
"""Cells of a weight matrix handled at once: a few arrays of its size stay small."""


def confidence_interval(
    sections: Sequence[SectionScores],
    rules: int,
    *,
    resamples: int = 1000,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """95 % percentile interval of the official score.

    The clips of every stratum (section, domain and label) are drawn anew with replacement, the
    strata keeping their sizes. What it tells is how far another draw of test clips of the *same*
    machines would move the score; another training seed or other machines may move it further.

    Args:
        sections: Scored test clips.
        rules: Year, 2020 to 2026.
        resamples: Number of draws, at least 2.
        rng: Source of the draws.

    Returns:
        Lower and upper end, fractions of 1.

    Raises:
        DataError: The rules cannot score the sections, see ``rules.evaluate``.
        UsageError: No rules of that year are known, or there are too few resamples.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    Cost: O(resamples · clips · terms); about a second for 1000 draws of 1400 clips.
    """
    if resamples < 2:
        raise UsageError(f"an interval needs at least 2 resamples, not {resamples}")
    year = rules_of(rules)
    check_sections(sections, year)
    drawn = [_section_draws(section, year.terms, resamples, rng) for section in sections]
    terms = np.concatenate(drawn, axis=1)  # S x (R, T) -> (R, S·T)
    low, high = np.percentile(year.aggregate(terms), [2.5, 97.5])
    return float(low), float(high)


def half_widths(sections: Sequence[SectionScores]) -> HalfWidths | None:
    """Jackknife of AUC and pAUC over the clips of all machines pooled, as the 2022 tool pools them.

    Leaving out each of N clips in turn gives values t_i; the standard error is
    sqrt((N-1)/N · sum (t_i - mean)²). That tool divides by N(N-1) instead, as if the t_i were
    independent measurements, and so prints N-1 times too little.

    Args:
        sections: Scored test clips.

    Returns:
        Half-widths of the 95 % interval, or ``None`` where a single normal or anomalous clip cannot
        be left out.

    Cost: O(N²).
    """
    scores = np.concatenate([section.scores for section in sections])
    anomalous = np.concatenate([section.anomalous for section in sections])
    count, faults = len(scores), int(anomalous.sum())
    if min(faults, count - faults) < 2:
        return None
    ranking = Ranking(scores, anomalous)
    left_out = [
        np.stack([ranking.auc(weights), ranking.pauc(weights)], axis=1)
        for weights in _leave_one_out(count)
    ]
    values = np.concatenate(left_out)  # (N, 2)
    spread = np.sum((values - values.mean(axis=0)) ** 2, axis=0)  # (2,)
    quantile = float(scipy.stats.t.ppf(0.975, count - 1))
    compat = float(quantile * np.mean(np.sqrt(spread / (count * (count - 1)))))
    return HalfWidths(jackknife=compat * (count - 1), compat2022=compat)


def _section_draws(
    section: SectionScores, keys: Sequence[str], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The T terms of a section in every draw, (R, T)."""
    terms = [(TERMS[key], TERMS[key].ranking(section), TERMS[key].clips(section)) for key in keys]
    blocks = [
        np.stack([term.values(rank, weights[:, clips]) for term, rank, clips in terms], axis=1)
        for weights in _draws(section, resamples, rng)
    ]
    return np.concatenate(blocks)


def _draws(
    section: SectionScores, resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """How often each clip is drawn, (R, N) in blocks of rows."""
    strata = section.anomalous + 2 * section.domains
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    for rows in _row_blocks(resamples, len(section.names)):
        weights = np.zeros((len(rows), len(section.names)))
        for clips in members:
            weights[:, clips] = _counts(len(rows), len(clips), rng)
        yield weights


def _counts(rows: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Each row: how often each of ``size`` items occurs among ``size`` draws of them."""
    cells = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(cells.ravel(), minlength=rows * size).reshape(rows, size)


def _leave_one_out(count: int) -> Iterator[NDArray[np.float64]]:
    for rows in _row_blocks(count, count):
        weights = np.ones((len(rows), count))
        weights[np.arange(len(rows)), rows] = 0
        yield weights


def _row_blocks(rows: int, columns: int) -> Iterator[range]:
    step = max(1, _BLOCK_CELLS // columns)
    return (range(first, min(first + step, rows)) for first in range(0, rows, step))
