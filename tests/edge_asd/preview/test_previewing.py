"""Settings to try, and what was heard by day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.alerting import thresholds_of
from edge_asd.books.history_view import Piece
from edge_asd.config import AlertConfig
from edge_asd.errors import ConfigError
from edge_asd.preview.previewing import Trial, Tuning, days_of, heard_with
from edge_asd.preview.replaying import WouldBeAlert
from edge_asd.preview.stretches import Grid, Stretch
from edge_asd.profile import Blocks
from edge_asd.records import Severity

ALERT = AlertConfig(above_s=14.0, within_s=20.0, false_alarms_per_week=1.0)
HOP_S = 1.0


@pytest.fixture
def tuning(pump_profile, tiny_networks):
    """With four hours of quiet listening behind it."""
    return make_tuning(pump_profile, tiny_networks, ALERT)


def make_tuning(profile, networks, alert):
    manifest = networks.bundle.manifest
    persistence = Tuning(profile, alert, manifest).rules.persistence
    rng = np.random.default_rng(0)
    maxima = rng.gumbel(1.0, 0.3, 480).astype(np.float32)
    known = replace(profile, persistence=persistence, blocks=Blocks(maxima, 30.0))
    asked = known.retuned(persistence, alert.false_alarms_per_week, manifest)
    return Tuning(asked, alert, manifest)


def test_in_force_is_what_a_daemon_with_this_section_uses(pump_profile, tiny_networks):
    manifest = tiny_networks.bundle.manifest
    tuning = Tuning(pump_profile, ALERT, manifest)
    expected = pump_profile.retuned(tuning.rules.persistence, 1.0, manifest)
    assert tuning.in_force.thresholds == thresholds_of(expected)
    assert tuning.in_force.rate_per_week == 1.0
    assert tuning.in_force.in_force
    # one that says what was enrolled keeps what live listening has added
    same = pump_profile.persistence
    hop_s = tuning.grid.hop_s
    enrolled = AlertConfig(
        above_s=same.k * hop_s, within_s=same.n * hop_s, false_alarms_per_week=100.0
    )
    assert Tuning(pump_profile, enrolled, manifest).profile is pump_profile


def test_a_section_that_the_daemon_would_refuse_is_refused(pump_profile, tiny_networks):
    alert = AlertConfig(above_s=0.5, within_s=20.0)
    with pytest.raises(ConfigError, match="above_s"):
        Tuning(pump_profile, alert, tiny_networks.bundle.manifest)


def test_a_rarer_rate_gives_a_higher_threshold(tuning):
    rates = [0.1, 1.0, 10.0, 1000.0]
    found = [tuning.of_rate(rate) for rate in rates]
    warnings = [setting.thresholds.warning for setting in found]
    assert warnings == sorted(warnings, reverse=True)
    assert [setting.in_force for setting in found] == [False, True, False, False]
    assert found[0].provisional
    assert not tuning.of_rate(10_000.0).provisional


@pytest.mark.parametrize("rate", [0.01, 0.37, 1.0])
def test_the_rate_of_a_threshold_is_the_one_that_gives_it(tuning, rate):
    threshold = tuning.of_rate(rate).thresholds.warning
    setting = tuning.of_threshold(threshold)
    assert setting.rate_per_week == pytest.approx(rate, rel=0.01)
    assert setting.thresholds.warning == threshold
    expected = tuning.of_rate(rate)
    assert setting.thresholds.alarm == pytest.approx(expected.thresholds.alarm)
    assert setting.thresholds.clear_below == pytest.approx(expected.thresholds.clear_below)
    assert setting.provisional == expected.provisional


def test_of_the_rates_that_give_a_threshold_the_rarest_is_told(tuning):
    # never below what normal sound reached: all of these give the same
    threshold = tuning.of_rate(100.0).thresholds.warning
    assert tuning.of_rate(25.0).thresholds.warning == threshold
    rate = tuning.of_threshold(threshold).rate_per_week
    assert rate < 25.0
    assert tuning.of_rate(rate).thresholds.warning == pytest.approx(threshold, abs=1e-3)
    assert tuning.of_rate(rate * 0.9).thresholds.warning > threshold


def test_a_threshold_below_what_normal_sound_reached_has_no_rate(tuning):
    lowest = tuning.lowest_threshold
    assert lowest == pytest.approx(float(tuning.profile.blocks.maxima.max()), rel=0.2)
    setting = tuning.of_threshold(lowest - 0.1)
    assert (setting.rate_per_week, setting.provisional) == (None, None)
    assert tuning.of_threshold(1e6).rate_per_week is None


def test_a_threshold_below_the_usual_score_still_ends_below_itself(tuning):
    low = tuning.profile.calibration.usual - 1.0
    thresholds = tuning.of_threshold(low).thresholds
    assert thresholds.clear_below <= thresholds.warning < thresholds.alarm


def test_where_too_little_was_heard_no_rate_gives_another_threshold(pump_profile, tiny_networks):
    few = replace(pump_profile, blocks=Blocks(np.zeros(2, np.float32), 30.0))
    tuning = Tuning(few, ALERT, tiny_networks.bundle.manifest)
    assert tuning.of_rate(0.1).thresholds == tuning.of_rate(100.0).thresholds
    assert tuning.of_threshold(tuning.in_force.thresholds.warning).rate_per_week is None


# What was heard


def piece(key, count, begin_s):
    scores = np.zeros(count, np.float32)
    return Piece(1, key, 0.0, begin_s, begin_s + count - 1, 1.0, scores, None, 0.0)


def test_what_other_profiles_scored_is_counted_and_left_out():
    pieces = [piece("old", 7200, 0.0), piece("new", 3600, 8000.0), piece("new", 1800, 20_000.0)]
    heard = heard_with(pieces, "new", Grid(1000, 1000))
    assert (heard.scores, heard.heard_s, heard.from_s, heard.to_s) == (
        5400,
        5400.0,
        8000.0,
        21_799.0,
    )
    assert (heard.others, heard.others_s) == (7200, 7200.0)
    assert sum(len(stretch.ends) for stretch in heard.stretches) == 5400
    nothing = heard_with(pieces, "newer", Grid(1000, 1000))
    assert (nothing.scores, nothing.others_s, nothing.stretches) == (0, 12_600.0, ())
    assert np.isnan(nothing.from_s)


def stretch(wall_s, scores, hops=None):
    count = len(wall_s)
    return Stretch(
        np.arange(count, dtype=np.int64),
        np.asarray(wall_s, np.float64),
        np.asarray(scores, np.float32),
        np.ones(count, np.int32) if hops is None else np.asarray(hops, np.int32),
        (),
        goes_on=False,
    )


ZONES = [timezone.utc, ZoneInfo("Europe/Berlin"), ZoneInfo("America/Sao_Paulo")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1.79e9, 1.79e9 + 40 * 86400.0), min_size=1, max_size=60).map(sorted),
    st.sampled_from(ZONES),
)
def test_every_score_is_counted_on_its_day(wall_s, zone):
    scores = np.arange(len(wall_s), dtype=np.float32)
    half = len(wall_s) // 2
    parts = [stretch(wall_s[:half], scores[:half]), stretch(wall_s[half:], scores[half:])]
    by_day = {}
    for at_s, score in zip(wall_s, scores, strict=True):
        by_day.setdefault(datetime.fromtimestamp(at_s, zone).date(), []).append(float(score))
    found = days_of(parts, HOP_S, zone)
    assert [day.day for day in found] == sorted(by_day)
    for day in found:
        expected = by_day[day.day]
        assert day.heard_s == len(expected) * HOP_S
        assert (day.median, day.largest) == (np.median(expected), max(expected))


def test_the_days_on_which_clocks_change_are_days_too():
    zone = ZoneInfo("Europe/Berlin")
    noons = [datetime(2026, 10, day, 12, tzinfo=zone).timestamp() for day in (24, 25, 26)]
    late = datetime(2026, 10, 25, 23, 59, tzinfo=zone).timestamp()
    found = days_of([stretch([*noons[:2], late, noons[2]], [1, 2, 3, 4])], HOP_S, zone)
    assert [(day.day.day, day.heard_s) for day in found] == [(24, 1.0), (25, 2.0), (26, 1.0)]


def test_a_score_that_stands_for_several_hops_was_heard_for_as_long():
    (day,) = days_of([stretch([1.79e9, 1.79e9 + 3], [1, 2], [1, 3])], 0.5, timezone.utc)
    assert day.heard_s == 2.0


def test_without_scores_there_are_no_days():
    assert days_of([], HOP_S) == []
    assert days_of([stretch([], [])], HOP_S) == []


def test_alerts_are_counted_on_the_day_they_begin():
    zone = timezone(timedelta(hours=2))
    midnight = datetime(2026, 11, 20, tzinfo=zone).timestamp()
    alerts = tuple(
        WouldBeAlert(midnight + at_s, None, 5.0, Severity.WARNING, 1.0) for at_s in (-1, 1, 2)
    )
    counted = Trial(None, alerts).by_day(zone)
    assert counted == {date(2026, 11, 19): 1, date(2026, 11, 20): 2}
