"""Where a level is reached, against the statistic itself."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.decide import Rules
from edge_asd.preview.reached import Reached
from edge_asd.score.calibrate import Persistence, decision_statistic

HOP_S = 0.992


def statistics(at_s, scores, hops, resets, rules):
    """k-th largest of what counts at every window; None where there are fewer than k."""
    recent, found = deque(maxlen=rules.persistence.n), []
    for index, (now_s, score, count) in enumerate(zip(at_s, scores, hops, strict=True)):
        if index in resets:
            recent.clear()
        recent.extend((now_s - back * HOP_S, score) for back in range(count - 1, -1, -1))
        within_s = (rules.persistence.n - 0.5) * HOP_S
        counting = sorted((s for t, s in recent if t >= now_s - within_s), reverse=True)
        k = rules.persistence.k
        found.append(float(counting[k - 1]) if len(counting) >= k else None)
    return found


WINDOWS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5]),  # score
        st.sampled_from([1, 1, 1, 2, 3]),  # hops
        st.sampled_from([0.0, 0.0, 0.0, 0.7, 5.3, 40.0]),  # lost before it, seconds
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(
    WINDOWS,
    st.integers(1, 6),
    st.integers(0, 6),
    st.lists(st.integers(0, 60), max_size=3),
    st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
def test_a_level_is_reached_where_the_statistic_is_at_or_above_it(windows, k, more, resets, part):
    scores = np.asarray([score for score, _, _ in windows], np.float32)
    hops = np.asarray([hops for _, hops, _ in windows], np.int32)
    at_s = np.cumsum([count * HOP_S + lost_s for _, count, lost_s in windows])
    rules = Rules(Persistence(k, k + more), HOP_S, 1.0, 1.0, 1.0)
    expected = statistics(at_s.tolist(), scores, hops.tolist(), resets, rules)
    reached = Reached(at_s, scores, hops, resets, rules)
    windows = slice(min(part), max(part))
    for level in (-1.0, 0.5, 0.7, 3.5, 9.0):
        wanted = [value is not None and value >= level for value in expected[windows]]
        assert reached.level(level, windows).tolist() == wanted
    there = [value for value in expected[windows] if value is not None]
    assert reached.peak(windows) == max(there, default=float("-inf"))


def test_it_is_the_statistic_that_was_calibrated():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=500).astype(np.float32)
    persistence = Persistence.from_seconds(14.0, 20.0, HOP_S)
    rules = Rules(persistence, HOP_S, 1.0, 1.0, 1.0)
    reached = Reached(HOP_S * np.arange(500), scores, np.ones(500, np.int32), [], rules)
    statistic = decision_statistic(scores, persistence)
    for level in np.quantile(statistic, [0.1, 0.5, 0.999]):
        found = reached.level(float(level), slice(0, 500))[persistence.k - 1 :]
        np.testing.assert_array_equal(found, statistic >= level)


@pytest.mark.parametrize("level", [0.1, 1.0 / 3.0, 2.0 + 1e-9, -0.7])
def test_a_level_between_two_floats_is_compared_in_double_precision(level):
    scores = np.asarray([np.float32(level)], np.float32)
    neighbours = np.asarray(
        [np.nextafter(scores[0], np.float32(-9)), scores[0], np.nextafter(scores[0], np.float32(9))]
    )
    rules = Rules(Persistence(1, 1), HOP_S, 1.0, 1.0, 1.0)
    reached = Reached(HOP_S * np.arange(3), neighbours, np.ones(3, np.int32), [], rules)
    wanted = [float(score) >= level for score in neighbours]
    assert reached.level(level, slice(0, 3)).tolist() == wanted
