"""OpenVINO on the CPU: an extra, faster than ONNX Runtime on some processors, most in bfloat16.

It compiles kernels for the processor it finds, which the hardened service may not do unless it is
installed with ``--with jit``. Nothing of it is imported before an engine is made.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, cast

import numpy as np

from edge_asd.errors import EngineError
from edge_asd.memory import give_back
from edge_asd.records import FloatArray

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_JIT_REFUSED = "can't protect"  # what its compiler says where no memory may be written and run


def installed() -> bool:
    """Whether the package is there; it is not imported."""
    return importlib.util.find_spec("openvino") is not None


class OpenVinoEngine:
    """One network on OpenVINO's CPU plug-in.

    The network is compiled for one window at a time, which costs less than shapes that stay open,
    and gives a window the same embedding in any batch.

    Args:
        network: The fp32 network's ONNX file.
        label: What to call it in errors.
        threads: Threads inside one operator, at least 1.
        precision: ``fp32`` or ``bf16``.

    Raises:
        EngineError: The runtime is missing, does not accept the network, or the processor does not
            compute in that precision.
    """

    name = "openvino"
    batch = 1  # a batch gains nothing on a CPU

    def __init__(
        self, network: bytes, label: str, threads: int = 1, *, precision: str = "fp32"
    ) -> None:
        if precision not in _HINTS:
            raise EngineError(f"{label}: OpenVINO computes in {' or '.join(_HINTS)} here")
        self.precision, self.label = precision, label
        self._request = _compiled(network, label, threads, precision).create_infer_request()
        give_back()  # what compiling took: 18 MB with FeatEx

    def embed(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Embed a batch of windows: inputs (B, …) -> (B, S, D) float32."""
        count = len(next(iter(inputs.values())))
        found = []
        try:
            for index in range(count):
                window = {name: array[index : index + 1] for name, array in inputs.items()}
                # Inputs are read where they lie; the output is copied out of the runtime's memory.
                (z,) = self._request.infer(window, share_inputs=True).values()
                found.append(z)
        except Exception as error:  # the runtime's errors have no common base
            raise EngineError(f"{self.label}: inference failed: {_brief(error)}") from error
        result = np.asarray(found[0] if count == 1 else np.concatenate(found), dtype=np.float32)
        if not np.isfinite(result).all():
            raise EngineError(f"{self.label}: the network produced a value that is not finite")
        return result

    def close(self) -> None:
        """Release the runtime."""
        del self._request


def load_openvino() -> Any:
    """The package, kept from telling its makers that somebody imports it.

    It would ask a thread to reach www.google-analytics.com, and leave an identifier in the home
    directory. Without the package that does so it has an empty one of its own.
    """
    sys.modules.setdefault("openvino_telemetry", cast("ModuleType", None))  # cannot be imported
    import openvino  # noqa: PLC0415 - 0.1 s and 15 MB, for those who ask for it

    return openvino


def _compiled(network: bytes, label: str, threads: int, precision: str) -> Any:
    try:
        openvino = load_openvino()
    except Exception as error:  # a broken library raises what it likes
        raise EngineError(f"{label}: OpenVINO cannot be imported: {_brief(error)}") from error
    compiled = None
    try:
        core = openvino.Core()
        if precision == "fp32" or "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            model = core.read_model(network)
            shapes = {one.any_name: [1, *list(one.partial_shape)[1:]] for one in model.inputs}
            model.reshape(shapes)
            compiled = core.compile_model(model, "CPU", settings(threads, precision))
    except Exception as error:  # the runtime's errors have no common base
        raise EngineError(f"{label}: OpenVINO refuses the network: {_brief(error)}") from error
    if compiled is None:
        raise EngineError(f"{label}: this processor does not compute in {precision}")
    return compiled


def settings(threads: int, precision: str) -> dict[str, Any]:
    """How the plug-in is asked to compute; benchmarks/engines.py measures the alternatives."""
    return {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        # Which core a thread keeps to is the operator's choice (`worker: cpus`), not the runtime's:
        # two processes would be given the same one.
        "ENABLE_CPU_PINNING": False,
    }


def _brief(error: Exception) -> str:
    """The last line of an error that begins with where in the runtime's sources it arose."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    if _JIT_REFUSED not in last:
        return last
    return (
        "it compiles while it runs, and the service's hardening forbids that; "
        "`edge-asd service install --with jit` allows it"
    )
