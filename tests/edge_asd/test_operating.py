"""Running, pausing, off, dead: told apart from the sound alone."""

import numpy as np
import pytest
from support.sound import RATE, machine

from edge_asd.operating import (
    BANDS,
    Operating,
    OperatingTracker,
    learn_idle_rule,
    measure_slot,
)
from edge_asd.simulate import Schedule, SimulatedMachine, draw_scene

SLOT = 15_872  # samples, as in the bundle that ships
SLOT_S = SLOT / RATE


def slots_of(samples):
    return [measure_slot(samples[at : at + SLOT]) for at in range(0, len(samples) - SLOT + 1, SLOT)]


def learned(samples):
    return learn_idle_rule(slots_of(samples), SLOT_S)


def followed(rule, samples, settle_s=0.0, start=0):
    """(start of slot, what the machine does) of every slot, and the tracker."""
    tracker = OperatingTracker(rule, SLOT, round(settle_s * RATE))
    found = []
    for number, slot in enumerate(slots_of(samples)):
        at = start + number * SLOT
        found.append((at, tracker.update(slot, at)))
    return found, tracker


def states(rule, samples):
    return [state for _, state in followed(rule, samples)[0]]


def test_a_slot_is_measured_by_level_and_shape():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=SLOT).astype(np.float32) / 10
    loud, soft = measure_slot(noise), measure_slot(noise / 10)
    assert loud.level_dbfs == pytest.approx(-20.0, abs=0.1)
    assert loud.level_dbfs - soft.level_dbfs == pytest.approx(20.0, abs=0.01)
    assert loud.shape_db.shape == (BANDS,)
    np.testing.assert_allclose(loud.shape_db, soft.shape_db, atol=1e-2)
    assert np.abs(loud.shape_db).max() < 4.0  # white noise has no shape, chance remains
    assert not loud.dead


@pytest.mark.parametrize("n", [1024, 1536, 4096, SLOT])
def test_a_short_slot_has_a_finite_shape_too(n):
    slot = measure_slot(np.random.default_rng(0).normal(size=n).astype(np.float32))
    assert slot.shape_db.shape == (BANDS,)
    assert np.isfinite(slot.shape_db).all()


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_the_same_value_over_and_over_is_a_dead_microphone(value):
    assert measure_slot(np.full(SLOT, value, np.float32)).dead


@pytest.mark.parametrize("kind", ["pump", "fan", "gearbox"])
def test_a_machine_that_is_switched_off_becomes_idle_and_returns(kind):
    heard = machine(kind, 120.0, off=((50.0, 90.0),))
    rule, off = learned(heard)
    inside = slice(int(54 / SLOT_S) + 1, int(89 / SLOT_S))
    assert off[inside].all()
    assert not off[: int(49 / SLOT_S)].any()
    assert not off[int(95 / SLOT_S) :].any()
    found = states(rule, machine(kind, 80.0, seed=2, off=((30.0, 60.0),)))
    assert set(found[: int(29 / SLOT_S)]) == {Operating.RUNNING}
    assert set(found[int(36 / SLOT_S) + 1 : int(59 / SLOT_S)]) == {Operating.IDLE}
    assert set(found[int(66 / SLOT_S) :]) == {Operating.RUNNING}


@pytest.mark.parametrize("kind", ["pump", "motor", "compressor"])
def test_a_machine_that_was_never_heard_pausing_becomes_idle_too(kind):
    rule, off = learned(machine(kind, 90.0))
    assert not off.any()
    assert rule.quiet_shape_db is None
    found = states(rule, machine(kind, 80.0, seed=2, off=((30.0, 60.0),)))
    assert set(found[int(36 / SLOT_S) + 1 : int(59 / SLOT_S)]) == {Operating.IDLE}
    assert set(found[int(66 / SLOT_S) :]) == {Operating.RUNNING}


@pytest.mark.parametrize("off", [(), ((50.0, 90.0),)])
def test_the_same_spectrum_twelve_decibels_softer_is_not_idle(off):
    rule, _ = learned(machine("pump", 120.0, off=off))
    softer = machine("pump", 60.0, seed=2) * np.float32(10 ** (-12 / 20))
    assert set(states(rule, softer)) == {Operating.RUNNING}


