"""CPU engines that a request leaves open, the one that is there everywhere first."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Literal, cast

from edge_asd.engine import openvino
from edge_asd.engine_request import PRECISIONS, EngineRequest
from edge_asd.errors import ConfigError

CpuEngine = Literal["onnxruntime", "openvino"]
CpuPrecision = Literal["fp32", "fp16", "bf16"]

_HARDENED = (
    "OpenVINO compiles while it runs, which the hardened service may not do",
    "edge-asd service install --with jit allows it",
)
_MISSING = ("OpenVINO is not installed", "pip install 'edge-asd[openvino]'")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine and what it computes in."""

    name: CpuEngine
    precision: CpuPrecision

    def __str__(self) -> str:
        return f"{self.name} {self.precision}"


DEFAULT = Candidate("onnxruntime", "fp32")


@dataclass(frozen=True, slots=True)
class Field:
    """Who may serve: where it is more than one, the first is kept unless another is worth more."""

    candidates: tuple[Candidate, ...]
    reason: str
    """Why no others."""


def candidates(request: EngineRequest) -> Field:
    """What may serve a request on the CPU.

    TensorRT is not among them: while it is asked for and not there, the CPU stands in.

    Raises:
        ConfigError: OpenVINO is asked for and cannot run here, or the engine does not compute in
            the precision.
    """
    name, precision = request.name, request.precision
    if name == "onnxruntime":
        return _of("onnxruntime", "fp32" if precision == "auto" else precision)
    if name == "openvino" or (name == "auto" and precision == "bf16"):
        obstacle = _obstacle()
        if obstacle:
            key = "engine" if name == "openvino" else "engine.precision: bf16"
            raise ConfigError(f"{key}: {'; '.join(obstacle)}, or use engine: onnxruntime")
        return _of("openvino", precision)
    obstacle = _obstacle()
    if obstacle:
        return Field((DEFAULT,), obstacle[0])
    # fp16 is for accelerators: a processor computes it in fp32, and slower.
    others = _of("openvino", "fp32" if precision in ("fp32", "fp16") else "auto").candidates
    return Field((DEFAULT, *others), "")


def _of(name: CpuEngine, precision: str) -> Field:
    known = cast("tuple[CpuPrecision, ...]", PRECISIONS[name])
    if precision != "auto" and precision not in known:
        raise ConfigError(
            f"engine.precision: {name} computes in {' or '.join(known)}, not in {precision}"
        )
    chosen = tuple(Candidate(name, one) for one in known if precision in ("auto", one))
    return Field(chosen, "as asked for")


def _obstacle() -> tuple[str, str] | None:
    """Why OpenVINO cannot run here, and the remedy; None if nothing stands in its way."""
    if not openvino.installed():
        return _MISSING
    return None if _may_compile() else _HARDENED


def _may_compile() -> bool:
    """Whether memory may be written and run, asked for the way a compiler does."""
    try:
        mmap.mmap(
            -1,
            mmap.PAGESIZE,
            flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
            prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC,
        ).close()
    except OSError:
        return False
    return True
