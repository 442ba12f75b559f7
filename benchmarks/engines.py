"""What the settings of the CPU runtimes gain: why the engines are opened as they are.

All variants of a runtime take turns in one process, in an order drawn anew for every round, so that
whatever else happens slows all of them alike; figures are medians of the ratio to the setting that
is in use, for processor time and for the time that passes. Memory is what a process of its own
grows by when it opens the variant and embeds.

Threads that spin are not among them: they would slow the others. They took a quarter of a core at
five windows a second, and gained nothing.

    python benchmarks/engines.py [--bundle FILE]... [--rounds N] [--markdown]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime

from edge_asd.bundle import Bundle, builtin_bundle, load_bundle
from edge_asd.engine import openvino
from edge_asd.features import compute
from edge_asd.memory import give_back
from edge_asd.records import FloatArray

Inputs = dict[str, FloatArray]
Runner = Callable[[Inputs], object]
MEMORY_RUNS = 20


@dataclass(frozen=True)
class Variant:
    """One way to open a network."""

    runtime: str
    name: str
    settings: Mapping[str, Any]


LEVELS = onnxruntime.GraphOptimizationLevel
IN_USE = "in use"
ONNX = {
    IN_USE: {},
    "no arena": {"enable_cpu_mem_arena": False},
    "arena grows as asked": {"arena_extend_strategy": "kSameAsRequested"},
    "no memory pattern": {"enable_mem_pattern": False},
    "no arena, no pattern": {"enable_cpu_mem_arena": False, "enable_mem_pattern": False},
    "weights in the arena": {"session.use_device_allocator_for_initializers": "0"},
    "no prepacking": {"session.disable_prepacking": "1"},
    "denormals are zero": {"session.set_denormal_as_zero": "1"},
    "optimised: extended": {"graph_optimization_level": LEVELS.ORT_ENABLE_EXTENDED},
    "optimised: basic": {"graph_optimization_level": LEVELS.ORT_ENABLE_BASIC},
    "batch fixed to 1": {"batch": 1},
    "bound inputs and output": {"bound": True},
    "threads: 2": {"intra_op_num_threads": 2},
}
OPENVINO = {
    IN_USE: {},
    "shapes left open": {"open": True},
    "threads: 2": {"INFERENCE_NUM_THREADS": 2},
    "threads pinned": {"ENABLE_CPU_PINNING": True},
    "denormals are zero": {"CPU_DENORMALS_OPTIMIZATION": True},
    "no cache of kernels": {"CPU_RUNTIME_CACHE_CAPACITY": 0},
    "model cache, warm": {"CACHE_DIR": "model"},
    "memory not given back": {"kept": True},
}


def variants() -> Iterator[Variant]:
    """All of them, those in use first."""
    for name, settings in ONNX.items():
        yield Variant("onnxruntime fp32", name, settings)
    for precision in ("fp32", "bf16") if openvino.installed() else ():
        for name, settings in OPENVINO.items():
            yield Variant(f"openvino {precision}", name, settings)


def opened(variant: Variant, network: bytes, folder: str) -> Runner:
    """What embeds a window."""
    if variant.runtime.startswith("onnxruntime"):
        return open_onnx(network, dict(variant.settings))
    return open_openvino(network, variant.runtime.split()[1], dict(variant.settings), folder)


def open_onnx(network: bytes, settings: dict[str, Any]) -> Runner:
    """As `OnnxEngine`, but for the settings."""
    options = onnxruntime.SessionOptions()
    entries = {
        "session.intra_op.allow_spinning": "0",
        "session.inter_op.allow_spinning": "0",
        "session.use_device_allocator_for_initializers": "1",
    }
    bound, batch = settings.pop("bound", False), settings.pop("batch", None)
    strategy = settings.pop("arena_extend_strategy", None)
    provider = {"arena_extend_strategy": strategy} if strategy else {}
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if batch:
        options.add_free_dimension_override_by_name("batch", batch)
    for key, value in (entries | settings).items():
        if key.startswith("session."):
            options.add_session_config_entry(key, value)
        else:
            setattr(options, key, value)
    session = onnxruntime.InferenceSession(
        network, options, providers=[("CPUExecutionProvider", provider)]
    )
    return bound_runner(session) if bound else lambda inputs: session.run(None, inputs)


def bound_runner(session: onnxruntime.InferenceSession) -> Runner:
    """Into an output that is there already."""
    binding, (output,) = session.io_binding(), session.get_outputs()
    shape = [1, *output.shape[1:]]
    value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cpu", 0)

    def run(inputs: Inputs) -> object:
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        binding.bind_ortvalue_output(output.name, value)
        session.run_with_iobinding(binding)
        return value.numpy()

    return run


def open_openvino(network: bytes, precision: str, settings: dict[str, Any], folder: str) -> Runner:
    """As `OpenVinoEngine`, but for the settings."""
    core = openvino.load_openvino().Core()
    kept, left_open = settings.pop("kept", False), settings.pop("open", False)
    if "CACHE_DIR" in settings:
        settings["CACHE_DIR"] = folder
    model = core.read_model(network)
    if not left_open:
        model.reshape({one.any_name: [1, *list(one.partial_shape)[1:]] for one in model.inputs})
    compiled = core.compile_model(model, "CPU", openvino.settings(1, precision) | settings)
    request = compiled.create_infer_request()
    if not kept:
        give_back()
    return lambda inputs: request.infer(inputs, share_inputs=True)


def golden_inputs(bundle: Bundle) -> Inputs:
    """Of the first golden window, for the bundle's only network."""
    samples = bundle.golden.waveforms[:1].astype(np.float32) / np.float32(32768.0)
    (network,) = bundle.manifest.networks
    rate = bundle.manifest.sample_rate
    return {name: compute(spec, samples, rate) for name, spec in network.inputs.items()}


