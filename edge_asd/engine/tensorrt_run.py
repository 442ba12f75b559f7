"""A TensorRT plan made ready to run: its tensors on the GPU, and a recorded graph a batch size."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_asd.engine.cuda import Buffer, Cuda, Graph, Stream
from edge_asd.engine.tensorrt_api import Api, ICudaEngine, IExecutionContext, Runtime
from edge_asd.engine.tensorrt_log import gathered
from edge_asd.errors import EngineError

logger = logging.getLogger(__name__)

Shape = tuple[int, ...]


class Plan:
    """A plan that TensorRT accepted, and the contexts to run it in.

    Args:
        api: TensorRT; a GPU's context is current.
        plan: What ``build_plan`` made.

    Raises:
        EngineError: TensorRT refuses it, or it is not a network as ours are.
    """

    def __init__(self, api: Api, plan: bytes) -> None:
        self._said = gathered(api)
        self._said.take()  # whatever an earlier call complained about
        self._contexts: dict[int, IExecutionContext] = {}
        try:
            self._runtime: Runtime | None = api.Runtime(self._said.listener)
            self._runtime.engine_host_code_allowed = False  # a plan is data, not a program
            engine = self._runtime.deserialize_cuda_engine(plan)
        except (TypeError, RuntimeError) as error:  # how its bindings fail
            raise EngineError(f"TensorRT does not start: {error}; {self._said.take()}") from error
        if engine is None:
            raise EngineError(f"TensorRT refuses the plan: {self._said.take()}")
        self._engine: ICudaEngine | None = engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self.dtypes = {name: _dtype(api, engine, name) for name in names}
        ins = [name for name in names if engine.get_tensor_mode(name) == api.TensorIOMode.INPUT]
        self.inputs = {name: tuple(engine.get_tensor_shape(name))[1:] for name in ins}
        outputs = [name for name in names if name not in self.inputs]
        if len(outputs) != 1 or not ins:
            raise EngineError(f"the plan has inputs {ins} and outputs {outputs}, not one output")
        (self.output,) = outputs
        self.max_batch = min(_largest(engine, name) for name in ins)

    def size(self, batch: int, stream: Stream) -> Shape:
        """Make a context for batches of exactly that size; return the shape of its output."""
        if self._engine is None:
            raise EngineError("the plan is closed")
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT has no memory for batches of {batch}: {self._said.take()}")
        fits = context.set_optimization_profile_async(0, stream.handle) and all(
            context.set_input_shape(name, (batch, *shape)) for name, shape in self.inputs.items()
        )
        if not fits:
            raise EngineError(f"the plan serves no batches of {batch}: {self._said.take()}")
        self._contexts[batch] = context
        return tuple(context.get_tensor_shape(self.output))

    def bind(self, batch: int, tensors: Iterable[Tensor]) -> None:
        """Tell the context of a batch size where its tensors lie, for good."""
        context = self._contexts[batch]
        for tensor in tensors:
            if not context.set_tensor_address(tensor.name, tensor.buffer.address):
                raise EngineError(f"TensorRT refuses the address of {tensor.name}")
        missing = list(context.infer_shapes())
        if missing:
            raise EngineError(f"the shapes of {', '.join(missing)} are not known to TensorRT")

    def run(self, batch: int, stream: Stream) -> None:
        """Enqueue one run."""
        if not self._contexts[batch].execute_async_v3(stream.handle):
            raise EngineError(f"TensorRT does not run the plan: {self._said.take()}")

    def close(self) -> None:
        """Release what depends on another before that."""
        self._contexts.clear()
        self._engine = None
        self._runtime = None


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An input or output for the largest batch; smaller ones use its beginning."""

    name: str
    buffer: Buffer

    def size_bytes(self, batch: int) -> int:
        """What a batch takes of it."""
        return batch * self.buffer.size_bytes // len(self.buffer.array)


class Bucket:
    """One batch size: copying in, running and copying out, recorded as one graph where possible.

    Args:
        plan: What runs; it has a context of this size.
        batch: The size.
        inputs: Where the plan reads.
        output: Where it writes.
    """

    def __init__(self, plan: Plan, batch: int, inputs: Iterable[Tensor], output: Tensor) -> None:
        self._plan, self.batch = plan, batch
        self._inputs, self._output = tuple(inputs), output
        self._graph: Graph | None = None
        plan.bind(batch, (*self._inputs, output))

    def record(self, cuda: Cuda, stream: Stream, deadline_s: float) -> None:
        """Run once, as TensorRT requires, and record the graph.

        Raises:
            EngineError: The plan does not run.
        """
        self._enqueue(stream)
        stream.wait(deadline_s)
        graph = Graph(cuda)
        try:
            with stream.recorded(graph):
                self._enqueue(stream)
        except EngineError as error:  # costs speed, nothing else
            logger.info("engine=tensorrt batch=%d graph=none reason=%s", self.batch, error)
        else:
            self._graph = graph

    def launch(self, stream: Stream) -> None:
        """Enqueue everything."""
        if self._graph is None:
            self._enqueue(stream)
        else:
            stream.launch(self._graph)

    def close(self) -> None:
        """Release the graph."""
        if self._graph is not None:
            self._graph.close()

    def _enqueue(self, stream: Stream) -> None:
        for tensor in self._inputs:
            stream.upload(tensor.buffer, tensor.size_bytes(self.batch))
        self._plan.run(self.batch, stream)
        stream.download(self._output.buffer, self._output.size_bytes(self.batch))


def buckets(max_batch: int) -> list[int]:
    """Batch sizes that get a graph of their own: powers of two, and the largest.

    >>> buckets(8), buckets(6), buckets(1)
    ([1, 2, 4, 8], [1, 2, 4, 6], [1])
    """
    powers = (1 << exponent for exponent in range(max_batch.bit_length()))
    return [*(one for one in powers if one < max_batch), max_batch]


def _largest(engine: ICudaEngine, name: str) -> int:
    """Largest batch of an input, by the plan's only profile."""
    _, _, high = engine.get_tensor_profile_shape(name, 0)
    return int(high[0])


def _dtype(api: Api, engine: ICudaEngine, name: str) -> npt.DTypeLike:
    found = engine.get_tensor_dtype(name)
    for known, dtype in ((api.DataType.FLOAT, np.float32), (api.DataType.HALF, np.float16)):
        if found == known:
            return dtype
    raise EngineError(f"the plan's tensor {name} is neither fp32 nor fp16")
