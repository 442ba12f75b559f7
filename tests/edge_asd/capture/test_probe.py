"""A second of listening tells a working microphone from a dead one, and never takes for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.capture import parse_source
from edge_asd.capture.probe import measure, probe

RATE = 16_000


def tone(amplitude, dc=0.0):
    swing = amplitude * np.sin(2.0 * np.pi * 1000.0 * np.arange(RATE) / RATE)
    return (swing + dc).astype(np.float32)[:, None]


@given(st.floats(1e-4, 0.9), st.floats(-0.09, 0.09))
def test_a_tone_is_measured_whatever_constant_it_stands_on(amplitude, dc):
    (level,) = measure(tone(amplitude, dc), RATE)
    wanted = 20.0 * np.log10(amplitude / np.sqrt(2.0))
    assert level.level_dbfs == pytest.approx(wanted, abs=0.2)
    assert level.noise_dbfs == pytest.approx(wanted, abs=0.2)
    assert level.peak_dbfs == pytest.approx(20.0 * np.log10(amplitude + abs(dc)), abs=0.2)
    assert level.dc == pytest.approx(dc, abs=1e-4)
    assert level.clipped_ratio == 0.0
    assert not level.digital_silence


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_a_value_that_never_changes_is_digital_silence(value):
    (level,) = measure(np.full((RATE, 1), value, np.float32), RATE)
    assert level.digital_silence
    assert level.level_dbfs is None
    assert level.dc == value


def test_noise_is_what_remains_between_the_blows():
    rng = np.random.default_rng(0)
    sound = (1e-3 * rng.standard_normal((RATE, 1))).astype(np.float32)
    sound[:: RATE // 2] = 0.9
    (level,) = measure(sound, RATE)
    assert level.noise_dbfs == pytest.approx(-60.0, abs=1.5)
    assert level.peak_dbfs == pytest.approx(-0.9, abs=0.1)


def test_clipping_is_counted_by_sample_and_channel():
    clean, clipped = tone(0.5), np.clip(tone(4.0), -1.0, 1.0)
    levels = measure(np.hstack([clean, clipped]), RATE)
    assert levels[0].clipped_ratio == 0.0
    assert 0.5 < levels[1].clipped_ratio < 1.0


def test_numbers_that_are_none_do_not_spoil_the_rest():
    sound = tone(0.5)
    sound[::7] = np.nan
    (level,) = measure(sound, RATE)
    assert level.level_dbfs == pytest.approx(-9.0, abs=0.2)
    (nothing,) = measure(np.full((10, 1), np.inf, np.float32), RATE)
    assert (nothing.level_dbfs, nothing.digital_silence) == (None, False)


def test_fewer_samples_than_a_piece_are_measured_too():
    (level,) = measure(tone(0.5)[:16], RATE)
    assert level.level_dbfs == pytest.approx(-9.0, abs=0.2)


def test_a_microphone_that_does_not_open_in_time_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "sounddevice.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path)
    result = probe(parse_source("alsa:mic"), open_s=0.3)
    assert result.error.startswith("alsa:mic: silent for 0.3 s")
    assert "\n" not in result.error
    assert result.channels == ()