def test_a_machine_that_grows_louder_is_not_idle():
    rule, _ = learned(machine("pump", 120.0, off=((50.0, 90.0),)))
    louder = machine("pump", 60.0, seed=2) * np.float32(4)
    assert set(states(rule, louder)) == {Operating.RUNNING}


@pytest.mark.parametrize("kind", ["valve", "slider"])
def test_a_machine_that_pauses_between_strokes_stays_running(kind):
    rule, off = learned(machine(kind, 120.0))
    assert not off.any()
    assert set(states(rule, machine(kind, 60.0, seed=2))) == {Operating.RUNNING}


def test_digital_silence_is_dead_not_idle():
    rule, _ = learned(machine("pump", 90.0))
    heard = machine("pump", 60.0, seed=2).copy()
    heard[20 * SLOT : 30 * SLOT] = 0.0
    found = states(rule, heard)
    assert found[20:30] == [Operating.DEAD] * 10
    assert set(found[:20] + found[31:]) == {Operating.RUNNING}


def test_dead_slots_teach_nothing():
    heard = machine("pump", 90.0).copy()
    clean, _ = learned(heard)
    heard[20 * SLOT : 60 * SLOT] = 0.0
    rule, off = learned(heard)
    assert not off.any()
    assert rule.quiet_shape_db is None
    assert rule.quiet_below_dbfs == pytest.approx(clean.quiet_below_dbfs, abs=1.0)
    assert rule.silent_below_dbfs == pytest.approx(clean.silent_below_dbfs, abs=1.0)


def quiet_and_running():
    """One slot of each, and a rule that allows pauses of three slots."""
    rng = np.random.default_rng(0)
    quiet, loud = (rng.normal(size=SLOT).astype(np.float32) * level for level in (1e-3, 0.1))
    pattern = ([loud] * 7 + [quiet] * 3) * 8
    rule, off = learned(np.concatenate(pattern))
    assert not off.any()
    assert rule.longest_pause_slots == 3
    return measure_slot(loud), measure_slot(quiet), rule


@pytest.mark.parametrize("kind", ["pump", "fan"])
def test_a_running_machine_is_the_same_machine_at_another_moment(kind):
    rule, _ = learned(machine(kind, 90.0))
    assert set(states(rule, machine(kind, 60.0, seed=3))) == {Operating.RUNNING}


def run(tracker, slots, first=0):
    return [tracker.update(slot, at * SLOT) for at, slot in enumerate(slots, first)]


def test_a_pause_as_long_as_those_heard_is_running_and_a_longer_one_is_idle():
    loud, quiet, rule = quiet_and_running()
    found = run(OperatingTracker(rule, SLOT, 0), [loud] * 3 + [quiet] * 4 + [loud] * 3)
    assert set(found) == {Operating.RUNNING}
    found = run(OperatingTracker(rule, SLOT, 0), [loud] * 3 + [quiet] * 6)
    assert found == [Operating.RUNNING] * 7 + [Operating.IDLE] * 2


def test_nothing_is_scored_before_the_machine_has_settled():
    loud, quiet, rule = quiet_and_running()
    tracker = OperatingTracker(rule, SLOT, settle_samples=3 * SLOT)
    run(tracker, [loud] * 2 + [quiet] * 10)
    assert tracker.state is Operating.IDLE
    assert not tracker.may_score(0)
    found = run(tracker, [loud] * 5, first=12)
    assert found == [Operating.SETTLING] * 2 + [Operating.RUNNING] * 3  # settled within the third
    assert not tracker.may_score(14 * SLOT)  # it begins before the end of the settling
    assert tracker.may_score(15 * SLOT)


def test_a_start_that_fails_is_idle_again():
    loud, quiet, rule = quiet_and_running()
    tracker = OperatingTracker(rule, SLOT, settle_samples=3 * SLOT)
    run(tracker, [quiet] * 10)
    assert run(tracker, [loud, quiet, quiet], first=10) == [
        Operating.SETTLING,
        Operating.IDLE,
        Operating.IDLE,
    ]


