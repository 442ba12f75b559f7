"""Banks of references: what holds for every variant, and small examples by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge_asd.bundle.manifest import BankScorer as Options
from edge_asd.errors import ScorerError
from edge_asd.score import BankScorer, CentreScorer
from edge_asd.score.banks import MAX_STRETCH, MIN_TARGETS
from edge_asd.score.references import MAX_REFERENCES

EVERY = [
    {"references": references, "density": density, "targets": targets, "standardise_domains": both}
    for references, density, targets, both in itertools.product(
        ("all", "centres", "means"),
        ("none", "ratio", "difference"),
        ("keep", "smote", "memmixup"),
        (False, True),
    )
]
UNBIASED = [o for o in EVERY if o["density"] != "difference" and not o["standardise_domains"]]


def rng(seed=0):
    return np.random.default_rng(seed)


def embeddings(n, seed=0, segments=1, size=8, spread=0.3):
    """Around one direction, so that there is something to be far from."""
    z = spread * rng(seed).normal(size=(n, segments, size))
    z[..., 0] += 1.0
    return z.astype(np.float32)


def targets_of(n, seed=5, segments=1):
    """Around another direction."""
    return np.roll(embeddings(n, seed, segments), 1, axis=-1)


def fit(source, target=None, labels=None, **options):
    spec = Options(id="banks", network="tiny", **options)
    return BankScorer.fit(spec, source, target, labels, rng())


def on_circle(*degrees):
    """Unit vectors in a plane, (n, 1, 2)."""
    angle = np.radians(np.asarray(degrees, np.float64))
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)[:, None].astype(np.float32)


def cosine_distance(degrees):
    return 1.0 - np.cos(np.radians(degrees))


# What holds for every variant


@pytest.mark.parametrize("options", EVERY)
def test_the_length_of_an_embedding_does_not_matter(options):
    source, target, z = embeddings(40), targets_of(6), embeddings(20, 3)
    scorer = fit(source, target, **options)
    lengths = rng(7).uniform(1e-2, 1e2, size=(66, 1, 1)).astype(np.float32)
    same = fit(source * lengths[:40], target * lengths[40:46], **options)
    # rounding may move a k-means start, a duplicate's density not
    assert_allclose(same.score(z), scorer.score(z), rtol=1e-3, atol=1e-4)
    assert_allclose(scorer.score(z * lengths[46:]), scorer.score(z), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", EVERY)
def test_scores_do_not_depend_on_what_they_are_computed_together_with(options):
    z = embeddings(150, 3, segments=2)
    scorer = fit(embeddings(60, 0, 2), targets_of(6, segments=2), **options)
    alone = np.concatenate([scorer.score(z[i : i + 1]) for i in range(len(z))])
    together = scorer.score(z)
    assert_allclose(alone, together, rtol=1e-6, atol=1e-7)
    assert together.dtype == np.float32
    assert [scorer.nearest(z[i : i + 1])[0] for i in range(len(z))] == scorer.nearest(z)


@pytest.mark.parametrize("options", EVERY)
def test_the_state_gives_identical_scores_back(options):
    scorer = fit(embeddings(40), targets_of(6), **options, neighbours=2)
    restored = BankScorer.from_state(scorer.state())
    z = embeddings(20, 3)
    assert_array_equal(restored.score(z), scorer.score(z))
    assert restored.nearest(z) == scorer.nearest(z)


@pytest.mark.parametrize("options", EVERY)
def test_duplicates_do_not_divide_by_zero(options):
    one, other = embeddings(1), targets_of(1)
    scorer = fit(np.repeat(one, 20, axis=0), np.repeat(other, 6, axis=0), **options)
    scores = scorer.score(np.concatenate([one, other, -one]))
    assert np.isfinite(scores).all()
    assert scores[:2].max() < scores[2]


@pytest.mark.parametrize("options", UNBIASED)
def test_a_reference_scores_lowest(options):
    scorer = fit(embeddings(40), targets_of(6), **options)
    known = scorer.score(scorer.references[:, None])
    assert_allclose(known, 0.0, atol=1e-5)
    assert scorer.score(embeddings(50, 3)).min() > known.max()
    ends = [0, len(scorer.references) - 1]
    assert scorer.nearest(scorer.references[ends, None] * 5) == ends


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([o for o in EVERY if o["density"] == "none"]),
    st.integers(1, 12),
    st.integers(0, 1000),
)
def test_adding_targets_never_raises_the_score_of_a_target(options, count, seed):
    source, target = embeddings(40), targets_of(count, seed)
    without = fit(source, **options).score(target)
    assert (fit(source, target, **options).score(target) <= without + 1e-6).all()


@pytest.mark.parametrize("options", UNBIASED)
def test_a_target_is_as_normal_as_can_be_once_it_is_known(options):
    scorer = fit(embeddings(40), targets_of(6), **options)
    assert_allclose(scorer.score(targets_of(6)), 0.0, atol=1e-5)


@pytest.mark.parametrize("options", [o for o in EVERY if o["density"] == "none"])
def test_without_targets_what_is_done_to_targets_makes_no_difference(options):
    source, z = embeddings(40), embeddings(20, 3)
    plain = fit(source, references=options["references"])
    assert_array_equal(fit(source, **options).score(z), plain.score(z))
    assert_array_equal(fit(source, source[:0], **options).score(z), plain.score(z))


@pytest.mark.parametrize("segments", [1, 3])
def test_centres_in_a_bank_are_those_of_the_published_scorer(segments):
    source, target = embeddings(60, 0, segments), targets_of(5, segments=segments)
    published = CentreScorer.fit(source, target, 4, rng())
    scorer = fit(source, target, references="centres", clusters=4)
    z = embeddings(30, 3, segments)
    assert_array_equal(scorer.references, published.references)
    assert_allclose(scorer.score(z), published.score(z), atol=1e-6)
    assert scorer.nearest(z) == published.nearest(z)


# Nearest neighbours


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(0, 6), st.integers(1, 8), st.integers(1, 3))
def test_scores_are_mean_distances_to_the_nearest_of_the_nearer_bank(n, m, k, segments):
    source, target = embeddings(n, 1, segments), targets_of(m, segments=segments)
    z = embeddings(12, 3, segments)
    scores = fit(source, target, neighbours=k).score(z)

    def mean_of_nearest(bank):
        x, y = (a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (z.astype("f8"), bank))
        distances = np.sort(1 - np.einsum("bsd,nd->bsn", x, y.reshape(-1, 8)), axis=-1)
        return distances[..., : min(k, distances.shape[-1])].mean(axis=-1)

    expected = mean_of_nearest(source)
    if m:
        expected = np.minimum(expected, mean_of_nearest(target))
    assert_allclose(scores, expected.mean(axis=-1), atol=1e-6)


def test_two_neighbours_of_a_bank_are_averaged_and_banks_are_not_mixed():
    scorer = fit(on_circle(0, 40), on_circle(90), neighbours=2)
    # at 60 degrees: the source's two are 60 and 20 away, the only target 30
    expected = min((cosine_distance(60) + cosine_distance(20)) / 2, cosine_distance(30))
    assert scorer.score(on_circle(60))[0] == pytest.approx(expected, abs=1e-6)
    assert scorer.score(on_circle(10))[0] == pytest.approx(
        (cosine_distance(10) + cosine_distance(30)) / 2, abs=1e-6
    )


# Class means


def test_the_means_of_the_classes_are_the_references():
    source = np.concatenate([on_circle(0, 20), on_circle(80, 100, 120)])
    target = on_circle(200, 220, 260)
    labels = ["slow", "slow", "fast", "fast", "fast", "cold", "cold", "hot"]
    scorer = fit(source, target, labels, references="means")
    assert_allclose(np.linalg.norm(scorer.references, axis=1), 1.0, rtol=1e-6)
    assert scorer.sources == 2
    scores = scorer.score(on_circle(10, 100, 210, 260, 55))
    assert_allclose(scores, [0, 0, 0, 0, cosine_distance(45)], atol=1e-6)


def test_without_labels_the_source_has_one_mean_and_every_target_is_kept():
    scorer = fit(on_circle(0, 40), on_circle(200, 240), references="means")
    assert_allclose(scorer.references, on_circle(20, 200, 240)[:, 0], atol=1e-6)


def test_the_segments_of_a_window_share_its_label():
    z = np.stack([on_circle(0, 40)[:, 0], on_circle(90, 110)[:, 0]])  # (2, 2, 2)
    scorer = fit(z, None, ["a", "b"], references="means")
    assert_allclose(scorer.references, on_circle(20, 100)[:, 0], atol=1e-6)


# Local density


def test_a_distance_is_divided_by_the_spacing_of_its_reference():
    # dense at 0, sparse at 90: halfway between is nearer to the sparse ones
    source = on_circle(0, 10, 20, 90, 120, 150)
    dense, sparse = cosine_distance(10), cosine_distance(30)
    ratio = fit(source, density="ratio", density_neighbours=1)
    assert ratio.score(on_circle(-5))[0] == pytest.approx(cosine_distance(5) / dense, rel=1e-3)
    assert ratio.score(on_circle(50))[0] == pytest.approx(cosine_distance(40) / sparse, rel=1e-3)
    assert ratio.nearest(on_circle(50)) == [3]
    assert fit(source).nearest(on_circle(50)) == [2]
    difference = fit(source, density="difference", density_neighbours=1)
    assert difference.score(on_circle(160))[0] == pytest.approx(
        cosine_distance(10) - sparse, rel=1e-3
    )


@pytest.mark.parametrize("density", ["ratio", "difference"])
@pytest.mark.parametrize("density_neighbours", [1, 2, 4, 16])
def test_uniform_density_ranks_as_nearest_neighbours_do(density, density_neighbours):
    source = on_circle(*range(0, 360, 30))
    z = on_circle(*rng().uniform(0, 360, 60))
    plain = fit(source).score(z)
    scores = fit(source, density=density, density_neighbours=density_neighbours).score(z)
    slope, offset = np.polyfit(plain.astype("f8"), scores.astype("f8"), 1)
    assert slope > 0
    assert_allclose(scores, slope * plain + offset, atol=1e-4 * slope)


def test_normal_sound_of_a_sparse_domain_scores_like_that_of_a_dense_one():
    # targets are few and far apart: normal sound is as far from them as they from one another
    tight, loose = embeddings(300, 1, spread=0.05), np.roll(embeddings(110, 2, spread=0.2), 1, -1)
    source, target, kept = tight[:200], loose[:10], loose[10:]
    normal = np.concatenate([tight[200:], kept])
    labels = np.arange(len(normal)) >= 100

    def spread_of_medians(**options):
        scores = fit(source, target, **options).score(normal)
        return np.median(scores[labels]) / np.median(scores[~labels])

    assert spread_of_medians() > 8
    assert 0.5 < spread_of_medians(density="ratio") < 2
    assert 1 / 3 < spread_of_medians(standardise_domains=True) < 3


# Standardised domains


def test_targets_are_brought_to_the_mean_and_spread_of_the_source():
    plain = fit(embeddings(40), targets_of(6))
    near, far = rng(1).normal(3, 2, 500), rng(2).normal(7, 4, 500)
    scorer = plain.standardised(near, far)
    z = embeddings(20, 3)
    before, after = plain.bank_scores(z)[:, 0], scorer.bank_scores(z)[:, 0]
    assert_array_equal(after[:, 0], before[:, 0])
    standardised = (before[:, 1] - far.mean()) / far.std()
    assert_allclose((after[:, 1] - near.mean()) / near.std(), standardised, atol=1e-5)
    assert plain.gains.max() == 1.0


def test_domains_of_very_different_spread_are_not_stretched_without_bound():
    plain = fit(embeddings(40), targets_of(6))
    source = rng().normal(size=50)
    alike = plain.standardised(source, np.full(50, 0.3))
    assert alike.gains[-1] == pytest.approx(MAX_STRETCH)
    assert plain.standardised(np.zeros(50), source).gains[-1] == pytest.approx(1 / MAX_STRETCH)


def test_held_out_distances_standardise_and_what_is_scored_does_not():
    # ten targets exactly alike the source in spread need no stretching on average
    rates = []
    for seed in range(20):
        scorer = fit(embeddings(400, seed), targets_of(400, seed + 100), standardise_domains=True)
        rates.append(scorer.gains[-1])
    assert np.mean(rates) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("count", range(1, MIN_TARGETS))
def test_too_few_targets_are_left_as_they_are(count):
    source, target, z = embeddings(40), targets_of(count), targets_of(20, 9)
    assert_array_equal(
        fit(source, target, standardise_domains=True).score(z), fit(source, target).score(z)
    )


# Limits


@pytest.mark.parametrize("options", [{}, {"density": "ratio"}, {"targets": "memmixup"}])
def test_many_windows_are_summarised(options):
    source, target = embeddings(MAX_REFERENCES + 50), targets_of(MAX_REFERENCES // 2 + 50)
    scorer = fit(source, target, **options)
    assert scorer.sources == MAX_REFERENCES
    assert len(scorer.references) <= 2 * MAX_REFERENCES
    z = embeddings(50, 3, spread=0.1)
    assert np.median(scorer.score(z)) < scorer.score(-z).min()


def test_what_cannot_be_learned_or_compared_is_a_scorer_error():
    with pytest.raises(ScorerError, match="no normal windows"):
        fit(embeddings(0))
    with pytest.raises(ScorerError, match="3 labels for 5 windows"):
        fit(embeddings(3), targets_of(2), ["a"] * 3)
    with pytest.raises(ScorerError, match="9 values, the references 8"):
        fit(embeddings(4)).score(embeddings(2, size=9))
    state = fit(embeddings(4)).state()
    with pytest.raises(ScorerError, match="references of shape"):
        BankScorer.from_state({**state, "references": np.empty((0, 8), np.float32)})
    with pytest.raises(ScorerError, match="differ in number"):
        BankScorer.from_state({**state, "gains": np.ones(3, np.float32)})
    with pytest.raises(KeyError, match="biases"):
        BankScorer.from_state({name: a for name, a in state.items() if name != "biases"})
