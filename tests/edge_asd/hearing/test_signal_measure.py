"""Runs of one value, levels of octaves, clipping: what a verdict on a microphone rests on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge_asd.hearing.signal_ear import HEARD_FRAMES, Ear
from edge_asd.hearing.signal_measure import (
    OCTAVES_HZ,
    FrameMeter,
    Run,
    RunTracker,
    impossible,
    numbers,
)


def noise(n, level=0.1, seed=0):
    return np.random.default_rng(seed).normal(0.0, level, n).astype(np.float32)


def runs_of(samples, shortest):
    """Every run of at least ``shortest`` samples, found the slow way."""
    found, begin = [], 0
    for at in range(1, len(samples) + 1):
        if at == len(samples) or samples[at] != samples[begin]:
            if at - begin >= shortest:
                found.append(Run(begin, at, float(samples[begin])))
            begin = at
    return found


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=20),
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.integers(2, 7),
)
def test_runs_are_exact_however_the_stream_is_cut(stretches, sizes, shortest):
    samples = np.concatenate([np.full(n, value, np.float32) for value, n in stretches])
    tracker, found, at, turn = RunTracker(shortest), {}, 0, 0
    while at < len(samples):
        size = sizes[turn % len(sizes)]
        for run in tracker.push(samples[at : at + size], at):
            found[run.begin] = run  # a run that goes on is told again
        at, turn = at + size, turn + 1
    assert list(found.values()) == runs_of(samples, shortest)


def test_a_run_does_not_go_on_after_an_interruption():
    tracker = RunTracker(10)
    assert tracker.push(np.zeros(9, np.float32), 0) == []
    tracker.reset()
    assert tracker.push(np.zeros(9, np.float32), 9) == []


def test_what_is_no_number_is_never_a_run():
    assert RunTracker(2).push(np.full(50, np.nan, np.float32), 0) == []


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_octaves_hold_the_power_of_what_lies_in_them(rate):
    meter = FrameMeter(rate)
    t = np.arange(meter.samples) / rate
    held = meter.measure(noise(meter.samples)).bands.shape[1]
    assert OCTAVES_HZ[held] <= rate / 2
    for band in range(held):
        f_hz = np.sqrt(OCTAVES_HZ[band] * OCTAVES_HZ[band + 1])
        if band < 2:
            f_hz = round(f_hz / 10.0) * 10.0  # few bins: in the middle of one
        bands = meter.measure((0.1 * np.sin(2 * np.pi * f_hz * t)).astype(np.float32)).bands[0]
        assert bands[band] == pytest.approx(0.005, rel=0.1)
        assert bands.sum() == pytest.approx(bands[band], rel=0.1)


@pytest.mark.parametrize("mains", [1, 2])
def test_without_mains_lines_noise_keeps_its_level_and_hum_loses_it(mains):
    meter = FrameMeter(16_000)
    t = np.arange(meter.samples) / 16_000
    flat = np.mean([meter.measure(noise(1600, seed=n)).bands for n in range(100)], axis=0)
    np.testing.assert_allclose(flat[mains], flat[0], rtol=0.25)
    f_hz = (50.0, 60.0)[mains - 1]
    lines = sum(np.sin(2 * np.pi * k * f_hz * t) for k in range(1, 20)).astype(np.float32) / 40
    hum = meter.measure(lines).bands
    assert hum[mains].sum() < 1e-5 * hum[0].sum()


def test_power_is_without_the_offset():
    frame = FrameMeter(16_000).measure(noise(1600) + np.float32(0.3))
    assert frame.dc == pytest.approx(0.3, abs=0.01)
    assert frame.power == pytest.approx(0.01, rel=0.1)


def tone(level, rate=16_000, f_hz=200.0):
    return (level * np.sin(2 * np.pi * f_hz * np.arange(rate // 10) / rate)).astype(np.float32)


@pytest.mark.parametrize("limit", [1.0, 0.7, 0.3])
def test_a_signal_that_is_cut_off_is_clipped_at_whatever_height(limit):
    cut = np.clip(tone(1.3 * limit), -limit, limit)
    share = float(np.mean(np.abs(cut) >= limit))
    assert FrameMeter(16_000).measure(cut).clipped == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("bits", [8, 16, 24])
@pytest.mark.parametrize("level", [0.9, 0.3, 0.01, 0.0001])
def test_what_is_not_cut_off_is_not_clipped(bits, level):
    samples = noise(1600, level / 4).clip(-level, level) * 0.9 + tone(level / 20)
    steps = np.float32(2 ** (bits - 1))
    assert FrameMeter(16_000).measure(np.round(samples * steps) / steps).clipped == 0.0


def test_values_that_are_no_sound_are_found_and_replaced():
    samples = noise(100)
    assert impossible(samples) is None
    assert impossible(samples * 30) is None  # far beyond full scale, but a float source may
    bad = samples.copy()
    bad[[20, 30, 40]] = np.nan, -np.inf, 1e30
    assert impossible(bad) == (20, 41)
    expected = samples.copy()
    expected[[20, 30, 40]] = 0.0
    assert_array_equal(numbers(bad), expected)
    assert_array_equal(numbers(samples), samples)


@pytest.mark.parametrize("size", [1, 7, 160, 1600, 5000, 80_000])
def test_what_is_heard_does_not_depend_on_how_the_stream_is_cut(size):
    samples = noise(16_000, 0.01)
    samples[3000:5000] = 0.0
    samples[9000:9010] = np.nan

    def heard(size):
        ear = Ear(16_000)
        ear.reset(0)
        found = []
        for at in range(0, len(samples), size):
            for piece in ear.push(samples[at : at + size]):
                found += [] if piece.heard is None else [piece.heard]
        return [(one.end, one.level_dbfs, one.rest_dbfs) for one in found]

    expected = heard(1600)
    # The third frame holds zeros only, the sixth what is no number: the fifth heard is the seventh.
    assert [end for end, *_ in expected] == [1600 * n for n in (7, 8, 9, 10)]
    np.testing.assert_allclose(heard(size), expected, rtol=1e-6)


def test_half_a_second_is_heard_before_anything_is_said():
    ear = Ear(16_000)
    pieces = list(ear.push(noise(16_000)))
    assert [piece.heard is not None for piece in pieces] == [False] * (HEARD_FRAMES - 1) + [
        True
    ] * (11 - HEARD_FRAMES)
    assert pieces[4].heard.begin == 0
    assert pieces[4].heard.end == 8000
