"""Is the machine running? Learned at enrolment from level and spectrum, told apart slot by slot.

A *slot* is one hop of audio. A slot is *quiet* when it is softer than the machine runs and does not
look like the machine: the same spectrum 12 dB softer is a change of the machine, not a stopped one.
Quiet stretches up to the longest pause heard at enrolment (a valve between strokes) count as
running; a longer one is idle.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_asd.audio import SILENCE_DBFS, level_dbfs
from edge_asd.features.fft import magnitudes
from edge_asd.records import FloatArray

BANDS = 24
MIN_QUIET_DROP_DB = 6.0
"""Running and quiet must differ by this much at least to be told apart."""
UNHEARD_DROP_DB = 10.0
"""Where enrolment heard no pause: so far below the softest running slot it may be off."""
SILENT_DROP_DB = 30.0
"""So far below, it is off whatever the spectrum looks like."""
IDLE_MIN_S = 30.0
"""A quiet stretch of enrolment at least this long is the machine being off, unless such stretches
recur alike: then it is how the machine works."""
SHAPE_SLOTS = 4
"""Without a pause to compare with, so many soft slots are averaged: the shape of one scatters more
than a machine and its surroundings differ."""
_SHAPE_SLACK_DB = 0.5


class Operating(str, Enum):
    """What the machine does."""

    RUNNING = "running"
    SETTLING = "settling"
    """Just started: neither scored nor idle."""
    IDLE = "idle"
    DEAD = "dead"
    """The microphone does not hear the machine."""


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """Level and spectral shape of one hop of audio, before gain."""

    level_dbfs: float
    shape_db: FloatArray
    """(BANDS,) band levels with their mean removed."""
    dead: bool
    """Every sample has the same value, or one is not a number."""


def measure_slot(samples: FloatArray) -> Slot:
    """Measure one hop of audio, (n,) float32 with n >= 1024."""
    swing = float(np.maximum.reduce(samples)) - float(np.minimum.reduce(samples))
    if not math.isfinite(swing):
        return Slot(SILENCE_DBFS, np.zeros(BANDS, np.float32), dead=True)
    spectrum = np.empty((1, len(samples) // 2 + 1), np.float32)
    magnitudes(samples[None], spectrum)
    edges, widths = _bands(spectrum.size)
    power = np.add.reduceat(np.square(spectrum[0]), edges) / widths
    bands = 10.0 * np.log10(power + 1e-12)
    shape = (bands - bands.mean()).astype(np.float32)
    return Slot(level_dbfs(samples), shape, swing == 0.0)


@lru_cache(maxsize=8)
def _bands(bins: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First bins and widths of the bands of a spectrum, (BANDS,) each."""
    # From 40 Hz at 16 kHz: a band of few bins scatters more than machines differ.
    lowest = max(4, bins // 200)
    edges = np.geomspace(lowest, bins, BANDS + 1).astype(np.intp)
    edges = np.maximum(edges, lowest + np.arange(BANDS + 1))  # no band of a short slot is empty
    return edges[:-1], np.diff(edges)


@dataclass(frozen=True, slots=True, eq=False)
class IdleRule:
    """What enrolment learned about running and pausing."""

    quiet_below_dbfs: float
    """A slot this soft may be quiet."""
    silent_below_dbfs: float
    """A slot this soft is quiet whatever its spectrum."""
    running_shape_db: FloatArray
    """(BANDS,) mean shape while running."""
    quiet_shape_db: FloatArray | None
    """(BANDS,) mean shape while quiet; None when enrolment heard the machine run only."""
    running_spread_db: float
    """Largest distance from the running shape of the mean of four enrolled slots in a row."""
    longest_pause_slots: int

    def is_soft(self, slot: Slot) -> bool:
        """Whether the slot is softer than the machine runs."""
        return slot.level_dbfs < self.quiet_below_dbfs

    def is_quiet(self, soft: Sequence[Slot]) -> bool:
        """Whether the machine cannot be heard in the newest slot.

        Args:
            soft: The soft slots in a row that end with it, at most ``SHAPE_SLOTS``; empty when it
                is not soft.
        """
        if not soft:
            return False
        newest = soft[-1]
        if newest.level_dbfs < self.silent_below_dbfs:
            return True
        if self.quiet_shape_db is not None:
            from_running = shape_distance(newest.shape_db, self.running_shape_db)
            return shape_distance(newest.shape_db, self.quiet_shape_db) < from_running
        if len(soft) < SHAPE_SLOTS:
            return False
        mean = np.mean([slot.shape_db for slot in soft], axis=0)
        distance = shape_distance(mean, self.running_shape_db)
        return distance > self.running_spread_db + _SHAPE_SLACK_DB


def shape_distance(a: FloatArray, b: FloatArray) -> float:
    """Root-mean-square difference of two shapes in dB."""
    return float(np.sqrt(np.mean(np.square(a - b))))


def learn_idle_rule(slots: Sequence[Slot], slot_s: float) -> tuple[IdleRule, NDArray[np.bool_]]:
    """Learn when the machine runs from the slots of enrolment, in order of time.

    Args:
        slots: At least one that is not dead; dead ones teach nothing.
        slot_s: Length of a slot, seconds.

    Returns:
        The rule, and for every slot whether the machine was off (N,).
    """
    levels = np.asarray([slot.level_dbfs for slot in slots])
    shapes = np.stack([slot.shape_db for slot in slots])
    live = ~np.asarray([slot.dead for slot in slots])
    boundary = _level_boundary(levels[live])
    quiet = live & (levels < boundary) if boundary is not None else np.zeros_like(live)
    running = live & ~quiet
    pause, off = _pauses(quiet, slot_s)
    running_shape = np.median(shapes[running], axis=0).astype(np.float32)
    smooth = _moving_mean(shapes[running])
    distances = np.sqrt(np.square(smooth - running_shape).mean(axis=1))
    softest = float(np.percentile(levels[running], 1.0))
    rule = IdleRule(
        quiet_below_dbfs=boundary if boundary is not None else softest - UNHEARD_DROP_DB,
        silent_below_dbfs=min(softest, float(levels[live].min())) - SILENT_DROP_DB,
        running_shape_db=running_shape,
        quiet_shape_db=np.median(shapes[quiet], axis=0).astype(np.float32) if quiet.any() else None,
        running_spread_db=float(distances.max()),
        longest_pause_slots=pause,
    )
    return rule, off


def _moving_mean(shapes: FloatArray) -> FloatArray:
    """Means of ``SHAPE_SLOTS`` rows in a row, (N, BANDS) -> (N - 3, BANDS); of all if too few."""
    size = min(SHAPE_SLOTS, len(shapes))
    rows = np.lib.stride_tricks.sliding_window_view(shapes, size, axis=0)
    return np.asarray(rows.mean(axis=-1), dtype=np.float32)


def _level_boundary(levels: NDArray[np.float64]) -> float | None:
    """Level between quiet and running; None where there is but one kind of slot."""
    ordered = np.sort(levels)
    cuts = np.arange(1, len(ordered))
    if not len(cuts):
        return None
    # Otsu: the cut with the largest variance between the two sides.
    below = np.cumsum(ordered)[:-1] / cuts
    above = (ordered.sum() - np.cumsum(ordered)[:-1]) / (len(ordered) - cuts)
    between = cuts * (len(ordered) - cuts) * np.square(above - below)
    cut = int(between.argmax()) + 1
    gap = ordered[cut] - ordered[cut - 1]
    spread = max(float(ordered[:cut].std()), float(ordered[cut:].std()))
    drop = float(ordered[cut:].mean() - ordered[:cut].mean())
    if drop < MIN_QUIET_DROP_DB or drop < 4.0 * spread or (gap < 1.0 and spread > 1.0):
        return None
    return float(ordered[cut - 1] + ordered[cut]) / 2.0


def _pauses(quiet: NDArray[np.bool_], slot_s: float) -> tuple[int, NDArray[np.bool_]]:
    """Longest pause in slots, and which slots belong to the machine being off."""
    off = np.zeros(len(quiet), dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    stretches = edges.reshape(-1, 2)  # (first, end) of every quiet stretch
    lengths = stretches[:, 1] - stretches[:, 0]
    inner = lengths[(stretches[:, 0] > 0) & (stretches[:, 1] < len(quiet))]
    regular = len(inner) >= 3 and inner.max() <= 2.0 * np.median(inner)
    limit = max(IDLE_MIN_S / slot_s, float(inner.max()) + 1.0 if regular else 0.0)
    longest = 0
    for (first, end), length in zip(stretches, lengths, strict=True):
        if length >= limit:
            off[first:end] = True
        else:
            longest = max(longest, int(length))
    return longest, off


class OperatingTracker:
    """Follow a stream of slots; explicit state, driven by the samples alone.

    Args:
        rule: From enrolment.
        slot_samples: Length of a slot, in samples of the stream.
        settle_samples: After a start, so long nothing is scored.
    """

    def __init__(self, rule: IdleRule, slot_samples: int, settle_samples: int) -> None:
        self.rule = rule
        self.slot_samples = slot_samples
        self.settle_samples = settle_samples
        self.reset()

    def reset(self) -> None:
        """Forget everything: the stream was interrupted."""
        self.state = self._before = Operating.RUNNING
        self._quiet = 0  # quiet slots in a row
        self._soft: deque[Slot] = deque(maxlen=SHAPE_SLOTS)  # soft slots in a row
        self._scored_from = 0  # windows that start earlier are masked

    def follow(self, former: OperatingTracker, scale: float) -> None:
        """Go on from what another tracker knows of the same machine.

        Args:
            former: The other one; its slots may be of another length.
            scale: Samples of this stream for one of the other's.
        """
        self.state, self._before = former.state, former._before
        self._scored_from = max(self._scored_from, round(former._scored_from * scale))
        quiet = former._quiet * former.slot_samples * scale
        self._quiet = round(quiet / self.slot_samples)

    def update(self, slot: Slot, start: int, *, deaf: bool | None = None) -> Operating:
        """Take in a slot and return what the machine does.

        Args:
            slot: Measured.
            start: Index of its first sample in the stream.
            deaf: Whether the microphone was not to be trusted somewhere in it. What it says then
                is not about the machine, and no window that begins before its end is scored. None
                takes the slot's word: digital silence.
        """
        end = start + self.slot_samples
        if slot.dead if deaf is None else deaf:
            if self.state is not Operating.DEAD:
                self._before = self.state
            self.state, self._scored_from = Operating.DEAD, max(end, self._scored_from)
            return self.state
        if self.state is Operating.DEAD:
            self.state = self._before  # a dropout neither stops nor starts a machine
        if not self.rule.is_soft(slot):
            self._soft.clear()
        else:
            self._soft.append(slot)
        quiet = self.rule.is_quiet(self._soft)
        self._quiet = self._quiet + 1 if quiet else 0
        if quiet:
            # One slot of grace: a pause is cut into slots at any phase.
            if self._quiet > self.rule.longest_pause_slots + 1 or self.state is not (
                Operating.RUNNING
            ):
                self.state, self._scored_from = Operating.IDLE, end
        elif self.state is Operating.IDLE:
            self.state = Operating.SETTLING
            self._scored_from = start + self.settle_samples
        elif self.state is Operating.SETTLING and end >= self._scored_from:
            self.state = Operating.RUNNING
        return self.state

    def may_score(self, window_start: int) -> bool:
        """Whether a window that begins at this sample lies wholly in settled running."""
        return self.state is Operating.RUNNING and window_start >= self._scored_from
