"""Distance to the nearest enrolled level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge_asd.errors import ScorerError
from edge_asd.score import LevelScorer

LEVELS = st.lists(st.floats(-90, 0, width=32), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(LEVELS, LEVELS)
def test_scores_are_decibels_to_the_nearest_level(known, heard):
    known, heard = np.asarray(known, np.float32), np.asarray(heard, np.float32)
    scorer = LevelScorer.fit(known, None)
    distances = np.abs(heard[:, None] - known[None])
    assert_allclose(scorer.score(heard), distances.min(axis=1), atol=1e-5)
    nearest = scorer.levels_dbfs[scorer.nearest(heard)]
    assert_allclose(np.abs(nearest - heard), distances.min(axis=1), atol=1e-5)


def test_a_machine_with_two_levels_is_normal_at_both_and_not_between():
    scorer = LevelScorer.fit(np.asarray([-40, -20, -40.5, -20.5], np.float32), None)
    scores = scorer.score(np.asarray([-40.2, -20.2, -30, -10], np.float32))
    assert_allclose(scores, [0.2, 0.2, 9.5, 10], atol=1e-4)


def test_confirmed_levels_are_normal_too():
    scorer = LevelScorer.fit(np.asarray([-40], np.float32), np.asarray([-20], np.float32))
    assert scorer.score(np.asarray([-20], np.float32))[0] == 0.0


def test_the_state_gives_the_same_scorer_back():
    scorer = LevelScorer.fit(np.asarray([-3, -9, -6], np.float32), None)
    heard = np.linspace(-20, 0, 30, dtype=np.float32)
    assert_array_equal(LevelScorer.from_state(scorer.state()).score(heard), scorer.score(heard))


@pytest.mark.parametrize("shape", [(0,), (2, 2)])
def test_levels_that_are_none_are_refused(shape):
    with pytest.raises(ScorerError, match="levels of shape"):
        LevelScorer(np.zeros(shape, np.float32))
