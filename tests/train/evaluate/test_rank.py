"""AUC, pAUC, precision, recall and F1 agree with scikit-learn and with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from edge_asd.errors import DataError
from edge_asd_train.evaluate.rank import Ranking, auc, detection, pauc

FLOOR = 0.5 * (1 - 0.1 / 1.9)


@st.composite
def ranked(draw):
    """Scores, often tied, with at least one clip of either class."""
    truth = [False, True, *draw(st.lists(st.booleans(), max_size=60))]
    values = st.integers(-5, 5) | st.floats(-1e6, 1e6)
    scores = draw(st.lists(values, min_size=len(truth), max_size=len(truth)))
    return np.asarray(scores, np.float64), np.asarray(truth)


@settings(max_examples=60, deadline=None)
@given(ranked())
def test_areas_are_those_of_scikit_learn(clips):
    scores, truth = clips
    assert_allclose(auc(scores, truth), roc_auc_score(truth, scores), atol=1e-12)
    assert_allclose(pauc(scores, truth), roc_auc_score(truth, scores, max_fpr=0.1), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(ranked(), st.floats(0.01, 0.99))
def test_partial_area_is_that_of_scikit_learn_at_any_rate(clips, rate):
    scores, truth = clips
    expected = roc_auc_score(truth, scores, max_fpr=rate)
    assert_allclose(pauc(scores, truth, max_fpr=rate), expected, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(ranked())
def test_auc_is_the_share_of_pairs_in_order(clips):
    scores, truth = clips
    gaps = scores[truth][:, None] - scores[~truth]
    assert auc(scores, truth) == pytest.approx(np.mean((gaps > 0) + 0.5 * (gaps == 0)), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(ranked(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(clips, random):
    scores, truth = clips
    order = list(range(len(scores)))
    random.shuffle(order)
    assert auc(scores[order], truth[order]) == auc(scores, truth)
    assert pauc(scores[order], truth[order]) == pytest.approx(pauc(scores, truth), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(ranked())
def test_only_the_ranks_of_scores_matter(clips):
    scores, truth = clips
    ranks = np.unique(scores, return_inverse=True)[1]
    for monotone in (ranks, np.exp(ranks / 10) - 7):
        assert auc(monotone, truth) == auc(scores, truth)
        assert pauc(monotone, truth) == pauc(scores, truth)


@settings(max_examples=60, deadline=None)
@given(ranked())
def test_negated_scores_have_the_complementary_area(clips):
    scores, truth = clips
    assert auc(-scores, truth) == pytest.approx(1 - auc(scores, truth), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(ranked(), st.integers(0, 2**32))
def test_a_weight_is_how_often_a_clip_counts(clips, seed):
    scores, truth = clips
    counts = np.random.default_rng(seed).integers(0, 4, size=(3, len(scores)))
    counts[:, :2] += 1  # one of either class
    ranking = Ranking(scores, truth)
    areas, partial = ranking.auc(counts * 1.0), ranking.pauc(counts * 1.0)
    for row, times in enumerate(counts):
        repeated = np.repeat(scores, times), np.repeat(truth, times)
        assert areas[row] == pytest.approx(auc(*repeated), abs=1e-12)
        assert partial[row] == pytest.approx(pauc(*repeated), abs=1e-12)


def test_constant_scores_are_chance():
    truth = np.arange(30) % 3 == 0
    assert auc(np.full(30, 0.5), truth) == 0.5
    assert pauc(np.full(30, 0.5), truth) == pytest.approx(0.5, abs=1e-15)


def test_perfect_and_reversed_rankings_reach_the_ends():
    truth = np.arange(40) < 15
    assert (auc(truth, truth), pauc(truth, truth)) == (1.0, 1.0)
    assert auc(~truth, truth) == 0.0
    assert pauc(~truth, truth) == pytest.approx(FLOOR, abs=1e-15)


def test_one_normal_clip_is_enough():
    # The curve is one step at the normal clip: two of three anomalies lie above it.
    scores, truth = [3.0, 1.0, 2.0, 4.0], [True, True, False, True]
    assert auc(scores, truth) == pytest.approx(2 / 3)
    assert pauc(scores, truth) == pytest.approx(0.5 * (1 + (0.1 * 2 / 3 - 0.005) / 0.095))


def test_the_curve_is_interpolated_at_the_rate():
    # Four normal clips: p = 0.1 lies inside a tie of one normal and two anomalous clips, on which
    # the curve rises from 0 to 1 over a rate of 1/4; the area to p is 0.1 * 0.4 / 2.
    scores, truth = [9, 9, 9, 1, 1, 1], [True, True, False, False, False, False]
    assert pauc(scores, truth) == pytest.approx(0.5 * (1 + (0.02 - 0.005) / 0.095), abs=1e-15)


@pytest.mark.parametrize("truth", [[True, True], [False, False], []])
def test_a_curve_of_one_class_is_refused(truth):
    with pytest.raises(DataError, match="normal and anomalous"):
        auc(np.zeros(len(truth)), truth)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_detection_is_that_of_scikit_learn(pairs):
    called, truth = map(list, zip(*pairs, strict=True))
    expected = precision_recall_fscore_support(truth, called, average="binary", zero_division=0)
    assert_allclose(detection(called, truth), expected[:3], atol=1e-15)


def test_ratios_without_a_denominator_are_zero():
    assert detection([False, False], [False, False]) == (0.0, 0.0, 0.0)
    assert detection([False, False], [True, False]) == (0.0, 0.0, 0.0)
    assert detection([True, False], [False, False]) == (0.0, 0.0, 0.0)
