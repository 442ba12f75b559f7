"""How late windows are judged follows from when they fall due and how long they take."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.batching import Due
from edge_asd.bench.capacity import real_time, search
from edge_asd.bench.lateness import (
    due_times,
    expected,
    judged_times,
    load_point,
    most,
    phases,
)
from edge_asd.bench.result import LoadPoint, Quantiles

TIMES = st.lists(
    st.tuples(st.floats(0.0, 10.0), st.floats(0.001, 1.0)), min_size=1, max_size=60
).map(lambda rows: (np.cumsum([gap for gap, _ in rows]), np.asarray([took for _, took in rows])))


@given(TIMES)
def test_a_window_is_judged_when_it_is_due_and_the_one_before_it_is_done(times):
    due, service = times
    judged = judged_times(due, service)
    free = -np.inf
    for at, took, got in zip(due, service, judged, strict=True):
        free = max(at, free) + took
        np.testing.assert_allclose(got, free, rtol=1e-9, atol=1e-9)


@given(st.integers(1, 40), st.floats(0.1, 5.0), st.integers(1, 8))
def test_every_machine_hands_over_one_window_a_hop(monitors, hop_s, hops):
    phase_s = phases(monitors, hop_s)
    due, whose = due_times(phase_s, hop_s, hops)
    assert len(due) == monitors * hops
    assert (np.diff(due) >= 0).all()
    for number in range(monitors):
        mine = due[whose == number]
        np.testing.assert_allclose(mine, phase_s[number] + hop_s * np.arange(hops))


class Clock:
    """Time that only passes where somebody sleeps or works."""

    def __init__(self):
        self.now_s = 5.0

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


class Machine:
    """A stream whose windows take a known time."""

    def __init__(self, clock, took_s):
        self._clock, self._took_s = clock, took_s

    def steps(self):
        self._clock.sleep(self._took_s)
        return
        yield


@given(st.integers(1, 20), st.floats(0.001, 0.3), st.integers(2, 6))
def test_a_run_in_real_time_is_what_the_arithmetic_expects(monitors, took_s, hops):
    clock = Clock()
    machines = [Machine(clock, took_s) for _ in range(monitors)]
    run = real_time(machines, 1.0, hops, 1, clock=clock, sleep=clock.sleep)
    wanted = expected(monitors, 1.0, np.asarray([took_s]), hops)
    assert run.lateness_ms.count == monitors * hops
    for name in ("p50", "p99", "worst"):
        got, want = (getattr(one.lateness_ms, name) for one in (run, wanted))
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(run.busy, took_s * monitors)


def test_windows_that_fall_due_while_others_are_judged_share_a_batch():
    clock, sizes = Clock(), []

    class Networks:
        batch = 4

        def embed(self, features):
            sizes.append(len(features["x"]))
            clock.sleep(0.3)  # however many
            return {"net": features["x"]}

    networks = Networks()

    class Stream:
        def steps(self):
            return (yield Due(networks, {"x": np.zeros((1, 1, 1), np.float32)}))

    run = real_time([Stream() for _ in range(8)], 1.0, 4, 4, clock=clock, sleep=clock.sleep)
    assert sum(sizes) == 32
    assert max(sizes) == 4
    assert sizes[0] == 1  # who comes first waits for nobody
    np.testing.assert_allclose(run.busy, 0.3 * len(sizes) / 4)


@given(st.floats(0.001, 0.2), st.integers(1, 60))
def test_more_monitors_than_fit_are_never_sustained(took_s, monitors):
    point = expected(monitors, 1.0, np.asarray([took_s]), 10)
    if monitors * took_s >= 1.0:
        assert not point.sustained
    if point.sustained:
        assert point.lateness_ms.p99 < 500.0


def test_lateness_of_half_a_hop_is_too_much():
    service = np.full(100, 0.001)
    on_time = load_point(2, 1.0, np.full(100, 0.49), service)
    late = load_point(2, 1.0, np.full(100, 0.51), service)
    assert (on_time.sustained, late.sustained) == (True, False)


@given(st.integers(0, 200), st.integers(1, 100))
def test_the_most_that_is_sustained_is_found(limit, highest):
    assert most(lambda n: n <= limit, highest) == min(limit, highest)


@given(st.integers(1, 400), st.integers(1, 500))
def test_the_search_closes_in_on_the_limit_from_either_side(true_limit, guess):
    ran = []

    def run(monitors):
        ran.append(monitors)
        quantiles = Quantiles.of_seconds([0.001])
        return LoadPoint(monitors, quantiles, monitors / true_limit, monitors < true_limit)

    search(run, guess, 512)
    assert len(ran) <= 5
    assert all(1 <= n <= 512 for n in ran)
    assert len(set(ran)) == len(ran)
    if 0.3 * true_limit <= guess <= 3.0 * true_limit and true_limit >= 20:
        sustained = [n for n in ran if n < true_limit]
        assert max(sustained) >= 0.9 * true_limit - 1
        assert [n for n in ran if n >= true_limit]  # one step beyond is shown, too
