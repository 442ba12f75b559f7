"""The noise floor is the quietest half second of the last minute, however the audio is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.hearing.noise_floor import SPAN_S, NoiseFloor


def test_nothing_is_said_before_half_a_second():
    floor = NoiseFloor()
    assert [floor.push(-30.0, 0.1) for _ in range(4)] == [None] * 4
    assert floor.push(-30.0, 0.1) == pytest.approx(-30.0)


def test_a_tenth_of_a_second_of_quiet_is_chance():
    floor = NoiseFloor()
    found = [floor.push(-90.0 if i % 5 == 0 else -30.0, 0.1) for i in range(50)]
    assert found[-1] == pytest.approx(-31.0, abs=0.1)


def test_quiet_is_forgotten_after_a_minute():
    floor = NoiseFloor()
    floor.push(-70.0, 0.5)
    found = [floor.push(-20.0, 0.5) for _ in range(round(SPAN_S / 0.5) + 1)]
    assert found[-2] == pytest.approx(-70.0)
    assert found[-1] == pytest.approx(-20.0)


def test_what_follows_a_gap_is_not_mixed_with_what_was_before():
    floor = NoiseFloor()
    floor.push(-90.0, 0.4)
    floor.interrupt()
    assert floor.push(-30.0, 0.5) == pytest.approx(-30.0)


@given(st.lists(st.integers(-120, 0), min_size=1, max_size=400))
def test_it_is_the_minimum_of_the_last_minute_and_stays_small(levels):
    floor = NoiseFloor()
    pieces = round(SPAN_S / 0.5)
    for i, level in enumerate(levels):
        expected = min(levels[max(0, i - pieces) : i + 1])
        assert floor.push(float(level), 0.5) == pytest.approx(expected, abs=1e-6)
    assert len(floor._pieces) <= pieces + 1
    assert np.all(np.diff([level for _, level in floor._pieces]) > 0)
