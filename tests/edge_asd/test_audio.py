"""Levels are those of the textbook."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.audio import SILENCE_DBFS, db_to_factor, level_dbfs


def tone(hz, rate, seconds=1.0):
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def test_a_full_scale_square_wave_is_zero_dbfs():
    assert level_dbfs(np.tile([1.0, -1.0], 50).astype(np.float32)) == 0.0


def test_a_full_scale_sine_is_three_decibels_lower():
    assert level_dbfs(tone(1000, 16_000)) == pytest.approx(-3.01, abs=0.01)


def test_digital_silence_has_a_finite_level():
    assert level_dbfs(np.zeros(10, np.float32)) == SILENCE_DBFS


def test_a_quiet_offset_does_not_underflow():
    assert level_dbfs(np.full(10, 1e-5, np.float32)) == pytest.approx(-100.0, abs=0.01)


@pytest.mark.parametrize("gain_db", [-40.0, -6.0, 0.0, 12.0])
def test_a_gain_in_decibels_moves_the_level_by_as_many(gain_db):
    samples = tone(440, 16_000) / 10
    louder = samples * np.float32(db_to_factor(gain_db))
    assert level_dbfs(louder) - level_dbfs(samples) == pytest.approx(gain_db, abs=1e-3)


@given(n=st.integers(1, 5000), seed=st.integers(0, 99), scale=st.sampled_from([1e-5, 0.1, 1.0]))
def test_a_level_is_that_of_double_precision(n, seed, scale):
    samples = (scale * np.random.default_rng(seed).normal(size=(n, 2))).astype(np.float32)
    for part in (samples[:, 0], np.ascontiguousarray(samples[:, 1])):
        exact = 10 * np.log10(np.mean(np.square(part, dtype=np.float64)))
        assert level_dbfs(part) == pytest.approx(exact, abs=1e-4)
