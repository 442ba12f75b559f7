"""Scorers are standardised by what they did not see, fused, and restored exactly."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.tiny import tiny_fields

from edge_asd.bundle.manifest import Manifest
from edge_asd.errors import ScorerError
from edge_asd.score import Detector, Views, cross_fit, fit_detector
from edge_asd.score.detector import Standard
from edge_asd.score.views import concatenate

FOLDS = 5


def manifest(**changes):
    return Manifest.model_validate({"schema": 1, "files": {}, **tiny_fields(**changes)})


def views(n, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return Views(
        {"tiny": (rng.normal(size=(n, 1, 16)) + 3 + shift).astype(np.float32)},
        {"log_mel": (rng.normal(size=(n, 20)) - 50 + shift).astype(np.float32)},
        (rng.normal(size=n) / 10 - 26 + shift).astype(np.float32),
    )


def folds_of(n, count=FOLDS):
    folds = np.arange(n) * count // n
    return folds, [folds == fold for fold in range(count)]


def fitted(fusion="mean", n=100):
    source = views(n)
    standards, held_out = cross_fit(manifest(fusion=fusion), source, *folds_of(n), 0)
    rng = np.random.default_rng(0)
    return fit_detector(manifest(fusion=fusion), source, None, standards, rng), held_out


def test_held_out_scores_are_standardised_except_levels():
    source = views(200)
    standards, _ = cross_fit(manifest(), source, *folds_of(200), 0)
    raw = {name: [] for name in standards}
    folds, excluded = folds_of(200)
    for fold in range(FOLDS):
        rng = np.random.default_rng([0, fold])
        identity = {name: Standard(0.0, 1.0) for name in standards}
        detector = fit_detector(manifest(), source.take(~excluded[fold]), None, identity, rng)
        parts = detector.score(source.take(np.flatnonzero(folds == fold))).parts
        for name, scores in parts.items():
            raw[name].append(scores)
    for name in ("embedding", "log_mel"):
        scores = (np.concatenate(raw[name]) - standards[name].shift) / standards[name].scale
        assert scores.mean() == pytest.approx(0.0, abs=1e-4)
        assert scores.std() == pytest.approx(1.0, abs=1e-4)
    spread_db = next(s.spread_db for s in manifest().scorers if s.kind == "level")
    assert standards["level"] == Standard(0.0, spread_db)


@pytest.mark.parametrize("fusion", ["mean", "max"])
def test_cross_fitting_never_sees_its_own_fold(fusion):
    source, n = views(100), 100
    strange = views(3, seed=9, shift=40.0)
    at = np.asarray([44, 45, 46])  # of fold 2: had it seen them, they would score like the others
    for z, x in (
        (source.embeddings["tiny"], -strange.embeddings["tiny"]),
        (source.features["log_mel"], strange.features["log_mel"]),
        (source.levels_dbfs, strange.levels_dbfs),
    ):
        z[at] = x
    _, held_out = cross_fit(manifest(fusion=fusion), source, *folds_of(n), 0)
    assert set(np.argsort(held_out)[-3:]) == set(at)
    assert held_out[at].min() > np.delete(held_out, at).max() + 2


def test_windows_that_share_audio_with_a_fold_are_not_seen_either():
    n = 100
    source = views(n)
    folds, excluded = folds_of(n)
    # the first window of fold 1 has a twin just outside, at the end of fold 0
    for array in (source.embeddings["tiny"], source.features["log_mel"], source.levels_dbfs):
        array[20] = -array[20]
        array[19] = array[20]
    _, seen = cross_fit(manifest(), source, folds, excluded, 0)
    near = [mask.copy() for mask in excluded]
    near[1][19] = True
    _, hidden = cross_fit(manifest(), source, folds, near, 0)
    assert hidden[20] > seen[20] + 2


def test_every_window_is_scored_once_and_by_the_same_rule_every_time():
    for _ in range(2):
        _, held_out = cross_fit(manifest(), views(100), *folds_of(100), 0)
        _, again = cross_fit(manifest(), views(100), *folds_of(100), 0)
        assert held_out.shape == (100,)
        assert held_out.dtype == np.float32
        assert_array_equal(held_out, again)


def test_a_fold_that_leaves_nothing_is_a_scorer_error():
    with pytest.raises(ScorerError, match="too little normal audio"):
        cross_fit(manifest(), views(4), np.zeros(4, int), [np.ones(4, bool)], 0)


def test_windows_that_are_all_alike_do_not_divide_by_zero():
    one = views(1)
    source = concatenate([one] * 50)
    standards, held_out = cross_fit(manifest(), source, *folds_of(50), 0)
    assert np.isfinite(held_out).all()
    detector = fit_detector(manifest(), source, None, standards, np.random.default_rng(0))
    assert np.isfinite(detector.score(views(5, 1)).scores).all()


@pytest.mark.parametrize(("fusion", "rule"), [("mean", np.mean), ("max", np.max)])
def test_parts_are_fused_by_the_rule_of_the_bundle(fusion, rule):
    detector, _ = fitted(fusion)
    fused = detector.score(views(20, 1))
    assert list(fused.parts) == ["embedding", "log_mel", "level"]
    assert_allclose(fused.scores, rule(list(fused.parts.values()), axis=0), rtol=1e-5)


def test_the_scorer_that_contributes_most_is_named_with_its_reference():
    detector, _ = fitted()
    heard = views(3, 1)
    heard.levels_dbfs[1] += 60
    heard.features["log_mel"][2] += 30
    fused = detector.score(heard)
    assert fused.nearest[1].startswith("level:")
    assert fused.nearest[2].startswith("log_mel:")
    reference = int(fused.nearest[2].split(":")[1])
    assert reference == detector.scorers["log_mel"].nearest(heard.features["log_mel"])[2]


def test_what_was_confirmed_as_normal_scores_low():
    source, target = views(100), views(3, 2, shift=20.0)
    standards, held_out = cross_fit(manifest(), source, *folds_of(100), 0)

    def score(confirmed):
        rng = np.random.default_rng(0)
        return fit_detector(manifest(), source, confirmed, standards, rng).score(target).scores

    assert score(None).min() > held_out.max() + 5
    assert score(target).max() < held_out.max()


def test_the_state_gives_identical_scores_back():
    detector, _ = fitted()
    restored = Detector.from_state(manifest(), detector.state(), detector.standards)
    heard = views(30, 1)
    before, after = detector.score(heard), restored.score(heard)
    assert_array_equal(before.scores, after.scores)
    assert list(before.nearest) == list(after.nearest)
    for name, values in before.parts.items():
        assert_array_equal(values, after.parts[name])


def test_an_incomplete_state_is_a_scorer_error_that_names_the_scorer():
    detector, _ = fitted()
    state = detector.state()
    for key in state:
        rest = {name: array for name, array in state.items() if name != key}
        with pytest.raises(ScorerError, match=f"scorer {key.split('/')[0]}"):
            Detector.from_state(manifest(), rest, detector.standards)
    rest = {k: v for k, v in detector.standards.items() if k != "level"}
    with pytest.raises(ScorerError, match="scorer level: not standardised"):
        Detector.from_state(manifest(), state, rest)
