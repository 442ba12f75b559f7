"""Late scoring stretches the hop, and only for as long as it is late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_asd.worker.overload import CAUGHT_UP_S, FIRST_PATIENCE_S, LATE_S, Overload


def simulate(overload, *, seconds, cost, waiting_s=0.0, begin_s=0.0):
    """A worker that needs ``cost`` seconds a window, one window a second; what waits, by second."""
    waits = []
    for second in range(int(seconds)):
        busy = cost / overload.stretch
        waiting_s = max(0.0, waiting_s + busy - 1.0)
        overload.update(waiting_s, begin_s + second)
        waits.append(waiting_s)
    return waits


def test_nothing_is_stretched_while_scoring_keeps_up():
    overload = Overload(10)
    simulate(overload, seconds=1000, cost=0.9)
    assert overload.stretch == 1


def test_a_hiccup_is_no_overload():
    overload = Overload(10)
    assert not overload.update(LATE_S - 0.1, 0.0)
    assert overload.stretch == 1


def test_audio_never_piles_up_to_the_bound_of_the_queue():
    overload = Overload(10)
    waits = simulate(overload, seconds=600, cost=6.5)
    assert max(waits) < 20.0
    assert waits[-1] < LATE_S


def test_the_normal_hop_comes_back_when_there_is_time_again():
    overload = Overload(10)
    simulate(overload, seconds=60, cost=4.0)
    assert overload.stretch > 1
    simulate(overload, seconds=3600, cost=0.3, begin_s=60)
    assert overload.stretch == 1


def test_a_lasting_overload_is_tried_less_and_less_often():
    overload = Overload(10)
    changes = []
    waiting = 0.0
    for second in range(6 * 3600):
        waiting = max(0.0, waiting + 2.5 / overload.stretch - 1.0)
        if overload.update(waiting, float(second)):
            changes.append(second)
    in_hour = [sum(3600 * h <= at < 3600 * (h + 1) for at in changes) for h in range(6)]
    assert in_hour[0] > 2 * in_hour[5] > 0


def test_it_says_when_even_the_longest_hop_is_not_enough():
    overload = Overload(3)
    simulate(overload, seconds=60, cost=10.0)
    assert overload.stretch == 3
    assert overload.exhausted


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.floats(0, 40), st.floats(0.01, 30)), max_size=200),
)
def test_the_stretch_stays_within_a_window(limit, steps):
    overload, now = Overload(limit), 0.0
    for waiting, passed in steps:
        now += passed
        overload.update(waiting, now)
        assert 1 <= overload.stretch <= limit


def test_the_hop_is_shortened_only_after_it_kept_up_for_a_while():
    overload = Overload(10)
    overload.update(LATE_S + 1.0, 0.0)
    overload.update(CAUGHT_UP_S / 2, 100.0)
    assert not overload.update(CAUGHT_UP_S / 2, 100.0 + FIRST_PATIENCE_S - 0.1)
    assert overload.update(CAUGHT_UP_S / 2, 100.0 + 20 * FIRST_PATIENCE_S)
