"""A bundle whose network stops giving numbers when the sound is loud, as a broken runtime might."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_asd.bundle import Golden, write_bundle
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.features import compute
from support.tiny import INPUTS, SAMPLE_RATE, SIZE, WINDOW, tiny_fields


def _network(limit):
    """Embedding = projection of the mean spectrum + sqrt(limit - loudness): NaN above the limit."""
    rng = np.random.default_rng(0)
    values = {
        "weights": rng.normal(size=(1, SIZE)).astype(np.float32),
        "limit": np.float32(limit),
        "segment": np.array([1], np.int64),
    }
    initializers = [numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()]
    nodes = [
        helper.make_node("ReduceMean", ["spectrum"], ["loudness"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["limit", "loudness"], ["room"]),
        helper.make_node("Sqrt", ["room"], ["root"]),
        helper.make_node("MatMul", ["root", "weights"], ["projected"]),
        helper.make_node("Unsqueeze", ["projected", "segment"], ["embedding"]),
    ]
    shape = ["B", WINDOW // 2, 1]
    graph = helper.make_graph(
        nodes,
        "failing",
        [helper.make_tensor_value_info("spectrum", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 1, SIZE])],
        initializers,
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


def _golden(network):
    waveforms = (np.random.default_rng(1).normal(size=(8, WINDOW)) * 100).astype(np.int16)
    samples = waveforms.astype(np.float32) / np.float32(32768.0)
    spectrum = compute(INPUTS["spectrum"], samples, SAMPLE_RATE)
    return Golden(waveforms, {"tiny": OnnxEngine(network, "failing").embed({"spectrum": spectrum})})


def write_failing_bundle(path, limit=40.0):
    model = _network(limit)
    onnx.checker.check_model(model)
    network = model.SerializeToString()
    fields = tiny_fields(name="failing")
    fields["networks"][0]["inputs"].pop("spectrogram")
    fields["scorers"] = [{"kind": "centres", "id": "embedding", "network": "tiny"}]
    return write_bundle(path, fields, {"tiny": network}, _golden(network))
