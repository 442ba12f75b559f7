"""Resampling depends on the samples alone and never hides lost audio."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge_asd.capture import Resampler
from edge_asd.errors import ConfigError
from edge_asd.records import Block


def resample_clip(samples, rate, target_rate):
    """A whole clip by libsoxr at once: what the stream has to equal."""
    if rate == target_rate:
        return samples
    return soxr.resample(samples, rate, target_rate, quality="HQ")


RATES = [(48000, 16000), (44100, 16000), (22050, 16000), (16000, 48000), (16000, 16000)]


def pieces(signal, cuts, start=0, rate=48000):
    """``signal`` (n, C) as blocks that end at ``cuts``."""
    for part in np.split(signal, sorted(cuts)):
        yield Block(part, start, 100.0 + start / rate)
        start += len(part)


def resampled(resampler, blocks):
    return [out for block in blocks for out in resampler.push(block)] + resampler.flush()


def joined(blocks):
    at = blocks[0].start
    for block in blocks:
        assert block.samples.shape[1] == 1
        assert block.samples.dtype == np.float32
        assert block.start == at
        at += len(block.samples)
    return np.concatenate([block.samples[:, 0] for block in blocks])


def tone(hz, rate, seconds=1.0):
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)[:, None]


@settings(max_examples=60, deadline=None)
@given(
    rates=st.sampled_from(RATES),
    n=st.integers(1, 9000),
    cuts=st.lists(st.integers(0, 9000), max_size=12),
    channel=st.integers(0, 2),
)
def test_output_does_not_depend_on_how_blocks_were_cut(rates, n, cuts, channel):
    source, target = rates
    signal = np.random.default_rng(n).standard_normal((n, 3)).astype(np.float32)
    out = resampled(
        Resampler(source, target, channel), pieces(signal, [min(cut, n) for cut in cuts], 0, source)
    )
    want = resample_clip(np.ascontiguousarray(signal[:, channel]), source, target)
    assert sum(len(block.samples) for block in out) == (2 * n * target + source) // (2 * source)
    if out:
        assert_array_equal(joined(out), want)


def test_equal_rates_pass_samples_through_bit_exact_and_at_once():
    signal = np.random.default_rng(0).standard_normal((1000, 2)).astype(np.float32)
    resampler = Resampler(16000, 16000, channel=1)
    (out,) = resampler.push(Block(signal, 123, 5.0))
    assert_array_equal(out.samples[:, 0], signal[:, 1])
    assert (out.start, out.captured_at) == (123, 5.0)
    assert resampler.flush() == []


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_tone_keeps_frequency_amplitude_and_phase(source, target):
    got = joined(
        resampled(Resampler(source, target), pieces(tone(1000, source), range(100, source, 997)))
    )
    want = tone(1000, target)[:, 0]
    inside = slice(target // 10, -target // 10)
    assert_allclose(got[inside], want[inside], atol=2e-4)


@pytest.mark.parametrize("hz", [8200, 11000, 15000, 23000])
def test_what_the_target_rate_cannot_carry_is_rejected_instead_of_folded(hz):
    got = joined(resampled(Resampler(48000, 16000), [Block(tone(hz, 48000), 0, 0.0)]))
    inside = got[1600:-1600]
    assert np.sqrt(np.mean(inside**2)) < 0.5 / np.sqrt(2) * 10 ** (-80 / 20)


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize(("gap", "overflowed"), [(1, False), (2, True), (0, True), (48000, False)])
def test_lost_audio_begins_a_new_stretch_that_never_continues_the_old(
    source, target, gap, overflowed
):
    resampler = Resampler(source, target)
    first, second = (
        np.random.default_rng(seed).standard_normal((3000, 1)).astype(np.float32) for seed in (1, 2)
    )
    old = resampler.push(Block(first, 0, 10.0))
    new = resampler.push(Block(second, 3000 + gap, 20.0, overflowed)) + resampler.flush()
    split = next(i for i, block in enumerate(new) if not _continues(old + new[:i], block))
    old, new = old + new[:split], new[split:]
    assert_array_equal(joined(old), resample_clip(first[:, 0], source, target))
    assert_array_equal(joined(new), resample_clip(second[:, 0], source, target))
    exact = (3000 + gap) * target / source
    assert abs(new[0].start - exact) <= 1.5
    assert new[0].start > old[-1].start + len(old[-1].samples)
    assert new[0].captured_at == pytest.approx(20.0)
    assert new[0].overflowed == overflowed


def _continues(before, block):
    return not before or before[-1].start + len(before[-1].samples) == block.start


def test_a_stretch_begins_at_the_rounded_source_position():
    (out,) = Resampler(48000, 16000).push(Block(np.zeros((48000, 1), np.float32), 100_000, 0.0))
    assert out.start == 33_333


@pytest.mark.parametrize(("source", "target"), RATES)
def test_wall_times_are_right_to_a_block(source, target):
    signal = np.zeros((5 * source, 1), np.float32)
    out = resampled(
        Resampler(source, target),
        pieces(signal, range(source // 10, 5 * source, source // 10), 0, source),
    )
    assert_allclose(
        [block.captured_at for block in out],
        [100.0 + block.start / target for block in out],
        atol=1e-3,
    )


def test_a_channel_that_does_not_exist_is_refused_with_how_many_there_are():
    with pytest.raises(ConfigError, match=r"channel 2 .* has 2 .* set channel to 0 to 1"):
        Resampler(48000, 16000, channel=2).push(Block(np.zeros((10, 2), np.float32), 0, 0.0))


@pytest.mark.parametrize("cut", [100, 1600])
def test_all_channels_together_are_the_channels_one_by_one(cut):
    samples = np.random.default_rng(4).standard_normal((16_000, 3)).astype(np.float32)

    def run(channel):
        resampler = Resampler(48_000, 16_000, channel)
        blocks = [Block(samples[k : k + cut], k, 0.0) for k in range(0, 16_000, cut)]
        out = [made for block in blocks for made in resampler.push(block)] + resampler.flush()
        return np.concatenate([block.samples for block in out])

    together = run(None)
    assert together.shape == (5333, 3)
    for channel in range(3):
        np.testing.assert_allclose(together[:, channel], run(channel)[:, 0], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    rates=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 20_000), max_size=12),
    waits=st.lists(st.integers(0, 20_000), max_size=6),
    start=st.integers(0, 10**7),
)
def test_what_is_waited_for_comes_early_and_changes_nothing(rates, cuts, waits, start):
    signal = np.random.default_rng(0).normal(0.0, 0.1, (20_000, 1)).astype(np.float32)
    want = joined(resampled(Resampler(*rates), pieces(signal, [], start)))
    resampler, out = Resampler(*rates), []
    for number, block in enumerate(pieces(signal, cuts, start)):
        out += resampler.push(block)
        if out and number < len(waits):
            resampler.due(out[0].start + waits[number])
    got = joined(out + resampler.flush())
    assert_allclose(got, want, rtol=0.0, atol=1e-6)


def test_nothing_is_waited_for_across_lost_audio():
    signal = np.random.default_rng(0).normal(0.0, 0.1, (30_000, 1)).astype(np.float32)
    resampler = Resampler(48_000, 16_000)
    assert resampler.due(1000) is None
    first = resampler.push(Block(signal[:9000], 0, 100.0))
    resampler.due(3100)
    out = resampler.push(Block(signal[9600:], 9600, 100.2))
    at = next(n for n, block in enumerate(out) if block.start >= 3200)
    assert len(joined(first + out[:at])) == 3000  # the tail of the first stretch, and no more
    assert_allclose(
        joined(out[at:] + resampler.flush()),
        resample_clip(signal[9600:], 48_000, 16_000)[:, 0],
        atol=1e-6,
    )
