"""Simulated machines: seeded, in proportion, and with faults where physics puts them."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal

from edge_asd.simulate import (
    KINDS,
    Bearing,
    Fault,
    Scene,
    build_machine,
    draw_scene,
    faults_of,
    render,
    shifted,
)

RATE = 16000


def rms_db(samples):
    return 10.0 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)


def log_mel(samples, n_mels=48):
    """Coarse log-mel spectrogram, (n_mels, frames), in dB."""
    f_hz, _, z = scipy.signal.stft(samples, RATE, nperseg=1024, noverlap=512, boundary=None)
    mel = np.linspace(2595 * np.log10(1 + 50 / 700), 2595 * np.log10(1 + 8000 / 700), n_mels + 2)
    edge = 700 * (10 ** (mel / 2595) - 1)
    up = (f_hz - edge[:-2, None]) / np.diff(edge)[:-1, None]
    down = (edge[2:, None] - f_hz) / np.diff(edge)[1:, None]
    return 10 * np.log10(np.maximum(0, np.minimum(up, down)) @ np.abs(z) ** 2 + 1e-12)


def descriptor(samples):
    """Mean, quiet and loud log-mel spectra: colour and impulsiveness of a clip."""
    spectrogram = log_mel(samples)
    quiet, loud = np.percentile(spectrogram, [10, 95], axis=1)
    return np.concatenate([spectrogram.mean(axis=1), quiet, loud])


def distance(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2)))


def envelope_spectrum(samples, low_hz=2000.0):
    """Magnitude spectrum of the envelope above ``low_hz``: (f_hz, magnitude)."""
    sos = scipy.signal.butter(4, low_hz, "high", fs=RATE, output="sos")
    envelope = np.abs(scipy.signal.hilbert(scipy.signal.sosfilt(sos, samples)))
    envelope -= envelope.mean()
    return np.fft.rfftfreq(len(samples), 1 / RATE), np.abs(np.fft.rfft(envelope))


def prominence(f_hz, magnitude, at_hz, within=0.02):
    """Peak within a relative tolerance over the median in the neighbourhood."""
    near = np.abs(f_hz / at_hz - 1.0) <= within
    around = (np.abs(f_hz / at_hz - 1.0) <= 0.3) & ~near
    return float(magnitude[near].max() / np.median(magnitude[around]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seeds_give_the_same_clip_and_others_do_not(kind):
    scene = Scene(kind, unit=3)
    clip = render(scene, 1.0, seed=1)
    assert clip.dtype == np.float32
    assert clip.shape == (RATE,)
    np.testing.assert_array_equal(clip, render(scene, 1.0, seed=1))
    assert np.abs(clip - render(scene, 1.0, seed=2)).max() > 1e-4
    assert np.abs(clip - render(replace(scene, unit=4), 1.0, seed=1)).max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_severity_zero_is_exactly_normal(kind):
    scene = Scene(kind, unit=8, snr_db=10.0)
    normal = render(scene, 1.0, seed=5)
    for name in faults_of(kind):
        np.testing.assert_array_equal(normal, render(scene, 1.0, seed=5, fault=Fault(name, 0.0)))


@functools.cache
def normal_descriptors(kind, unit):
    """A scene at 10 dB SNR, and descriptors (4, D) of four normal clips of it."""
    scene = draw_scene(np.random.default_rng(40 + unit), kind, snr_db=(10.0, 10.0))
    return scene, np.array([descriptor(render(scene, 5.0, seed=seed)) for seed in range(4)])


@pytest.mark.parametrize(("kind", "name"), [(kind, n) for kind in KINDS for n in faults_of(kind)])
def test_every_fault_stands_out_from_the_variation_of_normal_sound(kind, name):
    ratios = []
    for unit in range(3):
        scene, normal = normal_descriptors(kind, unit)
        centre = normal.mean(axis=0)
        spread = max(distance(n, (4 * centre - n) / 3) for n in normal)  # leave one out
        faulty = descriptor(render(scene, 5.0, seed=9, fault=Fault(name)))
        ratios.append(distance(faulty, centre) / spread)
    assert np.median(ratios) > 1.5


def test_a_fault_grows_with_its_severity():
    scene = Scene("bearing", unit=2, snr_db=15.0)
    normal = descriptor(render(scene, 4.0, seed=1))
    clips = [render(scene, 4.0, seed=1, fault=Fault("bearing_outer", s)) for s in (0.1, 0.3, 1)]
    steps = [distance(descriptor(clip), normal) for clip in clips]
    assert 0.0 < steps[0] < steps[1] < steps[2]


def test_bearing_frequencies_follow_the_kinematic_formulas():
    # SKF 6205: 9 balls of 7.94 mm on a pitch circle of 39.04 mm; published orders
    bearing = Bearing(9, 7.94 / 39.04, 0.0)
    orders = (bearing.bpfo_order, bearing.bpfi_order, bearing.ftf_order, bearing.bsf_order)
    np.testing.assert_allclose(orders, (3.585, 5.415, 0.398, 2.357), atol=0.001)


@pytest.mark.parametrize("unit", [0, 1, 2])
@pytest.mark.parametrize("defect", ["bearing_outer", "bearing_inner"])
def test_defects_beat_at_their_kinematic_frequency(defect, unit):
    machine = build_machine("bearing", unit)
    bearing = machine.bearing
    order = bearing.bpfo_order if defect == "bearing_outer" else bearing.bpfi_order
    expected_hz = order * machine.rate_hz()
    scene = Scene("bearing", unit, room=1, snr_db=20.0)
    faulty = envelope_spectrum(render(scene, 10.0, seed=3, fault=Fault(defect)))
    normal = envelope_spectrum(render(scene, 10.0, seed=3))
    assert prominence(*faulty, expected_hz) > 8.0
    assert prominence(*normal, expected_hz) < 4.0


def test_an_inner_race_defect_is_modulated_by_the_shaft():
    machine = build_machine("bearing", 1)
    shaft_hz, defect_hz = machine.rate_hz(), machine.bearing.bpfi_order * machine.rate_hz()
    scene = Scene("bearing", 1, snr_db=np.inf)
    f_hz, magnitude = envelope_spectrum(render(scene, 10.0, seed=3, fault=Fault("bearing_inner")))
    for sideband_hz in (defect_hz - shaft_hz, defect_hz + shaft_hz):
        assert prominence(f_hz, magnitude, sideband_hz) > 5.0


def test_worn_gears_have_mesh_sidebands_at_shaft_spacing():
    above_db = []
    for unit in range(6):
        machine = build_machine("gearbox", unit)
        scene = Scene("gearbox", unit, snr_db=np.inf)
        clip = render(scene, 10.0, seed=1, fault=Fault("worn_gear"))
        f_hz, power = scipy.signal.welch(clip, RATE, nperseg=16384)
        order = f_hz / machine.rate_hz()
        teeth = machine.count("pinion_1")
        for offset in (-1.0, 1.0):  # one shaft order beside the mesh, and half way to the next
            line, between = (
                power[np.abs(order - teeth - at) < 0.15].max() for at in (offset, 1.5 * offset)
            )
            above_db.append(10.0 * np.log10(line / between))
    # other lines (second stage, slots, hum) may lie between on a single unit
    assert np.median(above_db) > 8.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snr_db", [0.0, 12.0])
def test_the_stated_snr_and_level_are_met(kind, snr_db):
    scene = Scene(kind, unit=6, snr_db=snr_db, noise=3, room=2, level_dbfs=-40.0)
    machine = [render(replace(scene, snr_db=np.inf), 10.0, seed=s) for s in range(3)]
    both = [render(scene, 10.0, seed=s) for s in range(3)]
    noise = np.concatenate(both) - np.concatenate(machine)
    assert rms_db(np.concatenate(machine)) == pytest.approx(-40.0, abs=1.0)
    assert rms_db(np.concatenate(machine)) - rms_db(noise) == pytest.approx(snr_db, abs=1.0)


def test_a_background_recording_replaces_the_synthetic_one_at_the_stated_snr():
    scene = Scene("fan", unit=1, snr_db=6.0)
    recording = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    alone = render(replace(scene, snr_db=np.inf), 2.0, seed=4)
    mixed = render(scene, 2.0, seed=4, background=recording) - alone
    assert rms_db(mixed) == pytest.approx(-36.0, abs=0.3)
    correlation = scipy.signal.correlate(recording, mixed, "valid")
    assert correlation.max() > 0.99 * np.linalg.norm(mixed) * np.sqrt(len(mixed))
    short = render(scene, 2.0, seed=4, background=recording[:1000]) - alone
    assert rms_db(short) == pytest.approx(-36.0, abs=0.3)


def test_a_louder_fault_is_not_normalised_away():
    scene = Scene("drone", unit=2, snr_db=np.inf)
    normal = rms_db(render(scene, 4.0, seed=1))
    assert rms_db(render(scene, 4.0, seed=1, fault=Fault("missing_propeller"))) < normal - 3.0
    assert rms_db(render(scene, 4.0, seed=1, fault=Fault("imbalance"))) > normal + 1.0


def test_loud_scenes_stay_within_full_scale():
    for kind in KINDS:
        clip = render(Scene(kind, unit=1, level_dbfs=-3.0), 2.0, seed=1)
        assert np.abs(clip).max() <= 1.0
        assert np.isfinite(clip).all()


def test_speed_moves_the_blade_pass_line():
    machine = build_machine("drone", 3)
    for speed in (0.8, 1.2):
        clip = render(Scene("drone", 3, speed=speed, snr_db=np.inf), 4.0, seed=1)
        f_hz, power = scipy.signal.welch(clip, RATE, nperseg=8192)
        expected_hz = speed * machine.rate_hz() * machine.count("blades")
        near = np.abs(f_hz / expected_hz - 1.0) < 0.15
        assert f_hz[near][power[near].argmax()] == pytest.approx(expected_hz, rel=0.04)


@pytest.mark.parametrize("sample_rate", [8000, 48000])
def test_a_unit_is_the_same_machine_at_any_sample_rate(sample_rate):
    for kind in KINDS:
        here, there = build_machine(kind, 11), build_machine(kind, 11, sample_rate)
        assert here.bearing == there.bearing
        assert here.counts == there.counts
        assert [s.rate_hz for s in here.shafts[:1]] == [s.rate_hz for s in there.shafts[:1]]
        clip = render(Scene(kind, 11, sample_rate), 0.5, seed=0)
        assert clip.shape == (sample_rate // 2,)


def test_drawn_scenes_are_seeded_and_diverse():
    scenes = [draw_scene(np.random.default_rng(seed)) for seed in range(60)]
    assert scenes[7] == draw_scene(np.random.default_rng(7))
    assert len(set(scenes)) == 60
    assert {scene.kind for scene in scenes} == set(KINDS)
    rates = [build_machine("fan", unit).rate_hz() for unit in range(30)]
    assert max(rates) / min(rates) > 3.0


def test_a_domain_shift_keeps_the_unit_and_moves_operation_and_place():
    scene = draw_scene(np.random.default_rng(3), "pump")
    target = shifted(scene, np.random.default_rng(4))
    assert target == shifted(scene, np.random.default_rng(4))
    assert (target.kind, target.unit, target.microphone) == ("pump", scene.unit, scene.microphone)
    assert abs(target.speed / scene.speed - 1.0) > 0.03
    assert target.load != scene.load
    assert target.room != scene.room
    assert target.noise != scene.noise


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "teapot"},
        {"sample_rate": 44100},
        {"speed": 2.0},
        {"load": -0.1},
        {"noise": -1},
    ],
)
def test_impossible_scenes_are_refused(change):
    with pytest.raises(ValueError):
        Scene(**{"kind": "fan", "unit": 0, **change})


def test_impossible_faults_and_clips_are_refused():
    scene = Scene("fan", unit=0)
    with pytest.raises(ValueError, match="cavitation"):
        render(scene, 1.0, seed=0, fault=Fault("cavitation"))
    with pytest.raises(ValueError, match="severity"):
        Fault("rub", 1.5)
    with pytest.raises(ValueError, match="teapot"):
        faults_of("teapot")
    with pytest.raises(ValueError, match="duration_s"):
        render(scene, 0.0, seed=0)
    with pytest.raises(ValueError, match="background"):
        render(scene, 1.0, seed=0, background=np.zeros((0,), np.float32))
    with pytest.raises(ValueError, match="silent"):
        render(scene, 1.0, seed=0, background=np.zeros(100, np.float32))