def only_network(bundle: Bundle) -> bytes:
    """Its ONNX file."""
    (network,) = bundle.manifest.networks
    return bundle.network(network.id, "fp32")


@dataclass(frozen=True)
class Cost:
    """Of a window."""

    processor_s: float
    passed_s: float


def in_turn(runners: Mapping[str, Runner], inputs: Inputs, rounds: int) -> dict[str, list[Cost]]:
    """What every variant takes in every round."""
    for run in runners.values():
        run(inputs)
    found: dict[str, list[Cost]] = {name: [] for name in runners}
    order, rng = list(runners), np.random.default_rng(0)
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            run = runners[name]
            processor_s, passed_s = time.process_time(), time.perf_counter()
            run(inputs)
            cost = Cost(time.process_time() - processor_s, time.perf_counter() - passed_s)
            found[name].append(cost)
    return found


def grown_mb(variant: Variant, bundle: Path, folder: str) -> float:
    """Private memory that opening and running it takes, in a process of its own."""
    command = [sys.executable, __file__, "--bundle", str(bundle), "--folder", folder]
    command += ["--memory-of", variant.runtime, variant.name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def print_memory(runtime: str, name: str, bundle: Bundle, folder: str) -> None:
    """What `grown_mb` reads."""
    (variant,) = (one for one in variants() if (one.runtime, one.name) == (runtime, name))
    inputs, network = golden_inputs(bundle), only_network(bundle)
    before_mb = private_mb()
    run = opened(variant, network, folder)
    for _ in range(MEMORY_RUNS):
        run(inputs)
    print(json.dumps(private_mb() - before_mb))


def private_mb() -> float:
    """Memory that no other process shares."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    sizes = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(sizes) / 1024


def report(path: Path, rounds: int, folder: str) -> Iterator[tuple[str, ...]]:
    """Rows: runtime, variant, ms of processor, its ratio, ratio of time passed, MB."""
    bundle = load_bundle(path)
    inputs, network = golden_inputs(bundle), only_network(bundle)
    for runtime in dict.fromkeys(one.runtime for one in variants()):
        group = [one for one in variants() if one.runtime == runtime]
        runners = {one.name: opened(one, network, folder) for one in group}
        found = in_turn(runners, inputs, rounds)
        for one in group:
            costs, base = found[one.name], found[IN_USE]
            pairs = list(zip(costs, base, strict=True))
            yield (
                runtime,
                one.name,
                f"{1e3 * statistics.median(c.processor_s for c in costs):.2f}",
                f"{statistics.median(c.processor_s / b.processor_s for c, b in pairs):.2f}",
                f"{statistics.median(c.passed_s / b.passed_s for c, b in pairs):.2f}",
                f"{grown_mb(one, path, folder):.1f}",
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, action="append", help="default: the built-in one")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    paths = arguments.bundle or [builtin_bundle()]
    if arguments.memory_of:
        print_memory(*arguments.memory_of, load_bundle(paths[0]), arguments.folder)
        return
    columns = ("runtime", "setting", "ms", "processor", "time", "MB")
    for path in paths:
        versions = f"onnxruntime {onnxruntime.__version__}, {os.cpu_count()} cores"
        print(f"\n{path.name}, {versions}: ratios to the setting in use\n")
        print(line(columns, markdown=arguments.markdown))
        if arguments.markdown:
            print("|---|---|---|---|---|---|")
        with TemporaryDirectory() as folder:
            for row in report(path, arguments.rounds, folder):
                print(line(row, markdown=arguments.markdown), flush=True)


def line(cells: tuple[str, ...], *, markdown: bool) -> str:
    """One row."""
    if markdown:
        return f"| {' | '.join(cells)} |"
    return "{:17} {:24} {:>7} {:>9} {:>6} {:>7}".format(*cells)


if __name__ == "__main__":
    main()
