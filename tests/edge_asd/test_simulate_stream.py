"""A simulated stream has no seams, follows its schedule and does not depend on its reader."""

import numpy as np
import pytest

from edge_asd.simulate import KINDS, Fault, Scene, Schedule, SimulatedMachine, build_machine
from edge_asd.simulate.moment import CONTROL_HZ, Drive, Moment
from edge_asd.simulate.parts import Impacts, Tones

RATE = 16000


def rms_db(samples):
    return 10.0 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)


def stream(kind="pump", schedule=None, seconds=3.0, snr_db=20.0, seed=1):
    scene = Scene(kind, unit=5, snr_db=snr_db)
    return SimulatedMachine(scene, seed=seed, schedule=schedule).read(round(seconds * RATE))


@pytest.mark.parametrize("block", [1, 777, 16000, 16001, 50000])
def test_samples_do_not_depend_on_how_the_stream_is_read(block):
    machine = SimulatedMachine(Scene("conveyor", unit=5), seed=1)
    n = min(50000, 300 * block)
    got = np.concatenate([machine.read(block) for _ in range(-(-n // block))])[:n]
    np.testing.assert_array_equal(got, stream("conveyor", seconds=4.0)[:n])


def test_another_seed_is_another_moment():
    assert np.abs(stream(seed=1) - stream(seed=2)).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_phases_and_impacts_run_on_across_pieces(kind):
    # what carries phase must come out the same in one piece of two seconds or two of one
    machine = build_machine(kind, 7)

    def moment(start, seconds, cycles=None, piece=0):
        t = start + np.arange(seconds * CONTROL_HZ + 1) / CONTROL_HZ
        ones = np.ones_like(t)
        drive = Drive(t, ones, ones, 0.0 * ones, 0.9, 0.6)
        return Moment(
            RATE,
            drive,
            machine.shafts,
            seed=3,
            piece=piece,
            cycles=cycles,
            load_wander=machine.load_wander,
        )

    whole, first = moment(0, 2), moment(0, 1)
    second = moment(1, 1, first.end_cycles(), piece=1)
    phased = [part for part in machine.parts if isinstance(part, (Tones, Impacts))]
    assert phased
    for part in phased:
        parts = [part.render(m, np.ones_like(m.drive.t)) for m in (first, second)]
        expected = part.render(whole, np.ones_like(whole.drive.t))
        if isinstance(part, Tones):
            atol = 2e-3 * max(float(np.abs(expected).max()), 1e-9)
            np.testing.assert_allclose(np.concatenate(parts), expected, atol=atol)
        else:
            times = [np.flatnonzero(x) for x in (np.concatenate(parts), expected)]
            assert len(times[0]) == len(times[1])
            assert np.abs(times[0] - times[1]).max(initial=0) <= 1  # rounding to samples


def test_switching_off_runs_down_to_the_background_and_back():
    schedule = Schedule(off=((4.0, 12.0),))
    for kind in ("fan", "valve", "slider", "conveyor"):
        sound = stream(kind, schedule, 20.0)
        off = rms_db(sound[8 * RATE : 12 * RATE])
        assert off == pytest.approx(-50.0, abs=1.5)
        assert rms_db(sound[: 4 * RATE]) == pytest.approx(-30.0, abs=2.5)
        assert rms_db(sound[15 * RATE :]) == pytest.approx(-30.0, abs=2.5)


def test_a_machine_that_is_off_is_silent_without_background():
    sound = stream("compressor", Schedule(off=((1.0, 9.0),)), 8.0, snr_db=np.inf)
    assert rms_db(sound[6 * RATE :]) < -150.0


def test_running_down_takes_a_moment():
    sound = stream("fan", Schedule(off=((2.0, 9.0),)), 6.0, snr_db=np.inf)
    just_after = rms_db(sound[2 * RATE : 2 * RATE + RATE // 4])
    assert -45.0 < just_after < -29.0


def test_a_scheduled_fault_leaves_the_time_before_its_onset_untouched():
    schedule = Schedule(Fault("bearing_outer"), onset_s=2.0, ramp_s=1.0)
    normal, faulty = stream(seconds=5.0), stream(schedule=schedule, seconds=5.0)
    np.testing.assert_array_equal(normal[: 2 * RATE], faulty[: 2 * RATE])
    assert np.abs(normal[4 * RATE :] - faulty[4 * RATE :]).max() > 1e-3


def test_a_repaired_machine_sounds_normal_again():
    schedule = Schedule(Fault("leak"), onset_s=1.0, clear_s=3.0)
    normal, faulty = stream(seconds=6.0), stream(schedule=schedule, seconds=6.0)
    assert rms_db((faulty - normal)[RATE : 3 * RATE]) > -50.0
    assert rms_db((faulty - normal)[5 * RATE :]) < -150.0


def test_severity_ramps_linearly_and_clears():
    schedule = Schedule(Fault("leak", 0.8), onset_s=10.0, ramp_s=4.0, clear_s=20.0)
    t = np.array([0.0, 10.0, 12.0, 14.0, 19.9, 20.0, 30.0])
    np.testing.assert_allclose(schedule.severity_at(t), [0, 0, 0.4, 0.8, 0.8, 0, 0])


def test_speed_is_continuous_through_short_interruptions():
    schedule = Schedule(off=((1.0, 1.5), (1.8, 2.0), (5.0, 9.0)))
    run = schedule.run_at(np.arange(0, 12, 0.001), down_s=2.0, up_s=1.5)
    assert np.abs(np.diff(run)).max() < 0.003
    assert run.min() == 0.0
    assert run[-1] == 1.0


def test_impossible_schedules_are_refused():
    with pytest.raises(ValueError, match="off"):
        Schedule(off=((5.0, 3.0),))
    with pytest.raises(ValueError, match="clear_s"):
        Schedule(Fault("leak"), onset_s=5.0, clear_s=1.0)
    with pytest.raises(ValueError, match="ramp_s"):
        Schedule(ramp_s=-1.0)
    with pytest.raises(ValueError, match="cavitation"):
        SimulatedMachine(Scene("fan", 0), seed=0, schedule=Schedule(Fault("cavitation")))
    with pytest.raises(ValueError, match="n_samples"):
        SimulatedMachine(Scene("fan", 0), seed=0).read(-1)
