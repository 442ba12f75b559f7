"""Sound that an operator confirmed as normal later: how it joins what a monitor learned.

What enrolment learned stays as it is; confirmed windows come beside it as references of every
scorer, so that no score grows, and leave again without a trace. Every recording is also scored by
references that leave itself out. One that exceeds the threshold then, but no alarm, is an extreme
of known sound, and the threshold is lifted to it. One far beyond is another sound, such as another
load: it is covered by its own windows and says nothing about the threshold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asd.records import FloatArray
from edge_asd.score import Calibration, Detector, Views, decision_statistic
from edge_asd.score.calibrate import Persistence, lifted
from edge_asd.score.detector import Standard
from edge_asd.score.views import concatenate

MAX_TARGETS = 64
"""Confirmed windows of one monitor."""
MAX_OF_ONE = 8
"""Of them, windows of one alert: neighbours in time sound alike."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The sound of one alert that was confirmed as normal."""

    event_id: str
    by: str
    """Who said so."""
    at: str
    """When, RFC 3339."""
    expires_at: str | None
    """When it leaves by itself, RFC 3339; None for never."""
    began_at: str
    """When the alert began, RFC 3339."""
    severity: str
    audio: str
    """Name of the file in the folder of targets."""
    rests_s: float
    """So many seconds of it, from its beginning, the alert rests on."""
    views: Views
    """Its windows from the first that counted on, in order of time."""
    chosen: NDArray[np.intp]
    """Those of them that are targets."""

    @property
    def targets(self) -> Views:
        """The windows that join the references."""
        return self.views.take(self.chosen)

    def expired(self, now: str) -> bool:
        """Whether its time is over at an RFC 3339 time."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a profile's history of targets."""

    at: str
    """RFC 3339."""
    what: str
    """``confirmed``, ``undone`` or ``expired``."""
    event_id: str
    by: str
    windows: int


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """All that was confirmed, and what it was added to.

    Args:
        enrolled: The detector without targets.
        few: What standardises distances to a few windows, by scorer.
        plain: Thresholds without targets.
        recordings: At least one.
        detector: The detector with all of them.
        left_out: Scores of every recording's windows by references without that recording.
    """

    enrolled: Detector
    few: Mapping[str, Standard]
    plain: Calibration
    recordings: tuple[Recording, ...]
    detector: Detector
    left_out: tuple[FloatArray, ...]

    @classmethod
    def of(
        cls,
        enrolled: Detector,
        few: Mapping[str, Standard],
        plain: Calibration,
        recordings: Sequence[Recording],
    ) -> Targets:
        """Add recordings, at least one, to what enrolment learned."""
        left_out = []
        for one in recordings:
            others = [other for other in recordings if other is not one]
            left_out.append(with_recordings(enrolled, few, others).fused_scores(one.views))
        detector = with_recordings(enrolled, few, recordings)
        return cls(enrolled, few, plain, tuple(recordings), detector, tuple(left_out))

    @property
    def key(self) -> str:
        """Differs between sets of recordings: scores with different ones do not compare."""
        text = "\n".join(f"{one.event_id} {one.at}" for one in self.recordings)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def windows(self) -> int:
        """Targets in all."""
        return sum(len(one.chosen) for one in self.recordings)

    def reached(self, persistence: Persistence) -> list[float]:
        """Largest statistic of every recording without itself; NaN where it is too short."""
        return [largest_statistic(scores, persistence) for scores in self.left_out]

    def calibrated(self, plain: Calibration, persistence: Persistence) -> Calibration:
        """Thresholds with the targets; see the module."""
        known = [r for r in self.reached(persistence) if r <= plain.alarm_threshold]
        return lifted(plain, max(known, default=plain.threshold))


def with_recordings(
    enrolled: Detector, few: Mapping[str, Standard], recordings: Sequence[Recording]
) -> Detector:
    """What enrolment learned with the targets of these recordings beside it."""
    if not recordings:
        return enrolled
    return enrolled.with_targets(concatenate([one.targets for one in recordings]), few)


def largest_statistic(scores: FloatArray, persistence: Persistence) -> float:
    """Largest decision statistic of consecutive scores; NaN where there are too few of them."""
    statistic = decision_statistic(scores, persistence)
    return float(statistic.max()) if len(statistic) else float("nan")


def choose_windows(
    enrolled: Detector,
    few: Mapping[str, Standard],
    recordings: Sequence[Recording],
    views: Views,
    candidates: NDArray[np.intp],
    *,
    enough: float,
    room: int,
) -> NDArray[np.intp]:
    """Windows of an alert that become targets: of those that sound strange, the most different.

    Windows that share audio are alike, so that it takes no more than a few; and each is chosen as
    the one that is strangest still with those before it.

    Args:
        enrolled: The detector without targets.
        few: What standardises distances to a few windows, by scorer.
        recordings: What was confirmed before.
        views: Windows of the alert.
        candidates: Those that may be chosen, at least one.
        enough: Score up to which a window sounds normal already.
        room: How many may be chosen at most, at least one.

    Returns:
        Indices in order of time.
    """
    known = [one.targets for one in recordings]
    scores = with_recordings(enrolled, few, recordings).fused_scores(views.take(candidates))
    strange = np.flatnonzero(scores > enough)
    open_ = candidates[strange] if len(strange) else candidates[[int(scores.argmax())]]
    scores = scores[strange] if len(strange) else scores[[int(scores.argmax())]]
    seen, chosen = views.take(open_), [int(scores.argmax())]
    while len(chosen) < min(room, MAX_OF_ONE, len(open_)):
        joined = concatenate([*known, seen.take(np.asarray(chosen))])
        scores = enrolled.with_targets(joined, few).fused_scores(seen)
        scores[chosen] = -np.inf
        chosen.append(int(scores.argmax()))
    return np.sort(open_[chosen])
