"""Delays pass, drift is followed, lost audio is found where and as long as it was."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_asd.capture.drift import PLAUSIBLE_PPM, TOLERANCE_S, DriftMeter
from edge_asd.records import Block

RATE = 16_000
STEADY_S = 1_790_000_000.0
DAY_S = 86_400.0


@dataclass
class Reader:
    """A device, and a program that reads it and is sometimes late.

    Args:
        ppm: How much faster than it claims the device runs.
        jitter_s: Every read is late by up to so much.
        lost: Seconds of audio that the device loses, by the time at which that happens.
        busy: How long the program does not read, by the time from which on; nothing is lost by it.
        waiting_s: Audio that the driver had gathered when it was opened.
    """

    seconds: float
    block_s: float = 0.1
    ppm: float = 0.0
    jitter_s: float = 0.02
    lost: dict = field(default_factory=dict)
    busy: dict = field(default_factory=dict)
    waiting_s: float = 0.0
    seed: int = 0

    def blocks(self):
        """When every block's first sample was captured, and when the block was read, seconds."""
        n = round(self.seconds / self.block_s)
        length_s = self.block_s / (1.0 + self.ppm * 1e-6)
        heard_s = STEADY_S + length_s * np.arange(n)
        for at_s, lost_s in self.lost.items():
            heard_s[round(at_s / self.block_s) :] += lost_s
        ready_s = np.maximum(heard_s + length_s, STEADY_S + self.waiting_s)
        for at_s, busy_s in self.busy.items():
            within = (ready_s >= STEADY_S + at_s) & (ready_s < STEADY_S + at_s + busy_s)
            ready_s[within] = STEADY_S + at_s + busy_s
        late_s = np.random.default_rng(self.seed).uniform(0.0, self.jitter_s, n)
        return heard_s, np.maximum.accumulate(ready_s + late_s)

    def run(self):
        """The meter, its blocks, and by how much each is dated wrong, seconds."""
        meter, size = DriftMeter(RATE), round(self.block_s * RATE)
        samples = np.zeros((size, 1), np.float32)
        out = []
        heard_s, read_s = self.blocks()
        for at, arrival_s in enumerate(read_s):
            out += meter.push(Block(samples, at * size, arrival_s - size / RATE))
        out += meter.flush()
        assert len(out) == len(heard_s)
        return meter, out, np.array([block.captured_at for block in out]) - heard_s


def jumps(blocks):
    """Seconds that are missing before blocks, by the block's number."""
    size = len(blocks[0].samples)
    gaps = np.diff([block.start for block in blocks]) - size
    return {int(at) + 1: gaps[at] / RATE for at in np.flatnonzero(gaps)}


def test_paced_blocks_go_straight_through_with_their_own_time():
    meter = DriftMeter(RATE)
    for at in range(50):
        block = Block(np.zeros((1600, 1), np.float32), at * 1600, STEADY_S + at * 0.1)
        (out,) = meter.push(block)
        assert out.samples is block.samples
        assert (out.start, out.captured_at) == (block.start, pytest.approx(block.captured_at))
    assert (meter.surplus_s, meter.drift_ppm, meter.flush()) == (0.0, None, [])


def test_a_driver_flag_stays_with_its_block():
    meter = DriftMeter(RATE)
    meter.push(Block(np.zeros((1600, 1), np.float32), 0, STEADY_S))
    (out,) = meter.push(
        Block(np.zeros((1600, 1), np.float32), 1700, STEADY_S + 0.1, overflowed=True)
    )
    assert (out.overflowed, out.start) == (True, 1700)


@settings(max_examples=60, deadline=None)
@given(
    busy_s=st.floats(0.3, 6.0), at_s=st.floats(5.0, 50.0), jitter_s=st.floats(0.0, 0.1),
    block_s=st.sampled_from([0.02, 0.1, 0.25]), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_late_reader_loses_nothing_and_time_goes_on_through_the_burst(
    busy_s, at_s, jitter_s, block_s, seed
):
    reader = Reader(60.0, block_s, jitter_s=jitter_s, busy={at_s: busy_s}, seed=seed)
    meter, out, error_s = reader.run()
    assert jumps(out) == {}
    assert meter.surplus_s == 0.0
    assert np.abs(error_s).max() <= jitter_s + 0.001
    steps_s = np.diff([block.captured_at for block in out])
    assert steps_s.min() > block_s - jitter_s - 0.001
    assert steps_s.max() < block_s + jitter_s + 0.001


@settings(max_examples=80, deadline=None)
@given(
    lost_s=st.floats(0.25, 3.0), at_s=st.floats(5.0, 50.0), jitter_s=st.floats(0.0, 0.04),
    ppm=st.floats(-200.0, 200.0), seed=st.integers(0, 99),
)  # fmt: skip
@example(lost_s=8 * 3600.0, at_s=30.0, jitter_s=0.02, ppm=100.0, seed=0)  # the machine slept
def test_lost_audio_is_found_where_and_as_long_as_it_was(lost_s, at_s, jitter_s, ppm, seed):
    reader = Reader(60.0, ppm=ppm, jitter_s=jitter_s, lost={at_s: lost_s}, seed=seed)
    meter, out, error_s = reader.run()
    ((where, found_s),) = jumps(out).items()
    assert where == round(at_s / 0.1)
    # An unknown drift is part of what was missed during a long sleep.
    assert found_s == pytest.approx(lost_s, abs=0.1 + lost_s * abs(ppm) * 1e-6)
    assert meter.surplus_s == 0.0
    assert np.abs(error_s).max() < 0.1 + lost_s * abs(ppm) * 1e-6


def test_what_a_burst_does_not_make_up_for_is_lost_somewhere_in_it():
    meter, out, error_s = Reader(60.0, lost={32.0: 1.0}, busy={30.0: 4.0}).run()
    ((where, found_s),) = jumps(out).items()
    assert 299 <= where <= 340
    assert found_s == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.delete(error_s, range(299, 341))).max() < 0.05
    assert meter.surplus_s == 0.0


