"""What other thresholds would have given: settings to try, alerts and scores by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from edge_asd.alerting import thresholds_of
from edge_asd.decide import Rules, Thresholds
from edge_asd.manifest import Manifest
from edge_asd.profile import Profile
from edge_asd.replaying import WouldBeAlert
from edge_asd.score.calibrate import HYSTERESIS
from edge_asd.stretches import Stretch

LOWEST_RATE, HIGHEST_RATE = 1e-6, 10_000.0
"""False alarms a week between which a rate is sought; the operator's file takes no higher one."""
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Setting:
    """Thresholds to try, and the rate that gives them."""

    thresholds: Thresholds
    rate_per_week: float | None
    """None where no rate gives this threshold."""
    provisional: bool | None
    """The rate is rarer than the listening behind it supports; None without a rate."""
    in_force: bool = False


def setting_of_rate(profile: Profile, rules: Rules, rate: float, manifest: Manifest) -> Setting:
    """Thresholds for so many false alarms a week."""
    tuned = profile.retuned(rules.persistence, rate, manifest)
    return Setting(thresholds_of(tuned), rate, tuned.calibration.provisional)


def setting_of_threshold(
    profile: Profile, rules: Rules, threshold: float, manifest: Manifest
) -> Setting:
    """A threshold, with the alarm as far above as it is now, and the rate that would give it."""
    now = profile.retuned(rules.persistence, profile.calibration.asked_per_week, manifest)
    calibration = now.calibration
    clear_below = threshold - HYSTERESIS * max(0.0, threshold - calibration.usual)
    alarm = threshold + (calibration.alarm_threshold - calibration.threshold)
    rate = _rate_that_gives(profile, rules, threshold, manifest)
    provisional = None if rate is None else calibration.supported_per_week > rate
    return Setting(Thresholds(threshold, alarm, clear_below), rate, provisional)


def lowest_threshold(profile: Profile, rules: Rules, manifest: Manifest) -> float:
    """What the threshold is at the highest rate: it is never below what normal sound reached."""
    return setting_of_rate(profile, rules, HIGHEST_RATE, manifest).thresholds.warning


def _rate_that_gives(
    profile: Profile, rules: Rules, threshold: float, manifest: Manifest
) -> float | None:
    """The rate whose threshold is this one, rounded to three digits; None where there is none."""

    def given_by(rate: float) -> float:
        return setting_of_rate(profile, rules, rate, manifest).thresholds.warning

    if not given_by(HIGHEST_RATE) <= threshold < given_by(LOWEST_RATE):
        return None
    low, high = np.log(LOWEST_RATE), np.log(HIGHEST_RATE)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if given_by(float(np.exp(middle))) > threshold:
            low = middle
        else:
            high = middle
    return float(f"{np.exp(high):.3g}")


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


def alerts_by_day(alerts: Sequence[WouldBeAlert], zone: tzinfo | None = None) -> Counter[date]:
    """How many alerts began on each day."""
    return Counter(local_day(alert.started_at, zone) for alert in alerts)
