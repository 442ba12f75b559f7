"""A network in half precision: an ONNX file whose tensors say their type, for any runtime.

Convolutions and dense products become fp16, and with them the elementwise layers between them.
Everything else stays fp32: the input, normalisation of the input, logarithms and the products that
they are of, means over time, and the output. Casts stand in the file, so that a strongly typed
runtime (TensorRT) has nothing to decide, and no operator is anything but standard ONNX.

fp16 ends at 65 504, and a spectrum's bin may exceed that. Where a product reads or writes values
that come near it, while the network hears the loudest sounds there are, what it reads is divided by
a power of two in fp32, and what it writes is multiplied by it again.

``rounding`` tells what a runtime that computes in fp16 makes of such a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edge_asd.errors import BundleError
from edge_asd.records import FloatArray
from edge_asd_train.half.casting import Casting
from edge_asd_train.half.graphs import initializer, replace_items, types_of

MAX_MAGNITUDE = 2048.0
"""Largest value of a layer in fp16 at full scale: 30 dB below the end of fp16, because a monitor's
gain may lift a sound above full scale."""

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators that become fp16."""

CARRIERS = frozenset(
    {
        *("Add", "Clip", "Concat", "Flatten", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu"),
        *("MaxPool", "Mul", "Pad", "PRelu", "ReduceMax", "Relu", "Reshape", "Sigmoid", "Slice"),
        *("Squeeze", "Tanh", "Transpose", "Unsqueeze"),
    }
)
"""Operators that follow in fp16 what they read."""

_MAX_EXPONENT = 10
"""Of the power of two; a product that would need more stays fp32."""

_Arrays = Mapping[str, FloatArray]


def half_network(network: bytes, inputs: Sequence[_Arrays]) -> bytes:
    """The network with its products in fp16.

    Args:
        network: ONNX file in fp32 without subgraphs, nodes in order.
        inputs: Batches of what it may come to read, the loudest sounds among them.

    Returns:
        ONNX file with the same inputs and outputs in fp32.

    Raises:
        BundleError: No layer can be fp16.
    """
    model = onnx.load_model_from_string(network)
    _constants_to_initializers(model.graph)
    _spell_out_batch_norm(model)
    floats = _float_tensors(model)
    halves = _half_nodes(model.graph, floats, _peaks(model, floats, inputs))
    if not halves:
        raise BundleError("no layer of the network can be fp16; leave --precision fp16 out")
    Casting(model.graph, floats, halves).rewrite()
    del model.graph.value_info[:]  # types in it are those of fp32
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _constants_to_initializers(graph: Any) -> None:
    kept = []
    for node in graph.node:
        value = node.attribute[0].t if node.op_type == "Constant" else None
        if value is None or node.attribute[0].name != "value":
            kept.append(node)
            continue
        value.name = node.output[0]
        graph.initializer.append(value)
    replace_items(graph.node, kept)


def _spell_out_batch_norm(model: Any) -> None:
    """Batch normalisation as a product and a sum, whose types are the same for every runtime."""
    graph, ranks = model.graph, _ranks(model)
    values = {one.name: one for one in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type != "BatchNormalization" or not set(node.input[1:]) <= set(values):
            nodes.append(node)
            continue
        scale, bias, mean, variance = (
            numpy_helper.to_array(values[name]).astype(np.float64) for name in node.input[1:5]
        )
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + epsilon)
        shape = (-1, *(1,) * (ranks[node.input[0]] - 2))  # (C,) beside (B, C, ...)
        names = [f"{node.output[0]}/factor", f"{node.output[0]}/shift"]
        for name, value in zip(names, (factor, bias - mean * factor), strict=True):
            graph.initializer.append(initializer(name, value.astype(np.float32).reshape(shape)))
        scaled = f"{node.output[0]}/scaled"
        nodes.append(helper.make_node("Mul", [node.input[0], names[0]], [scaled]))
        nodes.append(helper.make_node("Add", [scaled, names[1]], [node.output[0]]))
    replace_items(graph.node, nodes)


def _ranks(model: Any) -> dict[str, int]:
    return {name: len(told.shape.dim) for name, told in types_of(model).items()}


def _float_tensors(model: Any) -> set[str]:
    """Names of all tensors in fp32 that a node computes or the network reads."""
    return {n for n, told in types_of(model).items() if told.elem_type == TensorProto.FLOAT}


def _peaks(model: Any, floats: set[str], inputs: Sequence[_Arrays]) -> dict[str, float]:
    """Largest magnitude of every tensor over all inputs."""
    shown = type(model).FromString(model.SerializeToString())
    made = [name for node in model.graph.node for name in node.output if name in floats]
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    peaks = dict.fromkeys(floats, 0.0)
    for batch in inputs:
        for i in range(len(next(iter(batch.values())))):  # one by one: all layers are kept at once
            one = {name: array[i : i + 1] for name, array in batch.items()}
            found = dict(zip(made, session.run(made, one), strict=True))
            for name, array in {**one, **found}.items():
                peak = float(np.abs(array).max(initial=0.0))
                # A value that is no number is the largest there is.
                peaks[name] = max(peaks[name], peak if np.isfinite(peak) else np.inf)
    return peaks


def _half_nodes(graph: Any, floats: set[str], peaks: Mapping[str, float]) -> dict[int, int]:
    """Which nodes, by position, compute in fp16, and the exponent by which each is scaled."""
    values = {
        one.name: float(np.abs(numpy_helper.to_array(one)).max(initial=0.0))
        for one in graph.initializer
        if one.data_type == TensorProto.FLOAT
    }
    logged = _logged(graph)
    chosen: dict[int, int] = {}
    halves: set[str] = set()
    for position, node in enumerate(graph.node):
        read = [name for name in node.input if name in floats and name not in values]
        made = [name for name in node.output if name in floats]
        product = node.op_type in PRODUCTS and not logged.intersection(made)
        carries = node.op_type in CARRIERS and halves.issuperset(read)
        if not (read and made and (product or carries)):
            continue
        exponent = _exponent(max(peaks[name] for name in (*read, *made)))
        constants = max((values[name] for name in node.input if name in values), default=0.0)
        # Only what is linear in one tensor can be scaled, and only what is worth it.
        limit = _MAX_EXPONENT if product and read == [node.input[0]] else 0
        if exponent <= limit and constants <= MAX_MAGNITUDE:
            chosen[position] = exponent
            if not exponent:
                halves.update(made)
    return chosen


def _logged(graph: Any) -> set[str]:
    """Tensors whose logarithm is taken before a product reads them, such as bands of a spectrum."""
    logged: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == "Log" or (
            node.op_type not in PRODUCTS and logged.intersection(node.output)
        ):
            logged.update(node.input)
    return logged


def _exponent(peak: float) -> int:
    """Powers of two by which a peak exceeds what is allowed in fp16."""
    if not math.isfinite(peak):
        return _MAX_EXPONENT + 1
    return max(0, math.frexp(peak / MAX_MAGNITUDE)[1])
