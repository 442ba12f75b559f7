"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_asd.errors import EngineError
from edge_asd.records import FloatArray


class OnnxEngine:
    """One network on ONNX Runtime's CPU provider.

    Args:
        network: The ONNX file's bytes.
        label: What to call it in errors.
        threads: Threads inside one operator, at least 1. They do not spin between windows: that
            would cost a quarter of a core at five windows a second and gain nothing.
        precision: Of the file.

    Raises:
        EngineError: The runtime does not accept the network.
    """

    name = "onnxruntime"
    batch = 1  # a batch gains nothing on a CPU

    def __init__(
        self, network: bytes, label: str, threads: int = 1, *, precision: str = "fp32"
    ) -> None:
        import onnxruntime  # noqa: PLC0415 - 8 MB and 0.1 s, where another engine serves

        self.precision = precision
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        # Weights lie outside the arena: 1.3 MB less with FeatEx. What else there is to set (arena,
        # memory pattern, prepacking, bound outputs) gains nothing: benchmarks/engines.py.
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.log_severity_level = 3  # errors only: the daemon's log is for the operator
        self.label = label
        try:
            self._session = onnxruntime.InferenceSession(
                network, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's errors have no common base
            raise EngineError(f"{label}: ONNX Runtime refuses the network: {error}") from error
        self._output = self._session.get_outputs()[0].name

    def embed(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Embed a batch of windows: inputs (B, …) -> (B, S, D) float32."""
        try:
            (z,) = self._session.run([self._output], dict(inputs))
        except Exception as error:
            raise EngineError(f"{self.label}: inference failed: {error}") from error
        if not np.isfinite(z).all():
            raise EngineError(f"{self.label}: the network produced a value that is not finite")
        return np.asarray(z, dtype=np.float32)

    def close(self) -> None:
        """Release the runtime."""
        del self._session
