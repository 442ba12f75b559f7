"""Enrolment learns one machine in one place: gain, idle rule, references, thresholds."""

import numpy as np
import pytest
from support.sound import RATE, WALL_S, Recording, enrolled, machine, request
from support.tiny import HOP

from edge_asd.audio import db_to_factor, level_dbfs
from edge_asd.embed import WindowEmbedder
from edge_asd.enrolment.enrol import enrol
from edge_asd.errors import DataError

SOFTER = np.float32(db_to_factor(-12.0))


def scores_of(networks, profile, samples):
    gain = np.float32(db_to_factor(profile.gain_db))
    _, views, _ = WindowEmbedder(networks).embed_clip(samples * gain)
    return profile.detector.score(views).scores


@pytest.fixture(scope="module")
def heard():
    """The same pump at another moment."""
    return machine("pump", 60.0, seed=2)


def test_the_gain_brings_the_machine_to_the_level_of_the_bundle(tiny_bundle, pump_profile):
    level = level_dbfs(machine("pump", 90.0))
    wanted = tiny_bundle.manifest.reference_dbfs
    assert level + pump_profile.gain_db == pytest.approx(wanted, abs=1.0)


def test_a_profile_says_what_it_was_made_from(tiny_bundle, pump_profile):
    assert pump_profile.monitor == "pump-1"
    assert (pump_profile.bundle_label, pump_profile.bundle_sha256) == ("tiny-1", tiny_bundle.sha256)
    assert pump_profile.created_at.startswith("2026-")
    assert pump_profile.enrolled_s == pytest.approx(90.0, abs=HOP / RATE)
    assert pump_profile.calibration.method == "largest_plus_margin"  # 90 s are three blocks
    assert pump_profile.calibration.provisional


def test_the_same_machine_scores_as_it_did_held_out(tiny_networks, pump_profile, heard):
    scores = scores_of(tiny_networks, pump_profile, heard)
    assert np.median(scores) < np.percentile(pump_profile.held_out.scores, 95)
    assert scores.max() < pump_profile.calibration.alarm_threshold


def test_another_machine_scores_far_higher(tiny_networks, pump_profile):
    scores = scores_of(tiny_networks, pump_profile, machine("gearbox", 90.0)[: 20 * RATE])
    assert scores.min() > pump_profile.calibration.alarm_threshold


def test_a_softer_microphone_gives_the_same_scores_after_its_own_enrolment(
    tiny_networks, pump_profile, heard
):
    softer = enrolled(tiny_networks, machine("pump", 90.0) * SOFTER)
    assert softer.gain_db == pytest.approx(pump_profile.gain_db + 12.0, abs=0.02)
    np.testing.assert_allclose(
        scores_of(tiny_networks, softer, heard * SOFTER),
        scores_of(tiny_networks, pump_profile, heard),
        atol=0.05,
    )
    assert softer.calibration.threshold == pytest.approx(
        pump_profile.calibration.threshold, abs=0.05
    )


def test_a_machine_that_becomes_softer_is_a_change(tiny_networks, pump_profile, heard):
    scores = scores_of(tiny_networks, pump_profile, heard * SOFTER)
    assert scores.min() > pump_profile.calibration.alarm_threshold
    assert scores.min() > scores_of(tiny_networks, pump_profile, heard).max() + 5


def test_the_same_audio_gives_the_same_profile(tiny_networks, pump_profile):
    again = enrolled(tiny_networks, machine("pump", 90.0))
    assert again.calibration == pump_profile.calibration
    np.testing.assert_array_equal(again.held_out.scores, pump_profile.held_out.scores)
    for name, array in again.detector.state().items():
        np.testing.assert_array_equal(array, pump_profile.detector.state()[name])


def test_under_a_minute_is_refused(tiny_networks):
    with pytest.raises(DataError, match=r"59\.0 s of audio; at least 60 s"):
        enrolled(tiny_networks, machine("pump", 90.0)[: 59 * RATE])
    assert enrolled(tiny_networks, machine("pump", 90.0)[: 60 * RATE]).enrolled_s > 59.0


def test_digital_silence_is_refused(tiny_networks):
    with pytest.raises(DataError, match="digital silence or the machine being off"):
        enrolled(tiny_networks, np.zeros(90 * RATE, np.float32))


def test_too_little_running_is_refused(tiny_networks):
    heard = machine("pump", 90.0).copy()
    heard[40 * RATE :] = 0.0
    with pytest.raises(DataError, match="runs for 40 s of the 90 s heard"):
        enrolled(tiny_networks, heard)


def test_the_part_in_which_the_machine_is_off_is_not_learned(tiny_networks):
    heard = machine("pump", 150.0, off=((60.0, 100.0),))
    profile = enrolled(tiny_networks, heard)
    assert 100.0 < profile.enrolled_s < 114.0
    # neither the silence itself nor the start after it is normal sound
    off = heard[70 * RATE : 90 * RATE]
    assert scores_of(tiny_networks, profile, off).min() > profile.calibration.alarm_threshold
    held_out = profile.held_out
    assert len(held_out.scores) * HOP / RATE < 108.0
    assert len(held_out.runs()) >= 6  # five folds, and one of them cut in two


def test_dead_seconds_inside_are_left_out(tiny_networks):
    heard = machine("pump", 90.0).copy()
    heard[30 * RATE : 40 * RATE] = 0.0
    profile = enrolled(tiny_networks, heard)
    assert profile.enrolled_s == pytest.approx(80.0, abs=1.0)
    assert profile.gain_db == pytest.approx(
        enrolled(tiny_networks, machine("pump", 90.0)).gain_db, abs=0.5
    )
    silence = np.full(2 * RATE, 1e-6, np.float32)
    assert scores_of(tiny_networks, profile, silence).min() > profile.calibration.alarm_threshold


