"""What a runtime that computes in fp16 makes of a network.

ONNX Runtime does not tell on most CPUs: it has no fp16 kernels there, computes in fp32 and drops
casts between the layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_asd_train.half.convert import PRODUCTS
from edge_asd_train.half.graphs import initializer, replace_items, types_of


def rounded_network(network: bytes) -> bytes:
    """A half network in fp32 arithmetic that rounds every value as fp16 would.

    What is rounded is what fp16 stores; sums are fp32, as on accelerators.

    Args:
        network: What ``half_network`` returned.

    Source: Veltkamp's splitting (Dekker, "A floating-point technique for extending the available
    precision", 1971): with 2^13 + 1, 11 of the 24 bits of an fp32 value are left.
    """
    model = onnx.load_model_from_string(network)
    graph = model.graph
    computed = {name for node in graph.node for name in node.output}
    told = types_of(model)
    halves = {name for name in computed if told[name].elem_type == TensorProto.FLOAT16}
    for one in graph.initializer:
        if one.data_type == TensorProto.FLOAT16:
            one.CopyFrom(initializer(one.name, numpy_helper.to_array(one).astype(np.float32)))
    graph.initializer.append(initializer("veltkamp", np.float32(2**13 + 1)))
    nodes: list[Any] = []
    for node in graph.node:
        if node.op_type == "Cast":
            del node.attribute[:]
            node.op_type = "Identity"
        exact = []
        for i, name in enumerate(node.output):
            if name in halves:
                node.output[i] = f"{name}/exact"
                exact.append(name)
        nodes.append(node)
        for name in exact:
            large, rest = f"{name}/large", f"{name}/rest"
            nodes.append(helper.make_node("Mul", [f"{name}/exact", "veltkamp"], [large]))
            nodes.append(helper.make_node("Sub", [large, f"{name}/exact"], [rest]))
            nodes.append(helper.make_node("Sub", [large, rest], [name]))
    replace_items(graph.node, nodes)
    data: bytes = model.SerializeToString()
    return data


def half_share(network: bytes) -> float:
    """Share of a half network's convolutions and products that are fp16, by number."""
    graph = onnx.load_model_from_string(network).graph
    halves = {one.name for one in graph.initializer if one.data_type == TensorProto.FLOAT16}
    products = [node for node in graph.node if node.op_type in PRODUCTS]
    return sum(bool(halves & set(node.input)) for node in products) / max(len(products), 1)


def loud_waveforms(length: int, sample_rate: int) -> NDArray[np.int16]:
    """Sounds at full scale that bring a network's largest values about, (8, length)."""
    t = np.arange(length) / sample_rate
    rng = np.random.default_rng(0)
    tones = [np.sin(2 * np.pi * share * sample_rate * t) for share in (0.003, 0.0625, 0.4)]
    click = np.zeros(length)
    click[length // 2] = 1.0
    late = np.where(t > t[-1] / 2, np.sin(2 * np.pi * 0.03 * sample_rate * t), 0.0)
    sounds = [
        *tones,
        np.where(np.sin(2 * np.pi * 0.0125 * sample_rate * t) < 0, -1.0, 1.0),
        rng.uniform(-1.0, 1.0, length),
        rng.choice([-1.0, 1.0], length),
        click,
        late,
    ]
    return np.rint(np.stack(sounds) * 32767.0).astype(np.int16)
