"""What other thresholds would have given: settings to try, alerts and scores by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from edge_asd.alerting import rules_of, thresholds_of
from edge_asd.books.history_view import Piece
from edge_asd.bundle.manifest import Manifest
from edge_asd.config import AlertConfig
from edge_asd.decide import Rules, Thresholds
from edge_asd.preview.replaying import WouldBeAlert
from edge_asd.preview.stretches import Grid, Stretch, stretches_of
from edge_asd.profile import Profile
from edge_asd.score.calibrate import HYSTERESIS

LOWEST_RATE, HIGHEST_RATE = 1e-6, 10_000.0
"""False alarms a week between which a rate is sought; the operator's file takes no higher one."""
_HALVINGS = 60
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Setting:
    """Thresholds to try, and the rate that gives them."""

    thresholds: Thresholds
    rate_per_week: float | None
    """None where no rate gives this threshold."""
    provisional: bool | None
    """The rate is rarer than the listening behind it supports; None without a rate."""
    in_force: bool = False


class Tuning:
    """A monitor's profile and rules, and the thresholds that other rates would give.

    Args:
        profile: As it was saved.
        alert: The operator's section.
        manifest: Of the profile's bundle.

    Raises:
        ConfigError: As ``alerting.rules_of``.
    """

    def __init__(self, profile: Profile, alert: AlertConfig, manifest: Manifest) -> None:
        self.rules: Rules = rules_of(alert, manifest)
        self.grid = Grid(manifest.sample_rate, manifest.hop_samples)
        self._manifest = manifest
        self._saved = profile
        self.profile = self._tuned(alert.false_alarms_per_week)
        """As a daemon with this section uses it."""

    @property
    def in_force(self) -> Setting:
        """What decides now."""
        calibration = self.profile.calibration
        thresholds = thresholds_of(self.profile)
        return Setting(
            thresholds, calibration.asked_per_week, calibration.provisional, in_force=True
        )

    @property
    def lowest_threshold(self) -> float:
        """The threshold at the highest rate: it never is below what normal sound reached."""
        return self._threshold(HIGHEST_RATE)

    def of_rate(self, rate_per_week: float) -> Setting:
        """Thresholds for so many false alarms a week."""
        tuned = self._tuned(rate_per_week)
        setting = Setting(thresholds_of(tuned), rate_per_week, tuned.calibration.provisional)
        return replace(setting, in_force=rate_per_week == self.in_force.rate_per_week)

    def of_threshold(self, threshold: float) -> Setting:
        """A threshold, its alarm as far above as it is now, and the rate that would give it."""
        calibration = self.profile.calibration
        alarm = threshold + (calibration.alarm_threshold - calibration.threshold)
        clear_below = threshold - HYSTERESIS * max(0.0, threshold - calibration.usual)
        rate = self._rate_that_gives(threshold)
        provisional = None if rate is None else calibration.supported_per_week > rate
        return Setting(Thresholds(threshold, alarm, clear_below), rate, provisional)

    def _tuned(self, rate_per_week: float) -> Profile:
        saved = self._saved
        if (
            self.rules.persistence == saved.persistence
            and rate_per_week == saved.calibration.asked_per_week
        ):
            return saved
        return saved.retuned(self.rules.persistence, rate_per_week, self._manifest)

    def _threshold(self, rate_per_week: float) -> float:
        return self._tuned(rate_per_week).calibration.threshold

    def _rate_that_gives(self, threshold: float) -> float | None:
        """The rate whose threshold is this one, to three digits; None where there is none."""
        if not self.lowest_threshold <= threshold <= self._threshold(LOWEST_RATE):
            return None
        if self._threshold(LOWEST_RATE) - self.lowest_threshold < _SAME:
            return None  # too little was heard for the rate to count
        low, high = np.log(LOWEST_RATE), np.log(HIGHEST_RATE)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            if self._threshold(float(np.exp(middle))) > threshold:
                low = middle
            else:
                high = middle
        return float(f"{np.exp(high):.3g}")


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What the history holds for a profile."""

    stretches: tuple[Stretch, ...]
    scores: int
    heard_s: float
    """Time that the scores stand for."""
    from_s: float
    """Wall time of the first score; NaN without any."""
    to_s: float
    """Wall time of the last one."""
    others: int
    """Scores that were made with other profiles, and do not compare."""
    others_s: float


def heard_with(pieces: Sequence[Piece], profile_key: str, grid: Grid) -> Heard:
    """Part what was scored with a profile from what was not."""
    stretches = tuple(stretches_of(pieces, profile_key, grid))
    mine = [piece for piece in pieces if len(piece.scores) and piece.profile_key == profile_key]
    others = [piece for piece in pieces if len(piece.scores) and piece.profile_key != profile_key]
    return Heard(
        stretches=stretches,
        scores=sum(len(piece.scores) for piece in mine),
        heard_s=sum(len(piece.scores) * piece.hop_s for piece in mine),
        from_s=min((float(piece.wall_s[0]) for piece in mine), default=float("nan")),
        to_s=max((float(piece.wall_s[-1]) for piece in mine), default=float("nan")),
        others=sum(len(piece.scores) for piece in others),
        others_s=sum(len(piece.scores) * piece.hop_s for piece in others),
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting, and the alerts that it would have given."""

    setting: Setting
    alerts: tuple[WouldBeAlert, ...]

    def by_day(self, zone: tzinfo | None = None) -> Counter[date]:
        """How many alerts began on each day."""
        return Counter(local_day(alert.started_at, zone) for alert in self.alerts)


@dataclass(frozen=True, slots=True)
class Day:
    """Scores of a day."""

    day: date
    heard_s: float
    """How much of it was scored."""
    median: float
    largest: float


def local_day(wall_s: float, zone: tzinfo | None = None) -> date:
    """The day of a wall time; ``zone`` None is the machine's."""
    return datetime.fromtimestamp(wall_s, zone).date()


def days_of(stretches: Sequence[Stretch], hop_s: float, zone: tzinfo | None = None) -> list[Day]:
    """Scores by day, days without any left out."""
    if not any(len(stretch.ends) for stretch in stretches):
        return []
    wall_s = np.concatenate([stretch.wall_s for stretch in stretches])
    scores = np.concatenate([stretch.scores for stretch in stretches])
    hops = np.concatenate([stretch.hops for stretch in stretches])
    midnights = _midnights(float(wall_s.min()), float(wall_s.max()), zone)
    which = np.searchsorted(midnights, wall_s, "right") - 1
    days = []
    for index in np.unique(which):
        inside = which == index
        # Noon: a midnight may not exist, or twice.
        day = local_day(float(midnights[index]) + 12 * 3600.0, zone)
        heard_s = float(hops[inside].sum()) * hop_s
        within = scores[inside]
        days.append(Day(day, heard_s, float(np.median(within)), float(within.max())))
    return days


def _midnights(first_s: float, last_s: float, zone: tzinfo | None) -> NDArray[np.float64]:
    """Wall times at which the days from one time to another began."""
    day, found = local_day(first_s, zone), list[float]()
    while day <= local_day(last_s, zone):
        found.append(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
        day += timedelta(days=1)
    return np.asarray(found)
