"""Confirmed sound joins what was learned, lowers scores only, and leaves without a trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from support.confirmed import DAY_S, at, fault_sound, load_sound, recording_of
from support.sound import enrolled, machine
from support.tiny import write_tiny_bundle

from edge_asd.embed import WindowEmbedder
from edge_asd.engine import open_networks
from edge_asd.errors import UsageError
from edge_asd.normal.confirming import expired, undone
from edge_asd.profile import MAX_CHANGES, load_profile, profile_dir, save_profile
from edge_asd.profile.targets import MAX_OF_ONE, Change, choose_windows, largest_statistic
from edge_asd.score import SCORERS, named_scorers
from edge_asd.score.calibrate import Persistence


@pytest.fixture(scope="module")
def recordings(tiny_networks, pump_profile):
    """Two of another load, one of a third, one of a fault."""
    sounds = (
        load_sound(seed=7),
        load_sound(seed=8),
        load_sound(load=0.0, speed=1.1),
        fault_sound(),
    )
    return [
        recording_of(tiny_networks, pump_profile, sound, number)
        for number, sound in enumerate(sounds)
    ]


@pytest.fixture(scope="module")
def windows(tiny_networks, pump_profile):
    """Windows of everything that is heard here."""
    sound = np.concatenate([machine("pump", 90.0)[:80_000], load_sound(3.0), fault_sound(3.0)])
    gained = sound * np.float32(10 ** (pump_profile.gain_db / 20))
    return WindowEmbedder(tiny_networks).embed_clip(gained)[1]


def assert_same(one, other):
    """Nothing that scores or decides differs by a bit."""
    assert one.calibration == other.calibration
    assert one.key == other.key
    assert one.detector.standards == other.detector.standards
    for name, array in other.detector.state().items():
        assert_array_equal(one.detector.state()[name], array)
    assert (one.detector.confirmed is None) == (other.detector.confirmed is None)
    if one.detector.confirmed is not None:
        for name, array in other.detector.confirmed.state().items():
            assert_array_equal(one.detector.confirmed.state()[name], array)


SOME = st.lists(st.integers(0, 3), max_size=4, unique=True)


@given(first=SOME, more=SOME)
@settings(max_examples=10)
def test_a_confirmation_never_makes_a_score_grow(pump_profile, recordings, windows, first, more):
    before = pump_profile.with_recordings([recordings[i] for i in first])
    both = [*first, *(i for i in more if i not in first)]
    after = before.with_recordings([recordings[i] for i in both])
    scores = after.detector.fused_scores(windows)
    assert (scores <= before.detector.fused_scores(windows)).all()
    assert_array_equal(after.detector.score(windows).scores, scores)


@given(steps=st.lists(st.integers(0, 3), min_size=1, max_size=8))
@settings(max_examples=10)
def test_what_was_confirmed_and_undone_in_any_order_leaves_no_trace(
    pump_profile, recordings, steps
):
    profile = pump_profile
    for step in steps:  # what is there goes, what is not there comes
        one = recordings[step]
        if one in profile.recordings:
            profile = undone(profile, one.event_id, "anna", at(9))
        else:
            profile = profile.with_recordings([*profile.recordings, one])
    kept = list(profile.recordings)
    assert_same(profile, pump_profile.with_recordings(kept))
    for one in kept:
        profile = undone(profile, one.event_id, "anna", at(10))
    assert_same(profile, pump_profile)


@given(
    maxima=st.lists(st.floats(-1, 3, width=32), max_size=30),
    rate=st.tuples(st.integers(1, 8), st.sampled_from([0.1, 1.0, 100.0])),
)
@settings(max_examples=10)
def test_live_calibration_and_other_rules_meanwhile_survive_an_undo(
    pump_profile, recordings, tiny_bundle, maxima, rate
):
    heard, rules, asked = np.asarray(maxima, np.float32), Persistence(rate[0], 8), rate[1]
    there = pump_profile.with_recordings(recordings[:2])
    there = there.recalibrated(heard).retuned(rules, asked, tiny_bundle.manifest)
    never = pump_profile.recalibrated(heard).retuned(rules, asked, tiny_bundle.manifest)
    assert_same(there.with_recordings([]), never)


def test_a_recording_never_calibrates_against_itself(pump_profile, recordings):
    one = recordings[0]
    alone = pump_profile.with_recordings([one]).targets
    assert_array_equal(alone.left_out[0], pump_profile.detector.fused_scores(one.views))
    pair = pump_profile.with_recordings(recordings[:2]).targets
    other = pump_profile.with_recordings([recordings[1]])
    assert_array_equal(pair.left_out[0], other.detector.fused_scores(one.views))


@given(share=st.floats(-0.5, 2.0))
@settings(max_examples=25)
def test_the_threshold_follows_extremes_of_known_sound_and_no_other_sound(
    pump_profile, recordings, share
):
    one = recordings[0]
    reached = largest_statistic(
        pump_profile.detector.fused_scores(one.views), pump_profile.persistence
    )
    width = 1.0  # the sound lies this share of the way from warning to alarm
    plain = replace(
        pump_profile.calibration,
        usual=reached - share * width - 2.0,
        threshold=reached - share * width,
        alarm_threshold=reached - share * width + width,
    )
    confirmed = replace(pump_profile, calibration=plain).with_recordings([one]).calibration
    if 0.0 < share <= 0.999:
        assert confirmed.threshold == reached
        assert confirmed.alarm_threshold - confirmed.threshold == pytest.approx(width)
        assert plain.usual < confirmed.clear_below < confirmed.threshold
    elif share <= 0.0 or share > 1.001:
        assert confirmed == plain
    assert confirmed.supported_per_week == plain.supported_per_week


def test_a_confirmed_sound_is_normal_from_then_on_and_a_fault_is_not(
    pump_profile, tiny_networks, recordings
):
    again = recording_of(tiny_networks, pump_profile, load_sound(seed=21), 9)
    fault = recordings[3]

    def raised(profile, one):
        scores = profile.detector.fused_scores(one.views)
        return largest_statistic(scores, profile.persistence) >= profile.calibration.threshold

    assert raised(pump_profile, again)
    assert raised(pump_profile, fault)
    confirmed = pump_profile.with_recordings([recordings[0]])
    assert not raised(confirmed, again)
    assert raised(confirmed, fault)


@given(
    room=st.integers(1, 64),
    span=st.tuples(st.integers(0, 5), st.integers(1, 10)),
    before=st.booleans(),
)
@settings(max_examples=10)
def test_targets_are_different_strange_windows_of_what_the_alert_rests_on(
    pump_profile, recordings, room, span, before
):
    one, (first, count) = recordings[0], span
    candidates = np.arange(first, min(first + count, len(one.views)))
    known = recordings[2:3] if before else []
    scores = pump_profile.with_recordings(known).detector.fused_scores(one.views)[candidates]
    chosen = choose_windows(
        pump_profile.detector, pump_profile.few, known, one.views, candidates, enough=0.5, room=room
    )
    assert len(set(chosen.tolist())) == len(chosen)
    assert set(chosen.tolist()) <= set(candidates.tolist())
    assert int(candidates[scores.argmax()]) in chosen
    strange = int((scores > 0.5).sum())
    assert len(chosen) == max(1, min(room, MAX_OF_ONE, strange))


def test_what_has_been_confirmed_before_leaves_little_to_add(
    pump_profile, tiny_networks, recordings
):
    confirmed = pump_profile.with_recordings([recordings[0]])
    first = len(recordings[0].chosen)
    assert len(recording_of(tiny_networks, confirmed, load_sound(seed=9), 5).chosen) < first


def test_targets_go_when_their_time_is_over_and_not_before(pump_profile, tiny_networks, recordings):
    short = recording_of(tiny_networks, pump_profile, load_sound(), 6, expires_at=at(30))
    long = recording_of(tiny_networks, pump_profile, fault_sound(), 7, expires_at=at(60))
    profile = pump_profile.with_recordings([short, recordings[2], long])
    assert expired(profile, at(30) - 1.0) is None
    left = expired(profile, at(30))
    assert [one.event_id for one in left.recordings] == [recordings[2].event_id, long.event_id]
    assert [(c.what, c.event_id) for c in left.changes] == [("expired", short.event_id)]
    forever = expired(left, at(30) + 3650 * DAY_S)
    assert list(forever.recordings) == [recordings[2]]


@pytest.mark.parametrize(
    ("text", "says"), [("", "is not among"), ("0z", "is not among"), ("01", "means several")]
)
def test_an_undo_names_what_it_could_have_meant(pump_profile, recordings, text, says):
    profile = pump_profile.with_recordings(recordings)
    with pytest.raises(UsageError, match=f"{says}.*{recordings[0].event_id}"):
        undone(profile, text, "anna", at(9))


def test_scores_with_other_targets_have_other_keys_and_come_back_with_them(
    pump_profile, recordings
):
    keys = {
        pump_profile.with_recordings(chosen).key
        for chosen in ([], recordings[:1], recordings[1:2], recordings[:2])
    }
    assert len(keys) == 4
    confirmed = pump_profile.with_recordings(recordings[:1])
    assert confirmed.recalibrated(np.ones(9, np.float32)).key == confirmed.key


# On the disk


def test_a_profile_with_targets_comes_back_exactly(tmp_path, pump_profile, recordings, tiny_bundle):
    for count in (4, 2, 0):
        profile = pump_profile.with_recordings(recordings[:count])
        save_profile(tmp_path, profile)
        loaded = load_profile(tmp_path, "pump-1", tiny_bundle)
        assert_same(loaded, profile)
        assert loaded.changes == profile.changes
        for one, other in zip(loaded.recordings, profile.recordings, strict=True):
            assert (one.event_id, one.by, one.at, one.audio) == (
                other.event_id,
                other.by,
                other.at,
                other.audio,
            )
            assert_array_equal(one.chosen, other.chosen)
        assert_same(undone_all(loaded), pump_profile)


def undone_all(profile):
    for one in profile.recordings:
        profile = undone(profile, one.event_id, "anna", at(9))
    return profile


def test_older_versions_read_a_profile_to_which_nothing_was_ever_added(
    tmp_path, pump_profile, recordings
):
    text = profile_dir(tmp_path, "pump-1") / "profile.json"
    save_profile(tmp_path, pump_profile)
    assert '"schema": 1,' in text.read_text()
    assert '"targets"' not in text.read_text()
    save_profile(tmp_path, pump_profile.with_recordings(recordings))
    assert '"schema": 2,' in text.read_text()


def test_the_history_is_bounded(pump_profile):
    changes = [Change("2026", "confirmed", "x", str(n), 1) for n in range(MAX_CHANGES + 5)]
    profile = pump_profile.with_recordings([], *changes)
    assert [change.by for change in profile.changes] == [c.by for c in changes[5:]]


def test_every_named_scorer_takes_targets_and_gives_them_back(tmp_path):
    scorers = [spec.model_dump() for spec in named_scorers("+".join(SCORERS), "tiny")]
    bundle = write_tiny_bundle(tmp_path / "all-1.asd", scorers=scorers)
    networks = open_networks(bundle)
    plain = enrolled(networks, machine("pump", 90.0))
    one = recording_of(networks, plain, load_sound(), 1)
    again = recording_of(networks, plain, load_sound(seed=33), 2)
    confirmed = plain.with_recordings([one])
    save_profile(tmp_path, confirmed)
    loaded = load_profile(tmp_path, "pump-1", bundle)
    networks.close()
    assert_same(loaded, confirmed)
    before = plain.detector.fused_scores(again.views)
    after = loaded.detector.fused_scores(again.views)
    assert (after <= before).all()
    assert after.mean() < before.mean() / 2
    assert any("target-" in name for name in loaded.detector.score(again.views).nearest)
    assert_same(loaded.with_recordings([]), plain)
