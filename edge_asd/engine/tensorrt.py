"""TensorRT, from 10.3 to 11.4: a plan on a GPU as an engine.

Nothing of TensorRT or CUDA is imported before it is asked for. The driver comes first in every
path: TensorRT without one crashes the process instead of refusing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from edge_asd.engine.cuda import Buffer, Cuda, HangError, Stream, abandon
from edge_asd.engine.tensorrt_api import MODULE, load
from edge_asd.engine.tensorrt_build import MAX_BATCH, BuiltPlan, PlanOptions, build_plan
from edge_asd.engine.tensorrt_run import Bucket, Plan, Tensor, buckets
from edge_asd.errors import EngineError
from edge_asd.records import FloatArray

logger = logging.getLogger(__name__)

__all__ = [
    "MAX_BATCH",
    "BuiltPlan",
    "PlanOptions",
    "TensorRtEngine",
    "TensorRtPlatform",
    "build_plan",
    "installed",
    "lacking",
    "platform",
]

DEADLINE_S = 5.0
"""A batch takes milliseconds: a GPU that is silent for so long hangs."""

_WARM_UP = 10
"""The first run of a plan may take so many deadlines: it loads kernels."""


@dataclass(frozen=True, slots=True)
class TensorRtPlatform:
    """What a plan is bound to."""

    version: str
    """Of TensorRT."""
    gpu: str
    compute_capability: str
    driver: str
    """Newest CUDA that the driver speaks."""
    integrated: bool


def installed() -> bool:
    """Whether TensorRT and cuda-bindings can be found; imports neither."""
    return not lacking()


def lacking() -> str:
    """What is not installed of the two, with the remedy; empty where both can be found."""
    if find_spec(MODULE) is None:
        return "TensorRT is not installed"
    try:
        bindings = find_spec("cuda.bindings")
    except ModuleNotFoundError:  # no `cuda` to look into
        bindings = None
    if bindings is None:
        return (
            "TensorRT is here and cuda-bindings is not: pip install 'cuda-bindings==13.*' into "
            "edge-asd's environment ('==12.9.*' on JetPack 6 and wherever CUDA is 12)"
        )
    return ""


def platform() -> TensorRtPlatform:
    """Find out what a plan would be bound to.

    Raises:
        EngineError: No driver, no GPU, no TensorRT.
    """
    gpu = Cuda().gpu
    version = load().__version__
    return TensorRtPlatform(
        version, gpu.name, gpu.compute_capability, gpu.driver, integrated=gpu.integrated
    )


class TensorRtEngine:
    """One network as a TensorRT plan on the first GPU; not thread-safe, but bound to no thread.

    A batch runs in the smallest bucket that holds it: each has an execution context and a CUDA
    graph of its own, recorded once over buffers that never move. A larger batch is divided.

    Args:
        plan: As built by ``build_plan`` on this very device. One that is damaged can crash the
            process: try it in a child first.
        label: What to call it in errors.
        precision: Of the network it was built from.
        deadline_s: Longest time for a batch.

    Raises:
        EngineError: The plan does not fit the device, or does not run.
    """

    name = "tensorrt"

    def __init__(
        self, plan: bytes, label: str, *, precision: str, deadline_s: float = DEADLINE_S
    ) -> None:
        self.precision, self.label, self._deadline_s = precision, label, deadline_s
        self._unusable, self._hangs = "", False
        held = ExitStack()
        self._held: ExitStack | None = held
        try:
            self._open(plan, held)
        except EngineError as error:
            self._unusable = str(error)
            self._release(hangs=isinstance(error, HangError))
            raise EngineError(f"{label}: {error}") from error
        self.batch = self._buckets[-1].batch

    def embed(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Embed a batch of windows: inputs (B, …) -> (B, S, D) float32."""
        if self._unusable:
            raise EngineError(f"{self.label}: {self._unusable}")
        count = self._count(inputs)
        z = np.empty((count, *self._output.buffer.array.shape[1:]), np.float32)
        for start in range(0, count, self.batch):
            end = min(start + self.batch, count)
            self._fill(inputs, start, end)
            z[start:end] = self._run(end - start)
        if not np.isfinite(z).all():
            raise EngineError(f"{self.label}: the network produced a value that is not finite")
        return z

    def close(self) -> None:
        """Release the GPU; may be called again, and from another thread than the last."""
        self._unusable = self._unusable or "the engine is closed"
        self._release(hangs=self._hangs)

    def _open(self, plan: bytes, held: ExitStack) -> None:
        """Take everything; ``held`` releases it in the reverse order."""
        self._cuda = cuda = Cuda()
        held.callback(cuda.close)
        cuda.enter()
        stream = self._stream = Stream(cuda)
        held.callback(stream.close)
        opened = Plan(load(), plan)
        held.callback(opened.close)
        sizes = {batch: opened.size(batch, stream) for batch in buckets(opened.max_batch)}
        shapes = {name: (opened.max_batch, *shape) for name, shape in opened.inputs.items()}
        shapes[opened.output] = sizes[opened.max_batch]
        tensors = {}
        for name, shape in shapes.items():
            buffer = Buffer(cuda, shape, opened.dtypes[name])
            held.callback(buffer.close)
            tensors[name] = Tensor(name, buffer)
        self._output = tensors.pop(opened.output)
        self._inputs = tensors
        self._buckets = [Bucket(opened, size, tensors.values(), self._output) for size in sizes]
        for bucket in self._buckets:
            held.callback(bucket.close)
            bucket.record(cuda, stream, self._deadline_s * _WARM_UP)
        held.callback(cuda.enter)  # whichever thread closes

    def _count(self, inputs: Mapping[str, FloatArray]) -> int:
        """Windows in a batch whose names and shapes are those of the plan."""
        expected = {name: one.buffer.array.shape[1:] for name, one in self._inputs.items()}
        found = {name: one.shape[1:] for name, one in inputs.items()}
        if found != expected:
            raise EngineError(f"{self.label}: the plan takes {expected}, was given {found}")
        counts = {len(one) for one in inputs.values()}
        if len(counts) != 1:
            raise EngineError(f"{self.label}: inputs of {sorted(counts)} windows in one batch")
        return counts.pop()

    def _fill(self, inputs: Mapping[str, FloatArray], start: int, end: int) -> None:
        """Lay windows of a batch where the plan reads them, in its types."""
        try:
            with np.errstate(over="raise"):
                for name, tensor in self._inputs.items():
                    tensor.buffer.array[: end - start] = inputs[name][start:end]
        except FloatingPointError as error:
            raise EngineError(f"{self.label}: an input value is too large for fp16") from error

    def _run(self, count: int) -> FloatArray:
        """Run so many windows in the smallest bucket that holds them; (count, S, D)."""
        bucket = next(one for one in self._buckets if one.batch >= count)
        try:
            self._cuda.enter()  # the thread that embeds need not be the one that opened
            bucket.launch(self._stream)
            self._stream.wait(self._deadline_s)
        except EngineError as error:
            # What is left on the stream could mix with the next batch.
            self._unusable, self._hangs = str(error), isinstance(error, HangError)
            raise EngineError(f"{self.label}: inference failed: {error}") from error
        return self._output.buffer.array[:count]

    def _release(self, *, hangs: bool) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        if hangs:
            abandon((self, held))
            return
        try:
            held.close()
        except EngineError as error:  # after a failure of the GPU everything fails, this as well
            logger.debug("engine=tensorrt release=%s", error)
