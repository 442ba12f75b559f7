"""A bundle is written only when ONNX Runtime and torch agree."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pytest

from edge_asd.bundle import load_bundle
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.errors import BundleError, DataError
from edge_asd_train import export
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.export import Label, export_bundle, network_inputs, parity_distance
from edge_asd_train.loop import CHECKPOINT, Run

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
LABEL = Label("tiny", "1")


@pytest.fixture
def checkpoint(tmp_path, recipe, store):
    sources = {"simulated_machines": 3, "data": None, "noise": "sounds", "clips": 12}
    Run(tmp_path, recipe, Batches(store, recipe), sources=sources).train()
    return load_checkpoint(tmp_path / CHECKPOINT)


def test_a_bundle_says_what_is_in_it(tmp_path, checkpoint, recipe):
    bundle = export_bundle(tmp_path / "tiny-1.asd", checkpoint, LABEL, now=NOW)
    assert load_bundle(tmp_path / "tiny-1.asd").sha256 == bundle.sha256
    manifest = bundle.manifest
    (network,) = manifest.networks
    assert bundle.label == "tiny-1"
    assert manifest.created_at == "2026-01-02T03:04:05Z"
    assert (manifest.window_samples, manifest.hop_samples) == (8000, 512)
    assert (network.id, network.embedding_size, network.segments) == ("featex", 256, 1)
    assert network.parameters > 2_000_000
    assert network.macs > 1_000_000
    assert manifest.recipe["optimiser"]["eps"] == recipe.optimiser.eps
    assert [scorer.kind for scorer in manifest.scorers] == ["centres", "neighbours", "level"]
    assert [one.licence for one in manifest.provenance] == ["Apache-2.0", "unknown"]
    assert manifest.metrics["training"]["steps"] == recipe.steps
    assert bundle.golden.waveforms.shape == (10, 8000)


def test_the_engine_reproduces_the_golden_vectors_in_any_batch(tmp_path, checkpoint, recipe):
    bundle = export_bundle(tmp_path / "tiny-1.asd", checkpoint, LABEL, now=NOW)
    engine = OnnxEngine(bundle.networks["featex"], "featex")
    inputs = network_inputs(bundle.golden.waveforms, recipe)
    want = bundle.golden.embeddings["featex"]
    for size in (1, 3, 10):
        got = engine.embed({name: array[:size] for name, array in inputs.items()})
        np.testing.assert_allclose(got, want[:size], rtol=1e-3, atol=1e-4 * np.abs(want).max())
    assert np.ptp(want, axis=0).max() > 0  # they are not all the same


def test_a_network_that_differs_is_refused_and_nothing_is_written(
    tmp_path, checkpoint, monkeypatch
):
    honest = export._embed
    monkeypatch.setattr(export, "_embed", lambda *given: honest(*given)[:, :, ::-1].copy())
    with pytest.raises(BundleError, match="from torch"):
        export_bundle(tmp_path / "tiny-1.asd", checkpoint, LABEL, now=NOW)
    assert not (tmp_path / "tiny-1.asd").exists()


def test_the_parity_distance_is_the_largest_cosine_distance(tmp_path, checkpoint, recipe):
    bundle = export_bundle(tmp_path / "tiny-1.asd", checkpoint, LABEL, now=NOW)
    inputs = network_inputs(bundle.golden.waveforms, recipe)
    turned = bundle.golden.embeddings["featex"].copy()
    turned[3] *= -1
    distance = parity_distance(bundle.networks["featex"], inputs, turned)
    assert distance == pytest.approx(2.0, abs=1e-4)


def test_an_unfinished_run_is_refused(tmp_path, recipe, store):
    Run(tmp_path, recipe, Batches(store, recipe)).train(stop=lambda: True)
    with pytest.raises(DataError, match="--resume"):
        export_bundle(tmp_path / "x-1.asd", load_checkpoint(tmp_path / CHECKPOINT), LABEL, now=NOW)


def test_golden_waveforms_are_the_same_every_time_and_lie_around_the_reference(recipe):
    first, second = (export.golden_waveforms(recipe) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    level = 10 * np.log10(np.mean((first / 32768.0) ** 2, axis=1))
    assert (np.abs(level + 26) < 7).all()