def test_several_losses_are_all_found():
    lost = {20.0: 0.5, 21.5: 0.3, 90.0: 1.5, 95.0: 0.4}
    _, out, error_s = Reader(120.0, lost=lost).run()
    found = jumps(out)
    assert list(found) == [200, 215, 900, 950]
    assert list(found.values()) == pytest.approx(list(lost.values()), abs=0.05)
    assert np.abs(error_s).max() < 0.05


@settings(max_examples=3, deadline=None)
@given(
    ppm=st.floats(-200.0, 200.0), jitter_s=st.floats(0.0, 0.15), seed=st.integers(0, 99),
    busy=st.dictionaries(
        st.floats(100.0, DAY_S - 100.0), st.floats(0.5, 6.0), max_size=20
    ),
)  # fmt: skip
@example(ppm=200.0, jitter_s=0.1, seed=0, busy={})
@example(ppm=-200.0, jitter_s=0.1, seed=0, busy={})
def test_a_day_of_drift_jitter_and_late_reads_is_no_loss(ppm, jitter_s, seed, busy):
    reader = Reader(DAY_S, 1.0, ppm=ppm, jitter_s=jitter_s, busy=busy, seed=seed)
    meter, out, error_s = reader.run()
    assert jumps(out) == {}
    assert meter.surplus_s == 0.0
    assert meter.drift_ppm == pytest.approx(ppm, abs=15.0)
    assert np.abs(error_s).max() < 0.16  # although the clocks differ by up to 17 s at its end


def test_a_loss_late_in_a_day_of_drift_is_told_from_it():
    reader = Reader(DAY_S, 1.0, ppm=-180.0, jitter_s=0.05, lost={80_000.0: 0.5})
    meter, out, _ = reader.run()
    ((where, found_s),) = jumps(out).items()
    assert (where, found_s) == (80_000, pytest.approx(0.5, abs=0.06))
    assert meter.drift_ppm == pytest.approx(-180.0, abs=15.0)


def test_the_drift_follows_the_temperature():
    cold, warm = Reader(3600.0, 1.0, ppm=20.0), Reader(3600.0, 1.0, ppm=80.0)
    meter = DriftMeter(RATE)
    samples = np.zeros((RATE, 1), np.float32)
    shift_s, seen = 0.0, []
    for part, reader in enumerate((cold, warm)):
        _, read_s = reader.blocks()
        for at, arrival_s in enumerate(read_s + shift_s):
            meter.push(Block(samples, (part * 3600 + at) * RATE, arrival_s - 1.0))
        seen.append(meter.drift_ppm)
        shift_s += 3600.0 / (1.0 + reader.ppm * 1e-6)
    assert seen == pytest.approx([20.0, 80.0], abs=8.0)


def test_the_drift_is_not_told_before_it_can_be():
    assert Reader(240.0, ppm=150.0).run()[0].drift_ppm is None
    assert Reader(330.0, ppm=150.0).run()[0].drift_ppm == pytest.approx(150.0, abs=15.0)


@pytest.mark.parametrize("ppm", [-81_250.0, -20_000.0, -5_000.0, 5_000.0, 81_250.0])
def test_a_wrong_rate_is_seen_after_a_minute_and_accounted_for(ppm):
    meter, out, _ = Reader(120.0, ppm=ppm).run()
    assert abs(meter.drift_ppm) > PLAUSIBLE_PPM
    assert meter.drift_ppm == pytest.approx(ppm, rel=0.15)
    lost_s = sum(jumps(out).values())
    excess_s = 120.0 * (1.0 - 1.0 / (1.0 + ppm * 1e-6))  # more stream than time
    allowed_s = TOLERANCE_S + 0.2 + 120.0 * PLAUSIBLE_PPM * 1e-6
    assert meter.surplus_s - lost_s == pytest.approx(excess_s, abs=allowed_s)
    assert min(meter.surplus_s, lost_s) == 0.0


def test_a_burst_of_audio_that_there_was_no_time_for_is_surplus():
    _, read_s = Reader(60.0).blocks()
    meter, samples = DriftMeter(RATE), np.zeros((1600, 1), np.float32)
    for at, arrival_s in enumerate(read_s):
        # Twenty blocks come again, all at once, half a minute after the start.
        for copy in range(21 if at == 300 else 1):
            start = 1600 * (at + copy + (20 if at > 300 else 0))
            meter.push(Block(samples, start, arrival_s - 0.1))
    assert meter.surplus_s == pytest.approx(2.0, abs=TOLERANCE_S)


def test_what_the_driver_had_gathered_before_it_was_opened_is_no_surplus():
    meter, out, error_s = Reader(30.0, waiting_s=1.5).run()
    assert (meter.surplus_s, jumps(out)) == (0.0, {})
    assert np.abs(error_s[20:]).max() < 0.02


def test_audio_is_withheld_for_three_seconds_at_most_and_never_for_good():
    meter, samples = DriftMeter(RATE), np.zeros((1600, 1), np.float32)
    for at in range(20):
        meter.push(Block(samples, at * 1600, STEADY_S + at * 0.1))
    # From now on the reader is 10 s late and catches up, but slowly.
    held = 0
    for at in range(20, 400):
        arrival_s = STEADY_S + 12.0 + (at - 20) * 0.08
        held += 1 - len(meter.push(Block(samples, at * 1600, arrival_s)))
        assert held <= 40
    held -= len(meter.flush())
    assert held == 0
