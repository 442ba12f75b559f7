"""From held-out scores of normal sound to thresholds with a stated false-alarm rate.

What is calibrated is what is decided on. A 0.2 s bang lies in ten consecutive 10 s windows, so that
counting windows proves nothing: the decision statistic is the k-th largest of the last n scores.
Its largest value in each of many blocks of listening is taken, the blocks far enough apart to be
independent, and the Gumbel distribution of such maxima is read off at the rate asked for.

T hours without an exceedance support a rate of at most 3/T (the rule of three, 95 % confidence).
A rarer rate is extrapolated, and the calibration says so: it is ``provisional`` until enough quiet
live blocks have joined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edge_asd.errors import ScorerError
from edge_asd.records import FloatArray

WEEK_S = 7 * 24 * 3600.0
MIN_BLOCKS = 5
MAX_BLOCKS = 512
"""Beyond these, neighbouring blocks are merged: memory stays bounded, blocks grow longer."""

BLOCK_S = 30.0
"""Listening behind one block, before blocks are merged."""

HYSTERESIS = 0.2
"""An alert ends this share of the way from the threshold down to the usual statistic."""
ALARM_RARITY = 100.0
"""An alarm is raised where a false one would be this many times rarer than a false warning."""
MARGIN_DEVIATIONS = 2.0
"""Margin over the largest held-out score where there are too few blocks, in deviations."""
CLIP_FALSE_POSITIVES = 0.01
"""Share of normal clips that ``edge-asd score`` may call anomalous."""

_EULER = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class Persistence:
    """How long a score must stay high: the k-th largest of the last n scores decides."""

    k: int
    n: int

    @classmethod
    def from_seconds(cls, above_s: float, within_s: float, hop_s: float) -> Persistence:
        """Whole hops: at least ``above_s`` high within at most ``within_s``."""
        k = max(1, int(np.ceil(round(above_s / hop_s, 6))))
        return cls(k, max(k, int(round(within_s / hop_s, 6))))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds on the decision statistic, and what they rest on."""

    method: Literal["block_maxima", "largest_plus_margin"]
    asked_per_week: float
    """False alarms a week that the operator accepts."""
    supported_per_week: float
    """Rate that the listening behind it can vouch for."""
    provisional: bool
    """The rate asked for is rarer than the one supported: the threshold is extrapolated."""
    usual: float
    """Median of the held-out statistic."""
    clear_below: float
    threshold: float
    alarm_threshold: float


def rate_text(per_week: float) -> str:
    """A rate of false alarms for people.

    >>> rate_text(60612.3), rate_text(0.512)
    ('60,612', '0.51')
    """
    return f"{per_week:,.0f}" if per_week >= 10 else f"{per_week:.2g}"


def decision_statistic(scores: FloatArray, persistence: Persistence) -> FloatArray:
    """k-th largest of the last n scores, from the k-th score on.

    Args:
        scores: Consecutive scores of one contiguous run, (W,).
        persistence: k and n.

    Returns:
        (W - k + 1,) float32, empty when there are fewer than k; before n scores are there, the k-th
        largest of those that are.

    >>> decision_statistic(np.array([1, 5, 2, 4, 3], np.float32), Persistence(2, 3)).tolist()
    [1.0, 2.0, 4.0, 3.0]
    """
    k, n = persistence.k, persistence.n
    values = [
        np.partition(scores[max(0, end - n) : end], -k)[-k] for end in range(k, len(scores) + 1)
    ]
    return np.asarray(values, dtype=np.float32)


def block_maxima(
    runs: Sequence[FloatArray], persistence: Persistence, block_hops: int, shared: int
) -> FloatArray:
    """Largest decision statistics of blocks that share no audio with one another.

    Args:
        runs: Held-out scores of successive uninterrupted stretches.
        persistence: k and n.
        block_hops: Statistics in a block.
        shared: Windows at the beginning of a stretch that share audio with the stretch before.

    Returns:
        (N,) float32; stretches too short for a block give none.
    """
    maxima: list[float] = []
    for index, scores in enumerate(runs):
        statistic = decision_statistic(scores[shared if index else 0 :], persistence)
        whole = len(statistic) // block_hops
        for block in range(whole):
            # What is left over joins the last block: it may only raise the maximum.
            end = len(statistic) if block == whole - 1 else (block + 1) * block_hops
            maxima.append(float(statistic[block * block_hops : end].max()))
    return np.asarray(maxima, dtype=np.float32)


def calibrate(
    blocks: FloatArray, block_s: float, held_out: FloatArray, asked_per_week: float
) -> Calibration:
    """Thresholds for a false-alarm rate.

    Args:
        blocks: Largest decision statistic of every block of normal listening, (N,).
        block_s: Listening behind each block, seconds.
        held_out: Cross-fitted scores of single windows, (W,), W >= 1: used alone when there are
            fewer than five blocks.
        asked_per_week: Acceptable false alarms a week, positive.

    Raises:
        ScorerError: There are no scores at all.

    Source: Hosking, "L-moments" (1990), for the Gumbel fit; Jovanovic and Levy, "A look at the rule
    of three" (1997).
    """
    if not len(held_out):
        raise ScorerError("no normal scores to calibrate with; enrol with more audio")
    listened_s = len(blocks) * block_s
    supported = 3.0 * WEEK_S / max(listened_s, block_s)
    if len(blocks) < MIN_BLOCKS:
        margin = MARGIN_DEVIATIONS * float(held_out.std())
        threshold = float(held_out.max()) + margin
        usual, alarm = float(np.median(held_out)), threshold + margin
        method: Literal["block_maxima", "largest_plus_margin"] = "largest_plus_margin"
    else:
        location, scale = _gumbel(blocks)
        per_block = asked_per_week * block_s / WEEK_S
        usual = float(np.median(blocks))
        # Never below what normal sound was seen to reach.
        threshold = max(_quantile(location, scale, per_block), float(blocks.max()))
        alarm = threshold + scale * float(np.log(ALARM_RARITY))
        method = "block_maxima"
    return Calibration(
        method=method,
        asked_per_week=asked_per_week,
        supported_per_week=supported,
        provisional=supported > asked_per_week,
        usual=usual,
        clear_below=threshold - HYSTERESIS * (threshold - usual),
        threshold=threshold,
        alarm_threshold=alarm,
    )


