"""What of TensorRT's Python API is used: the same from 10.3 to 11.4, and nothing beyond it.

Every object of TensorRT is one of these types, so that the type checker refuses a call that is not
declared here, and a test holds each declaration against the genuine bindings of three versions.
Arguments are given by position: their names differ between versions.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Protocol, cast

from edge_asd.errors import EngineError

MODULE = "tensorrt"


class Flag(Protocol):
    """A member of one of TensorRT's enumerations."""

    def __int__(self) -> int: ...


class NetworkDefinitionCreationFlag(Protocol):
    """How a network is to be read."""

    STRONGLY_TYPED: Flag


class BuilderFlag(Protocol):
    """What a builder may do."""

    TF32: Flag


class MemoryPoolType(Protocol):
    """Kinds of memory that a builder may use."""

    WORKSPACE: Flag


class DataType(Protocol):
    """Types of a tensor's elements; those that a network of ours may have."""

    FLOAT: Flag
    HALF: Flag


class TensorIOMode(Protocol):
    """Whether a tensor goes in or comes out."""

    INPUT: Flag


class Severity(Protocol):
    """How grave a message is; a smaller number is graver."""

    ERROR: Flag
    WARNING: Flag


class IHostMemory(Protocol):
    """Bytes that TensorRT owns."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


class ITensor(Protocol):
    """An input or output of a network definition."""

    name: str
    shape: Sequence[int]


class INetworkDefinition(Protocol):
    """A network, as parsed."""

    num_inputs: int

    def get_input(self, index: int, /) -> ITensor: ...


class ParserError(Protocol):
    """Why the parser refuses a network."""

    def desc(self) -> str: ...


class OnnxParser(Protocol):
    """Reads ONNX."""

    num_errors: int

    def parse(self, model: bytes, /) -> bool: ...
    def get_error(self, index: int, /) -> ParserError: ...


class IOptimizationProfile(Protocol):
    """Range of shapes that a plan serves."""

    def set_shape(
        self, name: str, low: Sequence[int], best: Sequence[int], high: Sequence[int], /
    ) -> None: ...


class ITimingCache(Protocol):
    """What was timed in an earlier build."""

    def serialize(self) -> IHostMemory: ...


class ILogger(Protocol):
    """Receives messages; subclassed."""

    def log(self, severity: Flag, message: str, /) -> None: ...


class IProgressMonitor(Protocol):
    """Follows a build, called from several threads; subclassed."""

    def phase_start(self, phase: str, parent: str | None, steps: int, /) -> None: ...
    def step_complete(self, phase: str, step: int, /) -> bool: ...
    def phase_finish(self, phase: str, /) -> None: ...


class IBuilderConfig(Protocol):
    """How a plan is built."""

    progress_monitor: IProgressMonitor

    def clear_flag(self, flag: Flag, /) -> None: ...
    def set_flag(self, flag: Flag, /) -> None: ...
    def set_memory_pool_limit(self, pool: Flag, size: int, /) -> None: ...
    def add_optimization_profile(self, profile: IOptimizationProfile, /) -> int: ...
    def create_timing_cache(self, serialized: bytes, /) -> ITimingCache | None: ...
    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool, /) -> bool: ...  # noqa: FBT001
    def get_timing_cache(self) -> ITimingCache | None: ...


class Builder(Protocol):
    """Builds plans."""

    def create_network(self, flags: int, /) -> INetworkDefinition: ...
    def create_builder_config(self) -> IBuilderConfig: ...
    def create_optimization_profile(self) -> IOptimizationProfile: ...
    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig, /
    ) -> IHostMemory | None: ...


class IExecutionContext(Protocol):
    """A plan with memory to run in."""

    def set_optimization_profile_async(self, profile: int, stream: int, /) -> bool: ...
    def set_input_shape(self, name: str, shape: Sequence[int], /) -> bool: ...
    def set_tensor_address(self, name: str, address: int, /) -> bool: ...
    def infer_shapes(self) -> Sequence[str]: ...
    def get_tensor_shape(self, name: str, /) -> Sequence[int]: ...
    def execute_async_v3(self, stream: int, /) -> bool: ...


class ICudaEngine(Protocol):
    """A plan on a GPU."""

    num_io_tensors: int

    def get_tensor_name(self, index: int, /) -> str: ...
    def get_tensor_mode(self, name: str, /) -> Flag: ...
    def get_tensor_dtype(self, name: str, /) -> Flag: ...
    def get_tensor_shape(self, name: str, /) -> Sequence[int]: ...
    def get_tensor_profile_shape(self, name: str, profile: int, /) -> Sequence[Sequence[int]]: ...
    def create_execution_context(self) -> IExecutionContext | None: ...


class Runtime(Protocol):
    """Reads plans."""

    engine_host_code_allowed: bool

    def deserialize_cuda_engine(self, plan: bytes, /) -> ICudaEngine | None: ...


class LoggerClass(Protocol):
    """The class to derive a logger from, which holds the severities."""

    Severity: Severity


_Logger = ILogger  # names that mean something else within the next class
_Builder = Builder
_Parser = OnnxParser
_Runtime = Runtime


class Api(Protocol):
    """The module itself."""

    __version__: str
    NetworkDefinitionCreationFlag: NetworkDefinitionCreationFlag
    BuilderFlag: BuilderFlag
    MemoryPoolType: MemoryPoolType
    DataType: DataType
    TensorIOMode: TensorIOMode
    ILogger: LoggerClass
    IProgressMonitor: type

    def __hash__(self) -> int: ...
    def Builder(self, logger: _Logger, /) -> _Builder: ...
    def OnnxParser(self, network: INetworkDefinition, logger: _Logger, /) -> _Parser: ...
    def Runtime(self, logger: _Logger, /) -> _Runtime: ...


def load() -> Api:
    """Import TensorRT; only after the driver was found to work, for without one it crashes.

    Raises:
        EngineError: It is not installed, or one of its libraries is missing.
    """
    try:
        return cast("Api", importlib.import_module(MODULE))
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(f"TensorRT cannot be imported: {error}") from error
