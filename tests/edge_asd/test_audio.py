"""Levels are those of the textbook, and clips are resampled as streams are."""

import numpy as np
import pytest
from support.sound import blocks_of

from edge_asd.audio import SILENCE_DBFS, db_to_factor, level_dbfs, resample_clip
from edge_asd.capture import Resampler


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


def test_a_clip_at_the_right_rate_is_left_alone():
    samples = tone(440, 16_000)
    assert resample_clip(samples, 16_000, 16_000) is samples


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_resampling_keeps_length_pitch_and_level(rate):
    out = resample_clip(tone(1000, rate), rate, 16_000)
    assert out.dtype == np.float32
    assert len(out) == pytest.approx(16_000, abs=1)
    assert int(np.abs(np.fft.rfft(out[:16_000])).argmax()) == pytest.approx(1000, abs=1)
    assert level_dbfs(out[1000:-1000]) == pytest.approx(-3.01, abs=0.05)


def test_what_the_lower_rate_cannot_hold_is_removed():
    assert level_dbfs(resample_clip(tone(10_000, 48_000), 48_000, 16_000)[1000:-1000]) < -80.0


def test_a_clip_is_resampled_as_a_stream_is():
    samples = np.random.default_rng(0).normal(size=48_000).astype(np.float32) / 10
    streaming = Resampler(48_000, 16_000, 0)
    out = [b for block in blocks_of(samples, [1000, 20_001]) for b in streaming.push(block)]
    joined = np.concatenate([b.samples[:, 0] for b in out + streaming.flush()])
    np.testing.assert_allclose(joined, resample_clip(samples, 48_000, 16_000), atol=1e-6)
