"""References: few enough, more where few are known, and none outside what is normal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge_asd.score.cosine import unit
from edge_asd.score.references import (
    MAX_REFERENCES,
    MEMMIXUP_ALPHA,
    class_means,
    evenly,
    local_spacing,
    memmixup,
    smote,
    summarised,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def points(n, seed=0, size=8):
    return unit(rng(seed).normal(size=(n, size)).astype(np.float32))


def on_circle(*degrees):
    angle = np.radians(np.asarray(degrees, np.float64))
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)


def cosine_distance(degrees):
    return 1.0 - np.cos(np.radians(degrees))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 500), st.integers(1, 60))
def test_even_indices_are_distinct_and_evenly_spread(count, at_most):
    chosen = evenly(count, at_most)
    assert len(chosen) == min(count, at_most)
    if len(chosen) > 1:
        steps = np.diff(chosen)
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1


def test_as_many_points_as_fit_are_kept_as_they_are():
    kept = points(MAX_REFERENCES)
    assert_array_equal(summarised(kept, rng()), kept)


def test_more_points_than_fit_are_covered_by_their_summary():
    many = points(3 * MAX_REFERENCES, size=3)
    summary = summarised(many, rng())
    assert summary.shape == (MAX_REFERENCES, 3)
    assert_allclose(np.linalg.norm(summary, axis=1), 1.0, rtol=1e-5)
    assert (1.0 - many @ summary.T).min(axis=1).max() < 0.01


def test_a_class_mean_is_the_direction_of_its_points():
    means = class_means(on_circle(0, 20, 90), np.asarray(["b", "b", "a"]))
    assert_allclose(means, on_circle(90, 10), atol=1e-6)


# SMOTE


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 60), st.integers(0, 100))
def test_synthetic_targets_lie_between_two_near_targets(count, wanted, seed):
    targets = points(count, seed)
    made = smote(targets, wanted, rng(seed))
    assert made.shape == (max(count, wanted), 8)
    assert_array_equal(made[:count], targets)
    assert_allclose(np.linalg.norm(made, axis=1), 1.0, rtol=1e-5)
    distances = 1.0 - targets.astype("f8") @ targets.T
    np.fill_diagonal(distances, np.inf)
    neighbours = distances.argsort(axis=1)[:, :2]
    pairs = {(first, int(second)) for first in range(count) for second in neighbours[first]}
    for point in made[count:]:
        # in the plane of the two, between them: a sum with weights that are not negative
        fits = [
            np.linalg.lstsq(targets[[a, b]].T.astype("f8"), point.astype("f8"), rcond=None)[0]
            for a, b in pairs
        ]
        residuals = [
            np.linalg.norm(weights @ targets[[a, b]] - point) if weights.min() > -1e-5 else np.inf
            for weights, (a, b) in zip(fits, pairs, strict=True)
        ]
        assert min(residuals) < 1e-5


def test_a_lone_target_cannot_be_oversampled():
    assert_array_equal(smote(points(1), 50, rng()), points(1))


def test_synthetic_targets_are_bounded_and_repeatable():
    made = smote(points(5), 10 * MAX_REFERENCES, rng(3))
    assert len(made) == MAX_REFERENCES
    assert_array_equal(made, smote(points(5), 10 * MAX_REFERENCES, rng(3)))


# MemMixup


def test_a_mixture_is_mostly_target_and_its_nearest_sources_come_first():
    targets, source = on_circle(0, 180), on_circle(10, 100)
    mixed = memmixup(targets, source)
    alpha, beta = MEMMIXUP_ALPHA, 1 - MEMMIXUP_ALPHA
    expected = [
        alpha * targets[0] + beta * source[0],
        alpha * targets[0] + beta * source[1],
        alpha * targets[1] + beta * source[1],
        alpha * targets[1] + beta * source[0],
    ]
    assert_array_equal(mixed[:2], targets)
    assert_allclose(mixed[2:], unit(np.asarray(expected, np.float32)), atol=1e-6)


@pytest.mark.parametrize(("targets", "each"), [(10, 101), (64, 15), (MAX_REFERENCES, 0)])
def test_mixtures_are_bounded(targets, each):
    assert len(memmixup(points(targets), points(990, 1))) == targets * (1 + each)


# Local spacing


def test_spacing_is_the_mean_distance_to_the_nearest_others():
    spacing = local_spacing(on_circle(0, 10, 30, 70), 4, 2)
    expected = [
        (cosine_distance(10) + cosine_distance(30)) / 2,
        (cosine_distance(10) + cosine_distance(20)) / 2,
        (cosine_distance(20) + cosine_distance(30)) / 2,
        (cosine_distance(40) + cosine_distance(60)) / 2,
    ]
    assert_allclose(spacing, expected, rtol=1e-4)


def test_few_targets_have_no_more_neighbours_than_there_are_other_targets():
    spacing = local_spacing(on_circle(0, 1, 2, 3, 4, 90, 95), 5, 4)
    assert_allclose(spacing[-2:], cosine_distance(5), rtol=1e-3)


def test_a_target_within_the_source_is_as_dense_as_the_source_there():
    spacing = local_spacing(on_circle(0, 10, 20, 30, 40, 25, 60), 5, 4)
    assert spacing[5] == pytest.approx(cosine_distance(5), rel=1e-3)


def test_a_lone_target_takes_the_spacing_of_the_source():
    spacing = local_spacing(on_circle(0, 10, 20, 30, 90), 4, 2)
    assert spacing[-1] == pytest.approx(float(np.median(spacing[:4])))


@pytest.mark.parametrize(("references", "sources"), [(1, 1), (2, 1)])
def test_nothing_has_no_density(references, sources):
    assert_array_equal(local_spacing(points(references), sources, 4), 1.0)


@pytest.mark.parametrize("sources", [9, 12])
def test_duplicates_are_at_most_ten_times_as_dense_as_the_mean(sources):
    references = np.concatenate([on_circle(*[0] * 9), on_circle(40, 80, 120)])
    spacing = local_spacing(references[:sources], sources, 4)
    assert spacing.min() >= 0.05 * spacing.mean()
    assert spacing.min() > 0


def test_targets_that_are_all_alike_take_the_spacing_of_the_source():
    spacing = local_spacing(on_circle(0, 10, 20, 30, 90, 90, 90), 4, 2)
    assert_array_equal(spacing[4:], np.median(spacing[:4]))
