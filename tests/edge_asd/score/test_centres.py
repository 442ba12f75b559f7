"""The FeatEx back end: cosine distance to centres and targets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge_asd.errors import ScorerError
from edge_asd.score import CentreScorer


def rng(seed=0):
    return np.random.default_rng(seed)


def embeddings(n, seed=0, segments=1, size=8):
    return rng(seed).normal(size=(n, segments, size)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(0, 5), st.integers(1, 20), st.integers(1, 3))
def test_scores_are_the_smallest_cosine_distance(source, target, clusters, segments):
    scorer = CentreScorer.fit(
        embeddings(source, 1, segments), embeddings(target, 2, segments), clusters, rng()
    )
    z = embeddings(12, 3, segments)
    scores = scorer.score(z)
    unit = z / np.linalg.norm(z, axis=-1, keepdims=True)
    cosine = np.einsum("bsd,kd->bsk", unit, scorer.references)
    assert_allclose(scores, (1 - cosine).min(axis=-1).mean(axis=-1), atol=1e-5)
    assert scores.dtype == np.float32
    assert scores.min() >= -1e-6
    assert scores.max() <= 2 + 1e-6


def test_centres_have_unit_length():
    scorer = CentreScorer.fit(5 * embeddings(200), embeddings(4, 1), 16, rng())
    assert_allclose(np.linalg.norm(scorer.references, axis=1), 1.0, rtol=1e-5)


def test_every_target_is_kept_and_scores_zero():
    target = embeddings(5, 1, segments=2)
    scorer = CentreScorer.fit(embeddings(100, 0, segments=2), target, 4, rng())
    assert scorer.references.shape == (4 + 10, 8)
    assert_allclose(scorer.score(target), 0.0, atol=1e-6)


def test_the_opposite_of_all_that_is_known_scores_two():
    z = embeddings(1)
    assert CentreScorer.fit(z, None, 16, rng()).score(-z)[0] == pytest.approx(2.0, abs=1e-6)


def test_more_clusters_than_windows_keep_every_window():
    z = embeddings(3)
    scorer = CentreScorer.fit(z, None, 16, rng())
    assert len(scorer.references) == 3
    assert_allclose(scorer.score(z), 0.0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 1e3))
def test_the_length_of_an_embedding_does_not_matter(scale):
    z = embeddings(10, 4)
    scorer = CentreScorer.fit(embeddings(60), None, 8, rng())
    same = CentreScorer.fit(np.float32(scale) * embeddings(60), None, 8, rng())
    assert_allclose(scorer.score(np.float32(scale) * z), scorer.score(z), atol=1e-5)
    assert_allclose(same.references, scorer.references, atol=1e-5)


def test_a_null_embedding_is_an_ordinary_distance():
    z = np.zeros((1, 1, 8), np.float32)
    assert CentreScorer.fit(embeddings(10), None, 2, rng()).score(z)[0] == pytest.approx(1.0)


def test_the_nearest_reference_is_the_one_named():
    scorer = CentreScorer(np.eye(8, dtype=np.float32))
    assert scorer.nearest(np.eye(8, dtype=np.float32)[[5, 2], None] * 3) == [5, 2]


def test_the_state_gives_the_same_scorer_back():
    scorer = CentreScorer.fit(embeddings(60), embeddings(3, 1), 8, rng())
    z = embeddings(10, 4)
    assert_array_equal(CentreScorer.from_state(scorer.state()).score(z), scorer.score(z))


def test_what_cannot_be_learned_or_compared_is_a_scorer_error():
    with pytest.raises(ScorerError, match="no normal windows"):
        CentreScorer.fit(embeddings(0), None, 4, rng())
    with pytest.raises(ScorerError, match="references of shape"):
        CentreScorer(np.empty((0, 4), np.float32))
    scorer = CentreScorer.fit(embeddings(10), None, 2, rng())
    for use in (scorer.score, scorer.nearest):
        with pytest.raises(ScorerError, match="9 values, the references 8"):
            use(embeddings(2, size=9))
