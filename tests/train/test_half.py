"""fp16 is where it is said to be, and nothing is lost to its short range."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edge_asd.bundle.onnx_guard import check_onnx
from edge_asd.engine import OnnxEngine
from edge_asd.errors import BundleError
from edge_asd_train.half import half_network, half_share, loud_waveforms, rounded_network

RNG = np.random.default_rng(0)
WEIGHTS = {
    "mel": np.abs(RNG.normal(size=(8, 6))).astype(np.float32),
    "kernel": RNG.normal(size=(4, 1, 3)).astype(np.float32),
    "bias": RNG.normal(size=4).astype(np.float32),
    "scale": (1 + RNG.random(4)).astype(np.float32),
    "shift": RNG.normal(size=4).astype(np.float32),
    "mean": RNG.normal(size=4).astype(np.float32),
    "variance": (1 + RNG.random(4)).astype(np.float32),
    "dense": RNG.normal(size=(16, 5)).astype(np.float32),
    "axis": np.array([1]),
    "floor": np.float32(1e-3),
}


def network(*, logarithm=True):
    """Bands, logarithm, convolution, normalisation, mean over all, dense: (B, 8) -> (B, 1, 5)."""
    nodes = [
        helper.make_node("MatMul", ["x", "mel"], ["bands"]),
        helper.make_node("Add", ["bands", "floor"], ["lifted"]),
        helper.make_node("Log" if logarithm else "Relu", ["lifted"], ["logs"]),
        helper.make_node("Unsqueeze", ["logs", "axis"], ["map"]),
        helper.make_node("Conv", ["map", "kernel", "bias"], ["convolved"]),
        helper.make_node("Relu", ["convolved"], ["rectified"]),
        helper.make_node(
            "BatchNormalization",
            ["rectified", "scale", "shift", "mean", "variance"],
            ["normalised"],
            epsilon=1e-3,
        ),
        helper.make_node("ReduceMean", ["normalised"], ["mean-of-all"], axes=[1, 2], keepdims=1),
        helper.make_node("Sub", ["normalised", "mean-of-all"], ["centred"]),
        helper.make_node("Flatten", ["centred"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["z"]),
        helper.make_node("Unsqueeze", ["z", "axis"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 8])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 1, 5])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in WEIGHTS.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def heard(loudest):
    return {"x": (np.random.default_rng(1).random((6, 8)) * loudest).astype(np.float32)}


def types(data):
    inferred = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(data)).graph
    known = (*inferred.value_info, *inferred.input, *inferred.output)
    return {value.name: value.type.tensor_type.elem_type for value in known}


def relative_error(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


def test_products_are_fp16_while_input_logarithm_mean_and_output_are_not():
    half = half_network(network(), [heard(100.0)])
    check_onnx(half, "half")
    kinds = types(half)
    for name in ("x", "bands", "lifted", "logs", "mean-of-all", "centred", "embedding"):
        assert kinds[name] == TensorProto.FLOAT, name
    for name in ("convolved", "rectified", "normalised", "z"):
        assert kinds[f"{name}/fp16"] == TensorProto.FLOAT16, name
    assert half_share(half) == pytest.approx(2 / 3)
    operators = {node.op_type for node in onnx.load_model_from_string(half).graph.node}
    assert "BatchNormalization" not in operators  # its parts have types of their own


def test_true_fp16_arithmetic_gives_nearly_the_same():
    given = heard(100.0)
    (want,) = ReferenceEvaluator(onnx.load_model_from_string(network())).run(None, given)
    half = half_network(network(), [given])
    (got,) = ReferenceEvaluator(onnx.load_model_from_string(half)).run(None, given)
    assert got.dtype == np.float32
    assert 0 < relative_error(got, want) < 5e-3


@pytest.mark.parametrize("loudest", [5e3, 3e4])
def test_what_exceeds_fp16_is_scaled_and_comes_back(loudest):
    exact = network(logarithm=False)
    given = heard(loudest)
    half = half_network(exact, [given])
    assert half_share(half) == 1.0
    (want,) = ReferenceEvaluator(onnx.load_model_from_string(exact)).run(None, given)
    (got,) = ReferenceEvaluator(onnx.load_model_from_string(half)).run(None, given)
    assert np.isfinite(got).all()
    assert relative_error(got, want) < 5e-3


def test_what_cannot_be_scaled_enough_stays_fp32():
    half = half_network(network(logarithm=False), [heard(100.0), heard(1e5)])
    assert half_share(half) == pytest.approx(2 / 3)


def test_a_network_that_is_nowhere_within_range_is_refused():
    with pytest.raises(BundleError, match=r"no layer .* leave --precision fp16 out"):
        half_network(network(logarithm=False), [heard(1e12)])


def test_rounding_is_that_of_fp16():
    values = np.random.default_rng(2).normal(size=(50, 8)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "eye"], ["embedding"])]
    shapes = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["B", 8]) for n in ("x", "embedding")
    ]
    eye = numpy_helper.from_array(np.eye(8, dtype=np.float32), "eye")
    graph = helper.make_graph(nodes, "eye", shapes[:1], shapes[1:], [eye])
    opset = [helper.make_opsetid("", 17)]
    exact = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    rounded = rounded_network(half_network(exact, [{"x": values}]))
    got = OnnxEngine(rounded, "rounded").embed({"x": values})
    np.testing.assert_array_equal(got, values.astype(np.float16).astype(np.float32))


def test_the_same_network_gives_the_same_bytes():
    assert half_network(network(), [heard(9.0)]) == half_network(network(), [heard(9.0)])


def test_loud_sounds_are_at_full_scale_and_all_different():
    sounds = loud_waveforms(8000, 16_000)
    assert sounds.shape == (8, 8000)
    assert (np.abs(sounds.astype(int)).max(axis=1) > 31_000).all()
    assert len(np.unique(sounds, axis=0)) == 8
