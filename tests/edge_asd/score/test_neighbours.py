"""Nearest neighbours on a feature."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from edge_asd.errors import ScorerError
from edge_asd.score import NeighbourScorer
from edge_asd.score.kmeans import squared_distances
from edge_asd.score.neighbours import MAX_REFERENCES


def points(n, seed=0, size=6):
    return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("neighbours", [1, 3, 40, 100])
def test_scores_are_mean_distances_to_the_nearest_windows(neighbours):
    known, x = points(40), points(15, 1)
    scores = NeighbourScorer.fit(known, None, neighbours, rng()).score(x)
    distances = np.sqrt(((x[:, None] - known[None]) ** 2).sum(axis=-1))
    expected = np.sort(distances, axis=1)[:, : min(neighbours, 40)].mean(axis=1)
    assert_allclose(scores, expected, rtol=1e-4)
    assert scores.dtype == np.float32


def test_scores_do_not_depend_on_what_they_are_computed_together_with():
    # a live window comes alone, a file's windows together
    known, x = points(300, size=256) - 60, points(40, 1, size=256) - 60
    scorer = NeighbourScorer.fit(known, None, 1, rng())
    alone = np.concatenate([scorer.score(x[i : i + 1]) for i in range(len(x))])
    assert_allclose(alone, scorer.score(x), rtol=1e-6)


def test_distances_are_those_in_double_precision_to_the_last_bit():
    known, x = points(300, size=256) - 60, points(40, 1, size=256) - 60
    squared = squared_distances(x.astype(np.float64), known.astype(np.float64))
    expected = np.sqrt(squared).min(axis=1).astype(np.float32)
    assert_array_equal(NeighbourScorer.fit(known, None, 1, rng()).score(x), expected)


def test_a_window_that_was_enrolled_scores_zero():
    known = points(40, size=256) - 60
    assert NeighbourScorer.fit(known, None, 1, rng()).score(known).max() < 1e-2


def test_the_nearest_window_is_the_one_named():
    known = points(40)
    scorer = NeighbourScorer.fit(known, None, 1, rng())
    assert scorer.nearest(known[[7, 0, 39]] + 1e-3) == [7, 0, 39]


def test_many_windows_are_summarised_and_confirmed_ones_kept():
    source, target = points(MAX_REFERENCES + 200), points(5, 1) + 100
    scorer = NeighbourScorer.fit(source, target, 1, rng())
    assert len(scorer.references) == MAX_REFERENCES + 5
    assert_allclose(scorer.score(target), 0.0, atol=1e-2)


def test_the_state_gives_the_same_scorer_back():
    scorer, x = NeighbourScorer.fit(points(40), points(3, 1), 4, rng()), points(9, 2)
    restored = NeighbourScorer.from_state(scorer.state())
    assert restored.neighbours == 4
    assert_array_equal(restored.score(x), scorer.score(x))


def test_what_cannot_be_learned_or_compared_is_a_scorer_error():
    with pytest.raises(ScorerError, match="no normal windows"):
        NeighbourScorer.fit(points(0), None, 1, rng())
    with pytest.raises(ScorerError, match="references of shape"):
        NeighbourScorer(np.empty((0, 4), np.float32))
    with pytest.raises(ScorerError, match="7 values, the references 6"):
        NeighbourScorer(points(4)).score(points(2, size=7))
