"""A network and its scorers score clips, whatever the order of the files."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.errors import ConfigError, DataError, UsageError
from edge_asd.score import SCORERS
from edge_asd_train.evaluate.clips import ClipEmbedder
from edge_asd_train.evaluate.contest import score_sections
from edge_asd_train.evaluate.engines import open_embedder
from edge_asd_train.evaluate.network import NetworkMethod, choose_scorers


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Folder for embeddings, so that every clip is embedded once."""
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture
def method_of(finished_run, kept):
    """The method of a run or bundle with some scorers."""

    def opened(*names, bundle=None):
        embedder = (
            open_embedder(bundle=bundle) if bundle else open_embedder(finished_run, device="cpu")
        )
        scorers = choose_scorers(names, embedder.manifest)
        return NetworkMethod(ClipEmbedder(embedder, scorers.specs, cache=kept), scorers)

    return opened


def section(index, machine="fan"):
    return [list(index.of(machine, "00", split)) for split in ("train", "test")]


@pytest.mark.parametrize("names", [(name,) for name in ("bundle", *SCORERS)] + [("ldn", "log_mel")])
def test_torch_and_onnx_give_the_same_scores(index, bundle, method_of, names):
    results = [
        score_sections(method, index)
        for method in (method_of(*names), method_of(*names, bundle=bundle))
    ]
    for torch, onnx in zip(*results, strict=True):
        assert np.ptp(torch.scores) > 0
        np.testing.assert_allclose(onnx.scores, torch.scores, atol=1e-4 * np.ptp(torch.scores))
        assert onnx.threshold == pytest.approx(torch.threshold, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("names", [("bundle",), ("means", "knn")])
def test_the_order_of_files_does_not_matter(index, method_of, names):
    train, test = section(index)
    fitted = method_of(*names).fit(train)
    want = fitted.score(test)
    rng = np.random.default_rng(0)
    for _ in range(3):
        order = rng.permutation(len(test))
        shuffled = [train[i] for i in rng.permutation(len(train))]
        again = method_of(*names).fit(shuffled)
        got = again.score([test[i] for i in order])
        np.testing.assert_allclose(got, want[order], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(again.train_scores, fitted.train_scores, rtol=1e-6)


def test_a_higher_tone_is_more_anomalous(index, method_of):
    for scored in score_sections(method_of("log_mel"), index):
        truth = np.array([clip.anomalous for clip in scored.clips])
        assert scored.scores[truth].min() > scored.scores[~truth].max()
        assert scored.decisions[truth].all()


def test_training_clips_are_scored_without_themselves(index, method_of):
    train, _ = section(index)
    fitted = method_of("knn").fit(train)
    assert fitted.train_scores.shape == (6,)
    itself = fitted.score(train)  # every one is its own nearest neighbour
    assert np.ptp(itself) < 0.01
    assert (fitted.train_scores > itself.max() + 0.1).all()


def test_a_section_of_one_domain_alone_is_learned(index, method_of):
    train, test = section(index)
    targets = [clip for clip in train if clip.domain == "target"]
    assert np.isfinite(method_of("published").fit(targets).score(test)).all()


def test_a_single_training_clip_is_refused(index, method_of):
    with pytest.raises(DataError, match="at least two"):
        method_of("published").fit(section(index)[0][:1])


def test_an_unknown_scorer_is_refused_with_the_names_there_are(finished_run):
    manifest = open_embedder(finished_run).manifest
    with pytest.raises(ConfigError, match="bundle, published, means, knn, ldn, smote, memmixup"):
        choose_scorers(("median",), manifest)
    for names in ((), ("bundle", "knn")):
        with pytest.raises(UsageError):
            choose_scorers(names, manifest)


def test_the_bundle_means_scorers_and_fusion_of_the_manifest(finished_run):
    manifest = open_embedder(finished_run).manifest
    manifest = manifest.model_copy(update={"fusion": "max"})
    chosen = choose_scorers(("bundle",), manifest)
    assert (chosen.specs, chosen.fusion) == (manifest.scorers, "max")


def test_test_clips_do_not_change_what_another_scores(index, method_of):
    train, test = section(index)
    fitted = method_of("bundle").fit(train)
    alone = [float(fitted.score([clip])[0]) for clip in test]
    np.testing.assert_allclose(fitted.score(test), alone, rtol=1e-4, atol=1e-5)
