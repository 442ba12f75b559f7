"""A tiny bundle: one second, a few thousand parameters, made on the spot from a seed.

It stands in for the shipped network wherever accuracy and speed are not what is tested. Its network
is real ONNX: logarithm of the spectrogram, mean over time, a random projection.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_asd.bundle import Golden, write_bundle
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.features import MagnitudeSpectrum, StftMagnitude, compute

SAMPLE_RATE = 16_000
WINDOW = 16_384
HOP = 4_096
SIZE = 16
INPUTS = {"spectrum": MagnitudeSpectrum(), "spectrogram": StftMagnitude()}


def tiny_network(seed=0, window=WINDOW):
    """ONNX bytes: spectrum (B, L/2, 1) and spectrogram (B, T, 513, 1) to embedding (B, 1, 16)."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(513, SIZE)).astype(np.float32) / 10
    names = {
        "floor": np.float32(1e-3),
        "weights": weights,
        "axis3": np.array([3]),
        "time": np.array([1]),
        "segment": np.array([1]),
        "bins": np.array([1, 2]),
        "scale": np.float32(1e-3),
    }
    initializers = [
        numpy_helper.from_array(
            np.asarray(value, np.int64 if np.asarray(value).dtype.kind == "i" else None), name
        )
        for name, value in names.items()
    ]
    nodes = [
        helper.make_node("Squeeze", ["spectrogram", "axis3"], ["frames"]),
        helper.make_node("Add", ["frames", "floor"], ["lifted"]),
        helper.make_node("Log", ["lifted"], ["logs"]),
        helper.make_node("ReduceMean", ["logs"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["projected"]),
        helper.make_node("ReduceMean", ["spectrum"], ["loudness"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["loudness", "scale"], ["small"]),
        helper.make_node("Add", ["projected", "small"], ["sum"]),
        helper.make_node("Unsqueeze", ["sum", "segment"], ["embedding"]),
    ]
    frames = 1 + (window - 1024) // 512
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("spectrum", TensorProto.FLOAT, ["B", window // 2, 1]),
            helper.make_tensor_value_info("spectrogram", TensorProto.FLOAT, ["B", frames, 513, 1]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 1, SIZE])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def tiny_network_fp16(seed=0):
    """The same with its product in fp16 between casts."""
    model = onnx.load_model_from_string(tiny_network(seed))
    nodes = list(model.graph.node)
    (at,) = (i for i, node in enumerate(nodes) if node.op_type == "MatMul")
    nodes[at : at + 1] = [
        helper.make_node("Cast", ["mean"], ["mean/fp16"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["mean/fp16", "weights"], ["projected/fp16"]),
        helper.make_node("Cast", ["projected/fp16"], ["projected"], to=TensorProto.FLOAT),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for one in model.graph.initializer:
        if one.name == "weights":
            half = numpy_helper.to_array(one).astype(np.float16)
            one.CopyFrom(numpy_helper.from_array(half, "weights"))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def full_parts(seed=0):
    """Arguments of ``write_bundle`` for a bundle with every kind of member."""
    network, half = tiny_network(seed), tiny_network_fp16(seed)
    fields = tiny_fields()
    fields["networks"][0]["precisions"] = [
        {
            "precision": precision,
            "bytes": len(data),
            "parity_tolerance": tolerance,
            "cosine_distance": 0.0,
        }
        for precision, data, tolerance in (("fp32", network, 1e-4), ("fp16", half, 1e-3))
    ]
    references = {"pump": np.eye(4, SIZE, dtype=np.float32), "fan/00": np.eye(SIZE)[:1]}
    fields["references"] = {"network": "tiny", "clusters": 4, "machines": list(references)}
    return {
        "fields": fields,
        "networks": {"tiny": network},
        "golden": golden_vectors(network),
        "references": references,
        "networks_fp16": {"tiny": half},
    }


def golden_vectors(network, count=8, seed=1, window=WINDOW, sample_rate=SAMPLE_RATE):
    rng = np.random.default_rng(seed)
    waveforms = (rng.normal(size=(count, window)) * 1000).astype(np.int16)
    engine = OnnxEngine(network, "tiny")
    samples = waveforms.astype(np.float32) / np.float32(32768.0)
    z = engine.embed({name: compute(spec, samples, sample_rate) for name, spec in INPUTS.items()})
    return Golden(waveforms, {"tiny": z})


def tiny_fields(**changes):
    fields = {
        "name": "tiny",
        "version": "1",
        "created_at": "2026-01-01T00:00:00Z",
        "licence": "Apache-2.0",
        "sample_rate": SAMPLE_RATE,
        "window_samples": WINDOW,
        "hop_samples": HOP,
        "reference_dbfs": -26.0,
        "networks": [
            {
                "id": "tiny",
                "inputs": {name: spec.model_dump() for name, spec in INPUTS.items()},
                "embedding_size": SIZE,
                "parameters": 513 * SIZE,
                "macs": 513 * SIZE,
            }
        ],
        "scorers": [
            {"kind": "centres", "id": "embedding", "network": "tiny"},
            {"kind": "neighbours", "id": "log_mel", "feature": {"kind": "log_mel_statistics"}},
            {"kind": "level", "id": "level"},
        ],
        "fusion": "mean",
    }
    return fields | changes


def write_tiny_bundle(path, seed=0, **changes):
    fields = tiny_fields(**changes)
    window, sample_rate = fields["window_samples"], fields["sample_rate"]
    network = tiny_network(seed, window)
    golden = golden_vectors(network, window=window, sample_rate=sample_rate)
    return write_bundle(path, fields, {"tiny": network}, golden)
