"""Training clips are scored as if they were new, and the detector learns all of them."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.tiny import tiny_fields

from edge_asd.bundle.manifest import Manifest
from edge_asd.errors import ScorerError
from edge_asd.score import SCORERS, Detector, Views, cross_fit, fit_held_out, named_scorers
from edge_asd.score.views import concatenate

PAIRS = ["+".join(pair) for pair in itertools.combinations(SCORERS, 2)]


def views(n, seed=0, axis=0):
    """Windows of one state of a machine: every state has its own direction and loudness."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 1, 16)) / 10
    z[..., axis] += 1
    return Views(
        {"tiny": z.astype(np.float32)},
        {"log_mel": (rng.normal(size=(n, 20)) - 50 + 6 * axis).astype(np.float32)},
        (rng.normal(size=n) / 10 - 26 + 6 * axis).astype(np.float32),
    )


def fitted(names="knn", source=40, target=5, fusion="mean", **more):
    return fit_held_out(
        named_scorers(names, "tiny"), fusion, views(source), views(target, 1, axis=1), **more
    )


@pytest.mark.parametrize("names", [*SCORERS, *PAIRS])
@pytest.mark.parametrize("fusion", ["mean", "max"])
def test_any_scorer_and_any_two_score_clips_they_did_not_see(names, fusion):
    detector, held_out = fitted(names, fusion=fusion)
    assert held_out.shape == (45,)
    assert held_out.dtype == np.float32
    assert np.isfinite(held_out).all()
    strange = detector.score(views(20, 2, axis=3)).scores
    assert strange.min() > held_out[:40].max()


@pytest.mark.parametrize("names", PAIRS)
def test_any_two_are_restored_exactly(names):
    detector, _ = fitted(names)
    fields = {**tiny_fields(), "scorers": detector.specs, "fusion": "mean"}
    manifest = Manifest.model_validate({"schema": 1, "files": {}, **fields})
    restored = Detector.from_state(manifest, detector.state(), detector.standards)
    heard = views(15, 3)
    assert_array_equal(restored.score(heard).scores, detector.score(heard).scores)
    assert restored.score(heard).nearest == detector.score(heard).nearest


@pytest.mark.parametrize("names", SCORERS)
def test_every_target_is_scored_without_itself(names):
    source, target, lonely = views(40), views(3, 1, axis=1), views(1, 2, axis=4)
    for z, x in (
        (target.embeddings["tiny"], lonely.embeddings["tiny"]),
        (target.features["log_mel"], lonely.features["log_mel"]),
        (target.levels_dbfs, lonely.levels_dbfs),
    ):
        z[1] = x[0]
    detector, held_out = fit_held_out(named_scorers(names, "tiny"), "mean", source, target)
    assert held_out.argmax() == 41
    assert held_out[41] > detector.score(target).scores[1] + 1


def test_targets_are_scored_by_the_other_targets():
    _, held_out = fitted("knn+log_mel", target=8)
    _, alone = fitted("knn+log_mel", target=1)
    assert held_out[40:].max() < alone[40] / 2


@pytest.mark.parametrize("names", ["published", "knn", "log_mel"])
def test_held_out_scores_are_standardised(names):
    _, held_out = fitted(names)
    assert held_out.mean() == pytest.approx(0.0, abs=1e-4)
    assert held_out.std() == pytest.approx(1.0, abs=1e-4)


def test_held_out_scores_are_those_of_new_clips():
    # on average a new clip scores as the training clips did
    held, new = [], []
    for seed in range(5):
        source = views(200, seed)
        detector, held_out = fit_held_out(named_scorers("knn", "tiny"), "mean", source, None)
        held.append(held_out.mean())
        new.append(detector.score(views(200, seed + 50)).scores.mean())
    assert np.mean(new) == pytest.approx(np.mean(held), abs=0.1)


