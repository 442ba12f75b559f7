"""What a bundle's networks shall run on, as an operator or a command asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EngineName = Literal["auto", "tensorrt", "openvino", "onnxruntime"]
Arithmetic = Literal["auto", "fp32", "fp16", "bf16"]
"""What an engine computes in; ``auto`` is the fastest that passes the golden vectors."""

PRECISIONS: Mapping[EngineName, tuple[Arithmetic, ...]] = {
    "onnxruntime": ("fp32", "fp16"),
    "openvino": ("fp32", "bf16"),
    "tensorrt": ("fp32", "fp16"),
}
"""What each computes in."""

BUILD_S = 1800.0
"""A board builds a plan in minutes; one that takes longer is stuck."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """Which runtime and how; the default is the one that is there everywhere."""

    name: EngineName = "onnxruntime"
    precision: Arithmetic = "fp32"
    threads: int = 1
    """Inside one operator, at least 1."""
    cache: Path | None = None
    """Folder for what is measured or built once on this device; None remembers nothing."""
    build_s: float = BUILD_S
    """Longest time for building a TensorRT plan."""


ANYWHERE = EngineRequest()