def test_no_window_spans_a_gap_of_the_recording(tiny_networks):
    samples = machine("pump", 90.0)
    cut = 45 * RATE
    profile = enrolled(
        tiny_networks, (0, samples[:cut]), (cut + 60 * RATE, samples[cut:]), monitor="gaps"
    )
    whole = enrolled(tiny_networks, samples)
    window_hops = 4
    lost = len(whole.held_out.scores) - len(profile.held_out.scores)
    assert window_hops - 1 <= lost <= window_hops
    assert profile.enrolled_s == pytest.approx(90.0, abs=2 * HOP / RATE)


def test_progress_only_moves_forward_and_ends_with_done(tiny_networks):
    steps = []
    enrol(
        tiny_networks,
        lambda: Recording((0, machine("pump", 90.0))),
        request(),
        WALL_S,
        lambda fraction, what: steps.append((fraction, what)),
    )
    fractions = [fraction for fraction, _ in steps]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert list(dict.fromkeys(what for _, what in steps)) == [
        "measuring",
        "embedding",
        "calibrating",
        "done",
    ]
    assert len(steps) > 50


def test_the_audio_is_closed_though_enrolment_fails(tiny_networks):
    closed = []

    class Failing(Recording):
        def blocks(self):
            yield from super().blocks()
            raise DataError("the file is damaged")

        def close(self):
            closed.append(True)

    with pytest.raises(DataError, match="damaged"):
        enrol(
            tiny_networks,
            lambda: Failing((0, machine("pump", 90.0))),
            request(),
            WALL_S,
            lambda _done, _what: None,
        )
    assert closed == [True]


def test_ten_minutes_give_blocks_to_calibrate_with(tiny_networks):
    profile = enrolled(tiny_networks, np.tile(machine("pump", 90.0), 4))
    assert profile.calibration.method == "block_maxima"
    assert profile.blocks.block_s == pytest.approx(30.0, abs=HOP / RATE)
    assert len(profile.blocks.maxima) >= 5
    assert profile.calibration.threshold >= profile.blocks.maxima.max()


# The microphone


def gated(seconds, seed=1):
    """A microphone whose gate mutes for a second and a half, again and again."""
    muted = (np.arange(round(seconds * RATE)) / RATE) % 4.0 > 2.5
    return np.where(muted, np.float32(0.0), machine("pump", seconds, seed=seed))


def test_what_the_microphone_sounds_like_is_learned(tiny_networks, pump_profile):
    signal = pump_profile.signal
    assert 0.0 < signal.mean_dbfs - signal.floor_dbfs < 6.0  # it never paused
    assert signal.loudest_dbfs > level_dbfs(machine("pump", 90.0)) > signal.floor_dbfs
    assert signal.hold_s == 0.02
    assert pump_profile.microphone == ""
    other = enrolled(tiny_networks, machine("pump", 90.0), microphone="usb-1-1.2")
    assert other.microphone == "usb-1-1.2"
    assert other.signal == signal


def test_no_window_with_a_dropout_is_learned(tiny_networks):
    heard = machine("pump", 90.0).copy()
    clean = enrolled(tiny_networks, heard)
    heard[45 * RATE : 45 * RATE + 960] = 0.0  # 60 ms
    profile = enrolled(tiny_networks, heard)
    windows = 4 + 1  # that touch it: a window is four hops
    lost = len(clean.held_out.scores) - len(profile.held_out.scores)
    assert windows - 1 <= lost <= windows
    assert profile.calibration.threshold == pytest.approx(clean.calibration.threshold, rel=0.2)


def test_what_is_no_number_does_not_spoil_enrolment(tiny_networks):
    heard = machine("pump", 90.0).copy()
    heard[45 * RATE] = np.nan
    heard[50 * RATE] = np.inf
    profile = enrolled(tiny_networks, heard)
    assert np.isfinite(profile.held_out.scores).all()
    clean = enrolled(tiny_networks, machine("pump", 90.0))
    assert 0 < len(clean.held_out.scores) - len(profile.held_out.scores) <= 10


def test_a_gate_that_mutes_between_strokes_is_how_the_machine_is_heard(tiny_networks):
    profile = enrolled(tiny_networks, gated(90.0))
    assert profile.enrolled_s > 85.0
    assert profile.signal.hold_s == pytest.approx(1.5 * 1.5, rel=0.01)
    assert profile.idle_rule.longest_pause_slots >= 1


def test_the_signal_is_learned_at_the_rate_of_the_source(tiny_networks):
    import soxr

    class Fast(Recording):
        sample_rate = 48_000

        def blocks(self):
            for block in super().blocks():
                up = soxr.resample(block.samples, RATE, 48_000).astype(np.float32)
                yield type(block)(up, block.start * 3, block.captured_at)

    samples = machine("pump", 90.0)
    profile = enrol(
        tiny_networks,
        lambda: Fast((0, samples)),
        request(),
        WALL_S,
        lambda _done, _what: None,
    )
    slow = enrolled(tiny_networks, samples)
    assert len(profile.signal.octaves_dbfs) == len(slow.signal.octaves_dbfs) + 1
    np.testing.assert_allclose(profile.signal.octaves_dbfs[:7], slow.signal.octaves_dbfs, atol=1.5)
