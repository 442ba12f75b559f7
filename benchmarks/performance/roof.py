"""What one core could do at most: rates of products and of copies, and what a window asks for.

Libraries multiply at very different rates on one processor, so that its peak is that of the best:
NumPy, torch, or either runtime given nothing but products. Seconds are those of the processor.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from benchmarks.performance.material import Material
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.engine.openvino import OpenVinoEngine
from edge_asd.errors import EngineError
from edge_asd.protocols import Engine

N = 1024
"""Rows and columns: 4 MB a matrix in fp32."""
_CHAIN = 4
"""Products that a runtime does at once: what is around them then costs nothing."""
_TIMES = 30
_COPIED = 2**26


def measure(material: Material) -> dict[str, Any]:
    """Rates of this core, and the least time that a window of the network can take.

    Args:
        material: Prepared.
    """
    torch.set_num_threads(1)
    macs = int(material.described()["macs"])
    rates = {"fp32": dict(_rates_fp32()), "bf16": dict(_rates_bf16())}
    peaks = {precision: max(found.values()) for precision, found in rates.items()}
    source = np.ones(_COPIED, np.float32)
    target = np.empty_like(source)
    return {
        "flop_per_s": rates,
        "peak_flop_per_s": peaks,
        "bytes_per_s": 2.0 * source.nbytes / _fastest_s(lambda: np.copyto(target, source)),
        "macs": macs,
        "bound_ms": {precision: 1e3 * 2 * macs / peak for precision, peak in peaks.items()},
    }


def _rates_fp32() -> Iterator[tuple[str, float]]:
    """FLOP/s by library."""
    a, b = np.random.default_rng(0).normal(size=(2, N, N)).astype(np.float32)
    yield "numpy", _rate(lambda: a @ b)
    yield "torch", _torch_rate(torch.float32)
    network = _products()
    yield "onnxruntime", _engine_rate(OnnxEngine(network, "products"))
    with contextlib.suppress(EngineError):  # not installed
        yield "openvino", _engine_rate(OpenVinoEngine(network, "products"))


def _rates_bf16() -> Iterator[tuple[str, float]]:
    yield "torch", _torch_rate(torch.bfloat16)
    with contextlib.suppress(EngineError):  # not installed, or the processor does not compute in it
        yield "openvino", _engine_rate(OpenVinoEngine(_products(), "products", precision="bf16"))


def _torch_rate(dtype: torch.dtype) -> float:
    a, b = (torch.randn(N, N).to(dtype) for _ in range(2))
    return _rate(lambda: a @ b)


def _engine_rate(engine: Engine) -> float:
    rows = np.random.default_rng(1).normal(size=(1, N, N)).astype(np.float32)
    try:
        return _rate(lambda: engine.embed({"rows": rows}), products=_CHAIN)
    finally:
        engine.close()


def _rate(action: Callable[[], object], products: int = 1) -> float:
    return 2.0 * products * N**3 / _fastest_s(action)


def _fastest_s(action: Callable[[], object]) -> float:
    """Processor time of the fastest of many runs."""
    spent_s = []
    for _ in range(_TIMES):
        begun_s = time.process_time()
        action()
        spent_s.append(time.process_time() - begun_s)
    return min(spent_s)


def _products() -> bytes:
    """ONNX: rows (1, N, N) times the same matrix, several times over; values keep their size."""
    matrix = np.random.default_rng(0).normal(0, N**-0.5, (N, N)).astype(np.float32)
    names = ["rows", *(f"product{number}" for number in range(1, _CHAIN)), "embedding"]
    nodes = [
        helper.make_node("MatMul", [before, "matrix"], [after])
        for before, after in itertools.pairwise(names)
    ]
    rows, embedding = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, N, N])
        for name in ("rows", "embedding")
    )
    graph = helper.make_graph(
        nodes, "products", [rows], [embedding], [numpy_helper.from_array(matrix, "matrix")]
    )
    opset = [helper.make_opsetid("", 17)]
    network: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return network
