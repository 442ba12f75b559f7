"""A network of bands becomes a bundle, in fp16 too, whose decibels stay in fp32."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from tones import faulty_tones, tone

from edge_asd.bundle import load_bundle
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import EngineRequest, OnnxEngine, open_networks
from edge_asd.errors import BundleError
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.export import Extras, Label, export_bundle, trained_network
from edge_asd_train.half import half_share, loud_waveforms, rounded_network
from edge_asd_train.loop import CHECKPOINT, Run
from edge_asd_train.parity import embed, network_inputs, parity_distance
from edge_asd_train.recipe import Recipe

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def trained(folder, **network):
    fields = {"name": "tiny", "window_s": 0.5, "hop_s": 0.032, "steps": 8, "batch": 10}
    fields["network"] = {"kind": "bands", "bands": 16, "channels": 4, "kernel": 3, **network}
    fields["episodes"] = {"machines": 2, "normal": 3, "faulty": 2}
    fields["augment"] = {"mixup": 0, "statex": 0, "featex": 0}
    fields |= {"optimiser": {"learning_rate": 1e-2}, "scorers": "knn+log_mel+level"}
    recipe = Recipe.model_validate(fields)
    store = ClipStore.create(folder / "clips", [faulty_tones()])
    Run(folder, recipe, Batches(store, recipe), sources={"simulated_machines": 3}).train()
    return load_checkpoint(folder / CHECKPOINT), store


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, run):
    checkpoint, store = run
    path = tmp_path_factory.mktemp("bundle") / "tiny-1.asd"
    extras = Extras("fp16", store)
    return load_bundle(
        export_bundle(path, checkpoint, Label("tiny", "1"), now=NOW, extras=extras).path
    )


def test_the_manifest_names_the_network_its_input_and_the_recipes_scorers(bundle):
    (network,) = bundle.manifest.networks
    assert (network.id, list(network.inputs), network.embedding_size) == (
        "bands",
        ["spectrogram"],
        49,
    )
    scorers = bundle.manifest.scorers
    assert [one.id for one in scorers] == ["knn", "log_mel", "level"]
    assert (scorers[0].network, scorers[1].feature.f_max) == ("bands", 8000)
    assert bundle.manifest.references.network == "bands"
    assert bundle.references["machine-0"].shape[1] == 49
    assert [one.precision for one in network.precisions] == ["fp32", "fp16"]


def test_onnx_runtime_gives_the_embeddings_of_torch_in_any_batch(bundle, run):
    engine = OnnxEngine(bundle.networks["bands"], "bands")
    inputs = network_inputs(bundle.golden.waveforms, run[0].recipe)
    want = bundle.golden.embeddings["bands"]
    for size in (1, 3, 10):
        got = engine.embed({name: array[:size] for name, array in inputs.items()})
        np.testing.assert_allclose(got, want[:size], rtol=0, atol=1e-4)
    assert np.ptp(want[..., :-1], axis=0).max() > 0.1
    engine.close()


def test_silence_and_full_scale_come_out_alike_too(bundle, run):
    checkpoint = run[0]
    samples = loud_waveforms(8000, 16_000)
    samples[0] = 0
    inputs = network_inputs(samples, checkpoint.recipe)
    want = embed(trained_network(checkpoint), inputs)
    assert parity_distance(bundle.networks["bands"], inputs, want) < 1e-6
    for file in (bundle.networks_fp16["bands"], rounded_network(bundle.networks_fp16["bands"])):
        assert parity_distance(file, inputs, want) < 1e-4


def test_the_correction_is_fp16_and_logarithm_statistics_and_standardisation_are_not(bundle):
    model = onnx.load_model_from_string(bundle.networks_fp16["bands"])
    onnx.checker.check_model(model, full_check=True)
    assert half_share(bundle.networks_fp16["bands"]) == 0.75  # three convolutions, not the bands
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {one.name: one.type.tensor_type.elem_type for one in (*graph.value_info, *graph.input)}
    types |= {one.name: one.data_type for one in graph.initializer}
    by_kind = {}
    for node in graph.node:
        read = {types[name] for name in node.input if name in types}
        by_kind.setdefault(node.op_type, set()).update(read)
    for exact in ("MatMul", "Log", "ReduceMean", "Sqrt", "Sub"):
        assert by_kind[exact] == {TensorProto.FLOAT}, exact
    assert by_kind["Conv"] == {TensorProto.FLOAT16}
    filters = next(one for one in graph.initializer if list(one.dims) == [513, 16])
    assert filters.data_type == TensorProto.FLOAT
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_a_device_embeds_with_fp16_nearly_what_it_does_with_fp32(bundle):
    clip = (tone(500, 1, seconds=0.9) / 32768.0).astype(np.float32)
    found = {}
    for precision in ("fp32", "fp16"):
        networks = open_networks(bundle, EngineRequest(precision=precision))
        views = WindowEmbedder(networks).embed_clip(clip)[1]
        found[precision] = views.embeddings["bands"]
        networks.close()
    np.testing.assert_allclose(found["fp16"], found["fp32"], atol=5e-3)


def test_without_a_correction_there_is_nothing_to_make_fp16(tmp_path):
    checkpoint, _ = trained(tmp_path, channels=0)
    path = tmp_path / "tiny-1.asd"
    with pytest.raises(BundleError, match="no layer of the network can be fp16; leave"):
        export_bundle(path, checkpoint, Label("tiny", "1"), now=NOW, extras=Extras("fp16"))
    assert not path.exists()
    made = export_bundle(path, checkpoint, Label("tiny", "1"), now=NOW)
    assert made.manifest.networks[0].macs == 14 * 513 * 16