def test_no_window_that_holds_silence_of_the_microphone_is_scored():
    loud, _, rule = quiet_and_running()
    dead = measure_slot(np.zeros(SLOT, np.float32))
    tracker = OperatingTracker(rule, SLOT, settle_samples=3 * SLOT)
    run(tracker, [loud] * 3 + [dead] + [loud] * 2)
    assert tracker.state is Operating.RUNNING
    assert not tracker.may_score(3 * SLOT)
    assert tracker.may_score(4 * SLOT)


def test_an_interruption_forgets_what_the_machine_did():
    _, quiet, rule = quiet_and_running()
    tracker = OperatingTracker(rule, SLOT, 0)
    run(tracker, [quiet] * 10)
    tracker.reset()
    assert tracker.state is Operating.RUNNING
    assert tracker.may_score(0)


def test_one_slot_is_enough_to_learn_from():
    rule, off = learned(machine("pump", 90.0)[:SLOT])
    assert off.tolist() == [False]
    assert rule.longest_pause_slots == 0


@pytest.mark.parametrize("kind", ["pump", "fan", "gearbox", "compressor", "motor"])
def test_in_a_noisy_hall_a_stop_never_heard_before_is_idle_and_a_softer_machine_is_not(kind):
    scene = draw_scene(np.random.default_rng(7), kind, snr_db=(16.0, 22.0))
    schedule = Schedule(off=((80.0, 120.0),))
    sound = SimulatedMachine(scene, seed=7, schedule=schedule).read(120 * RATE)
    running = sound[: 75 * RATE]
    rule, _ = learned(running)
    assert rule.quiet_shape_db is None
    assert states(rule, sound)[-20:] == [Operating.IDLE] * 20
    assert set(states(rule, running * np.float32(0.25))) == {Operating.RUNNING}


# A microphone that was not to be trusted


def test_a_slot_with_what_is_no_number_is_dead():
    samples = np.zeros(SLOT, np.float32)
    samples[7] = np.nan
    slot = measure_slot(samples)
    assert slot.dead
    assert np.isfinite(slot.shape_db).all()


@pytest.mark.parametrize("before", [Operating.RUNNING, Operating.IDLE, Operating.SETTLING])
def test_a_dropout_neither_stops_nor_starts_a_machine(before):
    loud, quiet, rule = quiet_and_running()
    tracker = OperatingTracker(rule, SLOT, settle_samples=4 * SLOT)
    slots = {
        Operating.RUNNING: [loud] * 8,
        Operating.IDLE: [loud] + [quiet] * 7,
        Operating.SETTLING: [loud] + [quiet] * 6 + [loud],
    }[before]
    assert run(tracker, slots)[-1] is before
    again = quiet if before is Operating.IDLE else loud
    assert tracker.update(again, 8 * SLOT, deaf=True) is Operating.DEAD
    assert not tracker.may_score(8 * SLOT)
    assert tracker.update(again, 9 * SLOT, deaf=False) is before
    assert not tracker.may_score(8 * SLOT)
    assert tracker.may_score(9 * SLOT) == (before is Operating.RUNNING)


def test_a_dropout_in_a_pause_between_strokes_does_not_make_the_machine_idle():
    loud, quiet, rule = quiet_and_running()
    tracker = OperatingTracker(rule, SLOT, 0)
    run(tracker, [loud] * 3 + [quiet] * 2)
    tracker.update(quiet, 5 * SLOT, deaf=True)
    assert run(tracker, [quiet, loud], first=6) == [Operating.RUNNING] * 2


def test_a_machine_is_not_idle_because_its_microphone_is_covered():
    loud, quiet, rule = quiet_and_running()
    tracker = OperatingTracker(rule, SLOT, 0)
    run(tracker, [loud] * 3)
    found = [tracker.update(quiet, at * SLOT, deaf=True) for at in range(3, 20)]
    assert set(found) == {Operating.DEAD}


def test_a_gate_that_mutes_a_slot_is_a_pause_where_the_caller_says_so():
    loud, _, rule = quiet_and_running()
    muted = measure_slot(np.zeros(SLOT, np.float32))
    tracker = OperatingTracker(rule, SLOT, 0)
    found = [tracker.update(slot, 0, deaf=False) for slot in [loud, muted, muted, loud]]
    assert set(found) == {Operating.RUNNING}
