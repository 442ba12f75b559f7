"""k-means: finds what is there, and the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge_asd.score.kmeans import kmeans, squared_distances


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(5))
def test_separated_clusters_are_recovered(seed):
    truth = 10 * np.eye(5, 8, dtype=np.float32)
    points = np.repeat(truth, 40, axis=0) + rng(seed).normal(size=(200, 8)).astype(np.float32) / 10
    centres = kmeans(points, 5, rng(seed))
    nearest = squared_distances(truth, centres).argmin(axis=1)
    assert sorted(nearest) == [0, 1, 2, 3, 4]
    assert_allclose(centres[nearest], truth, atol=0.1)


def test_the_same_seed_gives_the_same_centres():
    points = rng().normal(size=(200, 4)).astype(np.float32)
    assert_array_equal(kmeans(points, 7, rng(3)), kmeans(points, 7, rng(3)))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 5))
def test_the_number_of_clusters_is_clamped_to_the_distinct_points(distinct, k, copies):
    points = np.repeat(np.arange(distinct, dtype=np.float32)[:, None] * [1, 2], copies + 1, axis=0)
    centres = kmeans(points.astype(np.float32), k, rng())
    assert centres.shape == (min(k, distinct), 2)
    assert np.isfinite(centres).all()


def test_as_many_clusters_as_points_are_the_points():
    points = rng().normal(size=(9, 3)).astype(np.float32)
    centres = kmeans(points, 9, rng())
    assert_array_equal(np.sort(centres, axis=0), np.sort(points, axis=0))


def test_one_cluster_is_the_mean_and_the_points_are_not_touched():
    points = rng().normal(size=(50, 3)).astype(np.float32)
    kept = points.copy()
    assert_allclose(kmeans(points, 1, rng())[0], kept.mean(axis=0), atol=1e-6)
    assert_array_equal(points, kept)


def test_every_centre_is_the_mean_of_its_points():
    points = rng().normal(size=(300, 2)).astype(np.float32)
    centres = kmeans(points, 6, rng())
    nearest = squared_distances(points, centres).argmin(axis=1)
    for index in range(6):
        assert_allclose(centres[index], points[nearest == index].mean(axis=0), atol=1e-5)


def test_squared_distances_are_those_of_the_definition():
    x, y = rng(1).normal(size=(6, 4)), rng(2).normal(size=(5, 4))
    expected = ((x[:, None] - y[None]) ** 2).sum(axis=-1)
    assert_allclose(squared_distances(x.astype("f4"), y.astype("f4")), expected, rtol=1e-5)


def test_points_far_from_the_origin_keep_their_distances():
    # features in decibels lie near -60 in hundreds of dimensions: what is close must stay so
    x = -60 + rng(1).normal(size=(20, 256)).astype(np.float32) / 10
    y = -60 + rng(2).normal(size=(30, 256)).astype(np.float32) / 10
    expected = ((x[:, None].astype("f8") - y[None]) ** 2).sum(axis=-1)
    assert_allclose(squared_distances(x, y), expected, rtol=1e-4)
    assert squared_distances(x, x).diagonal().max() < 1e-4
