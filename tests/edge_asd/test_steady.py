"""Steady time goes on as the boot-time counter does, whatever happens to the wall clock."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.steady import STEP_S, SteadyClock, Step, boottime_s

START_S = 1_790_000_000.0
BOOTED_S = 300.0
HOUR_S = 3600.0
seconds = st.integers(0, 10_000_000).map(float)  # exact in sums of binary fractions
settings_of_the_clock = st.integers(-10_000_000, 10_000_000).map(float)


class World:
    """A wall clock that can be set and a counter that cannot, and the clock made of both."""

    def __init__(self, wall_s=START_S) -> None:
        self.wall_s, self.counter_s = wall_s, BOOTED_S
        self.clock = SteadyClock(lambda: self.wall_s, lambda: self.counter_s)

    def pass_time(self, seconds):
        self.wall_s += seconds
        self.counter_s += seconds


@given(st.lists(st.tuples(seconds, settings_of_the_clock)))
def test_steady_time_is_the_start_and_what_has_passed_since(history):
    world = World()
    passed_s = 0.0
    for wait_s, set_by_s in history:
        world.pass_time(wait_s)
        world.wall_s += set_by_s
        world.clock.look()
        passed_s += wait_s
        assert world.clock.now() == START_S + passed_s


@given(st.lists(st.tuples(seconds, settings_of_the_clock)))
def test_now_on_the_wall_is_what_the_wall_clock_shows_once_looked_at(history):
    world = World()
    for wait_s, set_by_s in history:
        world.pass_time(wait_s)
        world.wall_s += set_by_s
        world.clock.look()
        assert world.clock.wall(world.clock.now()) == world.wall_s


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S, STEP_S, -STEP_S])
def test_a_step_is_told_once(by_s):
    world = World()
    world.pass_time(10.0)
    assert world.clock.look() is None
    world.wall_s += by_s
    world.pass_time(5.0)
    assert world.clock.look() == Step(START_S + 15.0, by_s, by_s)
    world.pass_time(5.0)
    assert world.clock.look() is None
    assert world.clock.offset_s == by_s


def test_until_somebody_looks_times_are_told_by_the_clock_as_it_was():
    world = World()
    world.wall_s += HOUR_S
    assert world.clock.wall(START_S) == START_S
    world.clock.look()
    assert world.clock.wall(START_S) == START_S + HOUR_S


@given(st.floats(-0.9, 0.9))
def test_a_slew_is_followed_without_a_word(by_s):
    world = World()
    for _ in range(10):
        world.pass_time(1.0)
        world.wall_s += by_s
        assert world.clock.look() is None
    assert world.clock.offset_s == pytest.approx(10 * by_s, abs=1e-5)
    assert world.clock.now() == START_S + 10.0


def test_a_board_that_starts_in_1970_keeps_its_axis_when_it_is_set_right():
    world = World(wall_s=60.0)
    world.pass_time(30.0)
    before_s = world.clock.now()
    world.wall_s = START_S
    step = world.clock.look()
    assert (step.at_s, step.by_s) == (90.0, START_S - 90.0)
    assert world.clock.now() == before_s == 90.0
    assert world.clock.wall(60.0) == START_S - 30.0  # its start is dated in hindsight


def test_a_suspension_is_time_that_has_passed():
    world = World()
    world.pass_time(8 * HOUR_S)  # the counter of boot time goes on as the wall clock does
    assert world.clock.now() == START_S + 8 * HOUR_S
    assert world.clock.look() is None


def test_the_real_counter_counts_at_least_what_the_monotonic_clock_does():
    boot_s, monotonic_s = boottime_s(), time.monotonic()
    time.sleep(0.02)
    passed_s = time.monotonic() - monotonic_s
    assert boottime_s() - boot_s >= passed_s > 0.0  # a suspension counts in the one only


def test_without_arguments_it_is_the_time_of_this_machine():
    before_s = time.time()
    clock = SteadyClock()
    now_s = clock.now()
    assert before_s - 1.0 <= now_s <= time.time() + 1.0
    assert clock.now() >= now_s
