"""A run on torch, a run on ONNX Runtime and its bundle are one network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_asd.errors import DataError, EngineError, UsageError
from edge_asd.records import Window
from edge_asd_train.checkpoint import load_checkpoint, save_checkpoint
from edge_asd_train.evaluate.engines import open_embedder
from edge_asd_train.loop import CHECKPOINT


@pytest.fixture
def windows():
    rng = np.random.default_rng(1)
    return (0.1 * rng.normal(size=(3, 8000))).astype(np.float32)


def test_torch_and_onnx_and_the_bundle_give_the_same_embeddings(finished_run, bundle, windows):
    opened = [
        open_embedder(finished_run, device="cpu"),
        open_embedder(finished_run, engine="onnx"),
        open_embedder(bundle=bundle),
    ]
    assert [one.networks.backend for one in opened] == ["torch/cpu", "onnxruntime", "onnxruntime"]
    first, *others = (one.embeddings(windows) for one in opened)
    for other in others:
        for name, z in first.items():
            np.testing.assert_allclose(other[name], z, rtol=1e-3, atol=1e-4 * np.abs(z).max())


def test_many_windows_at_once_are_embedded_like_one_by_one_on_a_device(bundle, windows):
    embedder = open_embedder(bundle=bundle)
    together = embedder.embeddings(windows)
    for number, samples in enumerate(windows):
        alone = embedder.embed(Window(samples, 0, run=number, captured_at=0.0)).embeddings
        for name, z in alone.items():
            np.testing.assert_allclose(together[name][number], z[0], rtol=1e-3, atol=1e-5)


def test_a_run_and_its_bundle_describe_themselves_alike(finished_run, bundle):
    run, shipped = (
        open_embedder(finished_run, device="cpu").manifest,
        open_embedder(bundle=bundle).manifest,
    )
    told = {"sample_rate", "window_samples", "hop_samples", "reference_dbfs", "scorers", "fusion"}
    assert run.model_dump(include=told) == shipped.model_dump(include=told)
    assert run.recipe == shipped.recipe


def test_a_network_that_computes_nonsense_is_refused(finished_run, windows):
    embedder = open_embedder(finished_run, device="cpu")
    windows[1, 5] = np.nan
    with pytest.raises(EngineError, match="not finite"):
        embedder.embeddings(windows)


def test_a_run_that_has_not_ended_is_refused(tmp_path, finished_run):
    checkpoint = load_checkpoint(finished_run / CHECKPOINT)
    save_checkpoint(tmp_path / CHECKPOINT, dataclasses.replace(checkpoint, finished=False))
    with pytest.raises(DataError, match="--resume"):
        open_embedder(tmp_path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "either --run or --bundle"),
        ({"run": "run", "bundle": "bundle"}, "either --run or --bundle"),
        ({"bundle": "bundle", "engine": "torch"}, "no torch network"),
        ({"bundle": "bundle", "device": "cpu"}, "--device is for torch"),
        ({"run": "run", "engine": "onnx", "device": "cpu"}, "--device is for torch"),
        ({"run": "run", "device": "abacus"}, "--device abacus"),
    ],
)
def test_options_that_do_not_go_together_are_refused(finished_run, bundle, options, named):
    paths = {"run": finished_run, "bundle": bundle}
    given = {key: paths.get(value, value) for key, value in options.items()}
    with pytest.raises(UsageError, match=named):
        open_embedder(**given)
