"""What enrolment learns of a microphone, and where it knows better than to be sure."""

import numpy as np
import pytest
from support.sound import RATE, machine

from benchmarks.signal_health import learned, quantised, white
from edge_asd.hearing.signal_health import SignalLearner, SignalRule, SignalWatch
from edge_asd.hearing.signal_rule import DC_SLACK, MAX_HOLD_S, is_flat
from edge_asd.operating import learn_idle_rule, measure_slot


def heard(seconds=60.0, *, seed=1, kind="pump", **options):
    sound = machine(kind, seconds, seed=seed, **options)
    return quantised(sound, 16, np.random.default_rng(seed))


def idle_rule(sound):
    slots = [measure_slot(sound[at : at + RATE]) for at in range(0, len(sound), RATE)]
    return learn_idle_rule(slots, 1.0)[0]


def with_runs(sound, length_s, count):
    """The same with the sound muted so often for so long."""
    sound = sound.copy()
    for at in np.linspace(RATE, len(sound) - 2 * length_s * RATE, count).astype(int):
        sound[at : at + round(length_s * RATE)] = 0.0
    return sound


def test_levels_offset_and_clipping_of_enrolment_are_learned():
    sound = white(np.random.default_rng(0), 30 * RATE, -40.0) + np.float32(0.01)
    sound[10 * RATE : 12 * RATE] *= 2.0
    rule = learned(sound, RATE)
    assert rule.mean_dbfs == pytest.approx(-40.6, abs=0.3)
    assert rule.floor_dbfs == pytest.approx(-41.5, abs=0.5)  # the octaves end at 5.7 kHz
    assert rule.loudest_dbfs == pytest.approx(-34.0, abs=0.3)
    steps = np.diff(rule.octaves_dbfs)
    assert len(rule.octaves_dbfs) == 7
    np.testing.assert_allclose(steps[2:], 3.0, atol=1.8)  # white noise, the quietest of many
    assert (rule.dc_low, rule.dc_high) == (
        pytest.approx(0.01, abs=0.001),
        pytest.approx(0.02, abs=0.001),
    )
    assert rule.clipped_ratio == 0.0
    assert learned((sound * 100.0).clip(-1.0, 1.0), RATE).clipped_ratio > 0.3


@pytest.mark.parametrize("off", [(), ((30.0, 42.0),)])
def test_whether_the_room_was_heard_is_learned(off):
    rule = learned(heard(off=off), RATE)
    assert (rule.mean_dbfs - rule.floor_dbfs > 15.0) == bool(off)
    room = heard(30.0, seed=2, off=((2.0, 30.0),))[10 * RATE :]
    watch = SignalWatch(rule, RATE)
    watch.block(room, 0.0)
    assert watch.window(0.0, 20.0).usable


def test_a_hall_that_is_far_more_silent_than_the_pause_is_not_taken_for_a_room():
    rule = learned(heard(off=((30.0, 42.0),)), RATE)
    room = heard(30.0, seed=2, off=((2.0, 30.0),))[10 * RATE :]
    for gain_db, usable in ((-8.0, True), (-30.0, False)):
        watch = SignalWatch(rule, RATE)
        watch.block(room * np.float32(10.0 ** (gain_db / 20.0)), 0.0)
        assert watch.window(0.0, 20.0).usable == usable


@pytest.mark.parametrize(
    ("length_s", "count", "hold_s"),
    [
        (0.4, 20, 0.6),  # a gate between strokes
        (2.0, 10, 3.0),
        (8.0, 3, MAX_HOLD_S),
        (5.0, 1, 0.02),  # one dropout of enrolment is none
        (5.0, 2, 0.02),
        (0.01, 50, 0.02),  # too short to be noticed
    ],
)
def test_a_value_may_be_held_as_long_as_it_was_again_and_again(length_s, count, hold_s):
    rule = learned(with_runs(heard(), length_s, count), RATE)
    assert rule.hold_s == pytest.approx(hold_s, rel=0.01)


def test_dropouts_of_enrolment_do_not_make_a_dead_microphone_normal():
    sound = with_runs(heard(), 5.0, 2)
    rule, clean = learned(sound, RATE), learned(heard(), RATE)
    assert rule.floor_dbfs > clean.floor_dbfs - 6.0
    watch = SignalWatch(rule, RATE)
    watch.block(np.zeros(3 * RATE, np.float32), 0.0)
    assert watch.fault is not None


def test_learning_does_not_depend_on_how_the_audio_is_cut():
    sound = with_runs(heard(20.0), 0.3, 5)
    expected = learned(sound, RATE)
    learner = SignalLearner(RATE)
    for at in range(0, len(sound), 777):
        learner.push(sound[at : at + 777], at / RATE)
    assert learner.rule(idle_rule(sound)) == expected


def test_a_gap_is_not_silence():
    sound = heard(20.0)
    sound[10 * RATE - 160 : 10 * RATE + 160] = 0.0  # 10 ms on either side of the gap
    learner = SignalLearner(RATE)
    for _ in range(4):
        learner.push(sound[: 10 * RATE], 0.0)
        learner.push(sound[10 * RATE :], 100.0)
        learner.interrupt()
    assert learner.hold_s == 0.02


def test_audio_that_cannot_be_measured_leaves_the_rule_of_the_level():
    idle = idle_rule(heard())
    learner = SignalLearner(RATE)
    assert learner.rule(idle) == SignalRule.from_idle_rule(idle)
    learner.push(np.full(5 * RATE, np.nan, np.float32), 0.0)
    assert learner.rule(idle) == SignalRule.from_idle_rule(idle)


def test_the_rule_of_a_profile_from_before_is_cautious():
    sound = heard(20.0, seed=2, off=((5.0, 12.0),))
    rule = SignalRule.from_idle_rule(idle_rule(heard()))
    watch = SignalWatch(rule, RATE)
    health = watch.block(sound * np.float32(8.0), 0.0)
    assert not health.loud
    assert watch.window(0.0, 20.0) == watch.window(5.0, 15.0)
    assert watch.window(0.0, 20.0).usable
    for dead in (np.zeros, lambda n, _: quantised(np.zeros(n), 16, np.random.default_rng(0))):
        watch = SignalWatch(rule, RATE)
        watch.block(dead(4 * RATE, np.float32), 0.0)
        assert watch.fault is not None


def test_an_offset_of_a_codec_is_no_flaw_and_a_step_is():
    rule = learned(heard() + np.float32(0.015), RATE)
    for offset, usable in (
        (-0.02, True),
        (0.015 + DC_SLACK / 2, True),
        (0.2, False),
        (-0.2, False),
    ):
        watch = SignalWatch(rule, RATE)
        watch.block(heard(3.0, seed=2) + np.float32(offset), 0.0)
        assert watch.window(0.0, 3.0).usable == usable


@pytest.mark.parametrize(
    ("slope_db", "flat"), [(3.0, True), (0.0, False), (-3.0, False), (6.0, False)]
)
def test_only_the_spectrum_of_a_converter_is_flat(slope_db, flat):
    octaves = np.arange(8, dtype=np.float32) * np.float32(slope_db) - 100
    assert is_flat(octaves) == flat
    bumpy = octaves + np.asarray([0, 0, 4, -4, 4, -4, 4, -4], np.float32)
    assert not is_flat(bumpy)
    assert not is_flat(octaves[:4])  # too few to tell