def test_windows_of_a_clip_are_held_out_together():
    source = views(40)
    z = source.embeddings["tiny"]
    z[1::2] = z[::2]  # two windows a clip, and they are alike
    spec = named_scorers("knn", "tiny")
    _, together = fit_held_out(spec, "mean", source, None, clips=np.arange(40) // 2)
    detector, apart = fit_held_out(spec, "mean", source, None)
    assert_array_equal(together[::2], together[1::2])
    raw = apart * detector.standards["knn"].scale + detector.standards["knn"].shift
    assert np.median(raw) < 1e-6
    assert together.std() == pytest.approx(1.0, abs=1e-4)


def test_labels_reach_the_scorer_in_the_order_of_source_and_target():
    labels = [f"speed {i % 2}" for i in range(40)] + ["cold"] * 5
    detector, held_out = fitted("means", labels=labels)
    scorer = detector.scorers["means"]
    assert (scorer.sources, len(scorer.references)) == (2, 3)
    z = views(40).embeddings["tiny"][::2, 0]
    mean = (z / np.linalg.norm(z, axis=1, keepdims=True)).mean(axis=0)
    assert_allclose(scorer.references[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert np.isfinite(held_out).all()


@pytest.mark.parametrize("standardise_domains", [False, True])
def test_held_out_clips_keep_their_labels(standardise_domains):
    # four states, their clips mixed: a mean of a state is near only if its clips are told apart
    states = np.random.default_rng(0).permutation(np.arange(60) % 4)
    by_state = concatenate([views(15, axis, axis=axis) for axis in range(4)])
    windows = by_state.take(np.argsort(np.argsort(states, kind="stable")))
    source, target = windows.take(np.arange(45)), windows.take(np.arange(45, 60))
    means = named_scorers("means", "tiny")[0]
    specs = (means.model_copy(update={"standardise_domains": standardise_domains}),)
    labels = [f"state {state}" for state in states]
    detector, held_out = fit_held_out(specs, "mean", source, target, labels=labels)
    standard = detector.standards["means"]
    assert (held_out * standard.scale + standard.shift).max() < 0.25
    strange = detector.score(views(20, 2, axis=6)).scores
    assert strange.min() > held_out.max() + 2


def test_held_out_clips_are_drawn_at_random():
    # every tenth clip is of a rare state: taken in turn, it would be hidden as a whole
    source, rare = views(60), views(60, 1, axis=2)
    source.embeddings["tiny"][::10] = rare.embeddings["tiny"][::10]
    detector, held_out = fit_held_out(named_scorers("knn", "tiny"), "mean", source, None)
    standard = detector.standards["knn"]
    assert (held_out * standard.scale + standard.shift).max() < 0.5


def test_the_same_seed_gives_the_same_scores_and_another_others():
    _, first = fitted("published", source=80)
    _, again = fitted("published", source=80)
    _, other = fitted("published", source=80, seed=1)
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("names", SCORERS)
def test_two_clips_are_enough_and_one_is_not(names):
    specs = named_scorers(names, "tiny")
    _, held_out = fit_held_out(specs, "mean", views(2), None)
    assert np.isfinite(held_out).all()
    with pytest.raises(ScorerError, match="a single clip"):
        fit_held_out(specs, "mean", views(1), views(4, 1))
    with pytest.raises(ScorerError, match="a single clip"):
        fit_held_out(specs, "mean", views(6), None, clips=np.zeros(6, int))


@pytest.mark.parametrize("names", SCORERS)
def test_enrolment_cross_fits_every_scorer(names):
    fields = {**tiny_fields(), "scorers": named_scorers(names, "tiny")}
    manifest = Manifest.model_validate({"schema": 1, "files": {}, **fields})
    folds = np.arange(50) // 10
    standards, held_out = cross_fit(manifest, views(50), folds, [folds == f for f in range(5)], 0)
    assert set(standards) == {names}
    assert np.isfinite(held_out).all()
