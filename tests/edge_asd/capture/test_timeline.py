"""One stream out of many openings: it runs on, never back, and at one rate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge_asd.capture.timeline import Timeline
from edge_asd.errors import CaptureError
from edge_asd.records import Block

STEADY_S = 1_790_000_000.0


def blocks(n, rate, at_s=0.0, *, channels=1, frequency_hz=0.0):
    """``n`` blocks of 0.1 s, the first captured ``at_s`` after the beginning."""
    size = rate // 10
    t = np.arange(n * size) / rate
    samples = np.sin(2 * np.pi * frequency_hz * t).astype(np.float32)
    samples = np.repeat(samples[:, None], channels, axis=1)
    return [
        Block(samples[k * size : (k + 1) * size], k * size, STEADY_S + at_s + k * 0.1)
        for k in range(n)
    ]


def take(timeline, rate, some):
    timeline.open(rate)
    out = [made for block in some for made in timeline.push(block)]
    return out + timeline.close()


def gaps(out):
    return [b.start - a.start - len(a.samples) for a, b in itertools.pairwise(out)]


def test_a_restart_jumps_by_the_audio_that_was_missed():
    timeline = Timeline("mic", live=True)
    out = take(timeline, 1000, blocks(5, 1000)) + take(timeline, 1000, blocks(5, 1000, at_s=7.3))
    missing = [gap for gap in gaps(out) if gap]
    assert missing == [pytest.approx(6800, abs=1)]
    assert out[5].captured_at - out[4].captured_at == pytest.approx(6.9)


def test_an_index_stands_for_the_same_time_after_any_number_of_restarts():
    timeline, at_s, out = Timeline("mic", live=True), 0.0, []
    for away_s in (0.7, 3.0, 3600.0, 0.9, 28_800.0):
        out += take(timeline, 16_000, blocks(30, 16_000, at_s))
        at_s += 3.0 + away_s
    for block in out:
        assert block.captured_at - STEADY_S == pytest.approx(block.start / 16_000, abs=0.001)


def test_a_restart_without_any_time_is_a_gap_nevertheless():
    timeline = Timeline("mic", live=True)
    out = take(timeline, 1000, blocks(5, 1000)) + take(timeline, 1000, blocks(5, 1000, at_s=0.2))
    assert [gap for gap in gaps(out) if gap] == [1]


def test_another_rate_is_resampled_to_the_first_with_every_channel_and_index():
    timeline = Timeline("mic", live=True)
    first = take(timeline, 16_000, blocks(20, 16_000, channels=2, frequency_hz=440.0))
    at_s = 10.0
    second = take(timeline, 48_000, blocks(20, 48_000, at_s, channels=2, frequency_hz=440.0))
    assert timeline.rate == 16_000
    assert second[0].start == pytest.approx(at_s * 16_000, abs=2)
    assert set(gaps(second)) == {0}
    samples = np.concatenate([block.samples for block in second])
    assert samples.shape == (32_000, 2)
    np.testing.assert_array_equal(samples[:, 0], samples[:, 1])
    want = np.concatenate([block.samples for block in first])
    np.testing.assert_allclose(samples[800:-800], want[800:-800], atol=2e-3)
    for block in second:
        assert block.captured_at == pytest.approx(STEADY_S + block.start / 16_000, abs=0.001)


@pytest.mark.parametrize(("before", "after"), [(48_000, 44_100), (44_100, 48_000)])
def test_a_slightly_lower_rate_takes_nothing_away_that_the_resampler_keeps(before, after):
    timeline = Timeline("mic", live=True)
    take(timeline, before, blocks(5, before))
    out = take(timeline, after, blocks(10, after, at_s=2.0))
    assert sum(len(block.samples) for block in out) == before
    assert timeline.rate == before


def test_a_much_lower_rate_is_refused_and_the_next_opening_is_not():
    timeline = Timeline("mic", live=True)
    take(timeline, 48_000, blocks(5, 48_000))
    with pytest.raises(CaptureError, match="came back at 16000 Hz, was 48000 Hz"):
        timeline.open(16_000)
    assert len(take(timeline, 48_000, blocks(5, 48_000, at_s=1.0))) == 5


def test_a_recording_keeps_its_own_dates():
    timeline = Timeline("file", live=False)
    some = [Block(np.zeros((100, 1), np.float32), k * 100, 5.0) for k in range(4)]
    assert take(timeline, 1000, some)[3].captured_at == 5.0
    assert (timeline.drift_ppm, timeline.surplus_s) == (None, 0.0)


def test_surplus_and_drift_are_remembered_over_restarts():
    timeline = Timeline("mic", live=True)
    timeline.open(1000)
    for k in range(10_000):  # 8 % too fast
        timeline.push(Block(np.zeros((100, 1), np.float32), k * 100, STEADY_S + k * 0.1 / 1.08))
    surplus_s, drift_ppm = timeline.surplus_s, timeline.drift_ppm
    assert surplus_s > 60.0
    assert drift_ppm > 50_000.0
    timeline.close()
    timeline.open(1000)
    timeline.push(Block(np.zeros((100, 1), np.float32), 0, STEADY_S + 1000.0))
    assert (timeline.surplus_s, timeline.drift_ppm) == (surplus_s, drift_ppm)