def lifted(calibration: Calibration, reached: float) -> Calibration:
    """With a threshold that is not below what sound confirmed as normal has reached.

    The alarm threshold keeps its distance; the rate that is supported stays, no more was heard.
    """
    if reached <= calibration.threshold:
        return calibration
    rise = reached - calibration.threshold
    return replace(
        calibration,
        threshold=reached,
        alarm_threshold=calibration.alarm_threshold + rise,
        clear_below=reached - HYSTERESIS * (reached - calibration.usual),
    )


def _gumbel(maxima: FloatArray) -> tuple[float, float]:
    """Location and scale by L-moments; a scale of zero is lifted to stay usable."""
    ordered = np.sort(maxima.astype(np.float64))
    n = len(ordered)
    first = ordered.mean()
    second = 2.0 * float(np.sum(np.arange(n) * ordered)) / (n * (n - 1)) - first
    scale = max(second / float(np.log(2.0)), 1e-6)
    return float(first - _EULER * scale), float(scale)


def _quantile(location: float, scale: float, exceedance: float) -> float:
    """Value that a block's maximum exceeds with this probability."""
    probability = min(exceedance, 0.5)
    return location - scale * float(np.log(-np.log1p(-probability)))


def merge_blocks(blocks: FloatArray, block_s: float) -> tuple[FloatArray, float]:
    """Halve the number of blocks by joining neighbours while there are too many."""
    while len(blocks) > MAX_BLOCKS:
        # An odd one out joins the last pair: no maximum is ever forgotten.
        blocks = np.maximum.reduceat(blocks, np.arange(0, len(blocks) - 1, 2))
        block_s *= 2.0
    return blocks, block_s


class QuietBlocks:
    """Largest decision statistics of uninterrupted blocks of normal live listening.

    Args:
        hop_s: Time between statistics, seconds.
    """

    def __init__(self, hop_s: float) -> None:
        self._hop_s = hop_s
        self._open: list[float] = []
        self._maxima: list[float] = []

    def add(self, statistic: float, block_s: float) -> None:
        """Take in one statistic; ``block_s`` of them make a block."""
        self._open.append(statistic)
        if (len(self._open) + 0.5) * self._hop_s >= block_s:
            self._maxima.append(max(self._open))
            self._open.clear()

    def interrupt(self) -> None:
        """Listening was interrupted: an unfinished block does not count."""
        self._open.clear()

    def forget(self) -> None:
        """Drop everything: it may not have been normal."""
        self._open.clear()
        self._maxima.clear()

    def take(self, at_least: int) -> FloatArray | None:
        """Hand over the finished blocks once there are enough of them."""
        if len(self._maxima) < at_least:
            return None
        maxima = np.asarray(self._maxima, dtype=np.float32)
        self._maxima.clear()
        return maxima


def clip_means(runs: Sequence[FloatArray], windows: int) -> FloatArray:
    """Mean scores of every stretch of so many held-out windows.

    Args:
        runs: Held-out scores of uninterrupted stretches, at least one.
        windows: Windows of the clip to compare with; cut to the longest stretch there is.

    Returns:
        (N,) float32, N >= 1.
    """
    length = min(windows, max(len(run) for run in runs))
    kernel = np.full(length, 1.0 / length)
    means = [np.convolve(run, kernel, "valid") for run in runs if len(run) >= length]
    return np.concatenate(means).astype(np.float32)


def clip_threshold(runs: Sequence[FloatArray], windows: int, windows_shared: int) -> float:
    """Threshold for the mean score of a clip of so many windows.

    The upper prediction limit for one more normal clip: a Student quantile over the means of
    held-out stretches, widened for how few of them are independent.

    Args:
        runs: Held-out scores of uninterrupted stretches, at least one.
        windows: Windows of the clip, at least 1.
        windows_shared: Hops after which two windows share no audio.

    Returns:
        Threshold that one normal clip in a hundred exceeds.
    """
    length = min(windows, max(len(run) for run in runs))
    means = clip_means(runs, windows)
    spacing = windows_shared + length - 1
    independent = max(2, sum(max(1, len(run) // spacing) for run in runs if len(run) >= length))
    from scipy.special import stdtrit  # noqa: PLC0415 - 28 MB that a daemon has no use for

    quantile = float(stdtrit(independent - 1, 1.0 - CLIP_FALSE_POSITIVES))
    spread = float(means.std()) * math.sqrt(independent / (independent - 1.0))
    return float(means.mean()) + quantile * spread * math.sqrt(1.0 + 1.0 / independent)


def percentile(held_out: FloatArray, score: float) -> float:
    """Share of held-out normal scores below ``score``, 0 to 100."""
    return 100.0 * float(np.mean(held_out < score))
