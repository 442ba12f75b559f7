"""Readers are held back to the speed that was asked for, and programs to the time that passes."""

from __future__ import annotations

import pytest

from edge_asd.capture.pacing import Pacer, Throttle
from edge_asd.steady import SteadyClock


def clock_of(now):
    return lambda: now[0]


def run(throttle, now, durations_s, *, busy_s=0.0):
    """Read audio of these lengths, waiting as told; seconds it took."""
    began = now[0]
    for duration_s in durations_s:
        now[0] += busy_s
        now[0] += throttle.wait_s(duration_s)
    return now[0] - began


def test_a_flood_is_held_back_to_little_more_than_real_time():
    now = [50.0]
    took_s = run(Throttle(clock_of(now)), now, [0.1] * 6000)
    assert took_s == pytest.approx((600.0 - 8.0) / 1.02, rel=1e-3)


@pytest.mark.parametrize("ppm", [-200.0, 0.0, 200.0, 2000.0])
def test_real_time_is_never_held_back_whatever_the_clock_s_drift(ppm):
    now = [50.0]
    pace_s = 0.1 / (1.0 + ppm * 1e-6)
    took_s = run(Throttle(clock_of(now)), now, [0.1] * 100_000, busy_s=pace_s)
    assert took_s == pytest.approx(100_000 * pace_s)


def test_segments_of_a_network_stream_are_let_through_at_once():
    now = [50.0]
    throttle = Throttle(clock_of(now))
    for _ in range(100):
        assert run(throttle, now, [0.1] * 60) < 0.2
        now[0] += 6.0


def test_a_long_silence_saves_nothing_up_for_a_flood():
    now = [50.0]
    throttle = Throttle(clock_of(now))
    now[0] += 3600.0
    assert run(throttle, now, [0.1] * 600) == pytest.approx(52.0 / 1.02, rel=1e-3)


def test_positions_are_dated_in_steady_time_from_the_opening():
    steady = SteadyClock(wall=lambda: 1000.0, counter=lambda: 7.0)
    assert Pacer(None, steady).captured_at(12.5) == 1012.5
