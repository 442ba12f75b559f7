"""CPU engines that a request leaves open, the one that is there everywhere first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_asd.engine import openvino
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import ConfigError

CpuEngine = Literal["onnxruntime", "openvino"]
CpuPrecision = Literal["fp32", "fp16", "bf16"]

_PRECISIONS: dict[CpuEngine, tuple[CpuPrecision, ...]] = {
    "onnxruntime": ("fp32", "fp16"),
    "openvino": ("fp32", "bf16"),
}


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """An engine and what it computes in."""

    name: CpuEngine
    precision: CpuPrecision

    def __str__(self) -> str:
        return f"{self.name} {self.precision}"


DEFAULT = Candidate("onnxruntime", "fp32")


def candidates(request: EngineRequest) -> list[Candidate]:
    """What may serve a request on the CPU, at least one.

    TensorRT is not among them: while it is asked for and not there, the CPU stands in.

    Raises:
        ConfigError: OpenVINO is asked for and not installed, or the engine does not compute in the
            precision.
    """
    if request.name == "onnxruntime":
        return _of("onnxruntime", "fp32" if request.precision == "auto" else request.precision)
    if request.name == "openvino":
        _need_openvino("engine: openvino")
        return _of("openvino", request.precision)
    if request.precision == "bf16" and request.name == "auto":
        _need_openvino("engine.precision: bf16")
        return _of("openvino", "bf16")
    if not openvino.installed():
        return [DEFAULT]
    # fp16 is for accelerators: a processor computes it in fp32, and slower.
    return [DEFAULT, *_of("openvino", "fp32" if request.precision in ("fp32", "fp16") else "auto")]


def _of(name: CpuEngine, precision: str) -> list[Candidate]:
    known = _PRECISIONS[name]
    if precision != "auto" and precision not in known:
        raise ConfigError(
            f"engine.precision: {name} computes in {' or '.join(known)}, not in {precision}"
        )
    return [Candidate(name, one) for one in known if precision in ("auto", one)]


def _need_openvino(key: str) -> None:
    if not openvino.installed():
        raise ConfigError(
            f"{key}: OpenVINO is not installed; pip install 'edge-asd[openvino]', or engine: auto"
        )
