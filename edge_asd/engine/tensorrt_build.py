"""Build a TensorRT plan from ONNX, on the device that it will run on; takes minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_asd.engine.tensorrt_api import (
    Api,
    Builder,
    IBuilderConfig,
    INetworkDefinition,
    OnnxParser,
    load,
)
from edge_asd.engine.tensorrt_log import Gathered, Progress, gathered
from edge_asd.errors import EngineError

MAX_BATCH = 8


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What a plan is built for; each of them makes another plan."""

    precision: str = "fp32"
    """Of the ONNX: a strongly typed plan computes in the types of its network, and in no other."""
    max_batch: int = MAX_BATCH
    """Windows embedded together at most."""
    workspace_bytes: int = 512 << 20
    """Scratch memory that the builder may plan with."""
    tf32: bool = False
    """Let fp32 products be rounded to ten bits of mantissa."""

    @property
    def key(self) -> str:
        """The same in one word, for the name of what is cached."""
        tf32 = "tf32" if self.tf32 else "ieee"
        return f"{self.precision}-b{self.max_batch}-w{self.workspace_bytes >> 20}-{tf32}"


@dataclass(frozen=True, slots=True, eq=False)
class BuiltPlan:
    """A plan and what was timed for it."""

    plan: bytes
    timing_cache: bytes
    """Makes the next build on this device shorter."""


def build_plan(
    onnx: bytes, options: PlanOptions, timing_cache: bytes, report: Callable[[float, str], bool]
) -> BuiltPlan:
    """Build a plan; in a process of its own, for TensorRT can crash or hang.

    Args:
        onnx: The network, its tensors in the types it shall compute in.
        options: What to build.
        timing_cache: Of an earlier build, or empty; one of another device is ignored.
        report: Called from TensorRT's threads with the share done, 0 to 1, and the phase; returns
            False to stop the build.

    Raises:
        EngineError: TensorRT refuses the network, fails, or was stopped.
    """
    api = load()
    said, progress = gathered(api), Progress(api, report)
    said.take()  # whatever an earlier call complained about
    try:
        builder = api.Builder(said.listener)
        strongly_typed = 1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(strongly_typed)
        parser = api.OnnxParser(network, said.listener)  # held: the network's weights are its own
        _parse(parser, onnx, said)
        config = _configure(api, builder, network, options)
        _remember(config, timing_cache)
        config.progress_monitor = progress.monitor
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise progress.error or EngineError(_why(progress, said))
        timed = config.get_timing_cache()
        return BuiltPlan(bytes(plan), bytes(timed.serialize()) if timed else b"")
    except (TypeError, RuntimeError) as error:  # how its bindings fail
        raise EngineError(f"TensorRT cannot build a plan: {error}; {said.take()}") from error


def _why(progress: Progress, said: Gathered) -> str:
    if progress.stopped:
        return "the building of the plan was stopped"
    return f"TensorRT cannot build a plan: {said.take()}"


def _parse(parser: OnnxParser, onnx: bytes, said: Gathered) -> None:
    if not parser.parse(onnx):
        reasons = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise EngineError(
            f"TensorRT does not accept the network: {'; '.join(reasons) or said.take()}"
        )


def _configure(
    api: Api, builder: Builder, network: INetworkDefinition, options: PlanOptions
) -> IBuilderConfig:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.tf32:
        config.set_flag(api.BuilderFlag.TF32)
    else:
        config.clear_flag(api.BuilderFlag.TF32)  # TensorRT's own default is on
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        # Tuned for the largest batch: a GPU that serves one window is idle most of the time.
        low, high = (_sized(tensor.shape, batch) for batch in (1, options.max_batch))
        profile.set_shape(tensor.name, low, high, high)
    config.add_optimization_profile(profile)
    return config


def _sized(shape: Sequence[int], batch: int) -> tuple[int, ...]:
    """A shape with its dynamic batch axis set."""
    first, *rest = shape
    if first != -1 or -1 in rest:
        raise EngineError(
            f"the network has an input of shape {tuple(shape)}: only its first axis may be dynamic"
        )
    return (batch, *rest)


def _remember(config: IBuilderConfig, timing_cache: bytes) -> None:
    """Start from what was timed before, or from nothing where that does not fit this device."""
    for serialized in (timing_cache, b""):
        cache = config.create_timing_cache(serialized)
        if cache is not None and config.set_timing_cache(cache, False):  # noqa: FBT003
            return
