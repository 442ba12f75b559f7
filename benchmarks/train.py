"""Clips a second of one training step on this machine, stage by stage, against a plain one.

The plain step (``plain_featex.py``) is what one would write first: eager, float32, features on the
host clip by clip, Adam as it comes. Both run in processes of their own, in turn, so that what else
the machine does falls on both; the first step's loss and gradient have to agree before anything is
measured. Stages wait for the device, one after the other; the training loop itself, which makes
batches ahead, is measured afterwards. Medians are over steps.

    python benchmarks/train.py [--recipe NAME|FILE] [--window-s S] [--batch N] [--steps N]
                               [--classes N] [--threads N] [--device auto|cpu|cuda]
                               [--compile] [--roofline] [--json FILE]

With CUDA, or with ``--roofline``, the arithmetic and the memory traffic of a step stand beside the
rates at which the device multiplies and copies.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from roofline import measure_roofline
from training_steps import STAGES, Server, Settings, ShippedStep, Stopwatch

from edge_asd_train.datasets import Clip, ClipStore, Pending
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.device import choose_device
from edge_asd_train.distributed import World
from edge_asd_train.loop import Run
from edge_asd_train.memory import keep_freed_memory
from edge_asd_train.recipe import Recipe, load_recipe

SCHEDULE_CLIPS = 10 * 14_000
TOLERANCE = 1e-3
"""Relative difference of loss and gradient up to which both compute the same."""


def write_clips(folder: Path, recipe: Recipe, clips: int, classes: int) -> None:
    """Noise in as many classes as a data set has; what is in the clips costs nothing."""
    length = recipe.window_samples + recipe.sample_rate
    rng = np.random.default_rng(0)

    def stream() -> Iterator[Clip]:
        for number in range(max(clips, classes)):
            label = f"class-{number % classes}"
            noise = rng.integers(-3000, 3000, length if number < clips else 1024, np.int16)
            yield Clip(noise, label=label, machine="noise")

    ClipStore.create(folder / "clips", [Pending(max(clips, classes), stream)])


def plain_recipe(recipe: Recipe) -> Recipe:
    """Refuse what the plain step does not know."""
    network = recipe.network
    known = {
        "network": network.kind == "featex" and network.magnitude == "linear",
        "episodes": recipe.episodes is None,
        "loss.head": recipe.loss.head == "adacos",
        "loss.scale": recipe.loss.scale == "fixed",
        "augment.statex_time": recipe.augment.statex_time == 0,
        "augment.colour_db": recipe.augment.colour_db == 0,
    }
    for key, plain in known.items():
        if not plain:
            raise SystemExit(f"recipe {recipe.name}: the plain step does not know its {key}")
    return recipe


def check_parity(settings: Settings) -> tuple[float, float]:
    """Loss and gradient of the first step in float32, the same in both, or an end.

    Returns:
        Relative differences.
    """
    float32 = settings.recipe.changed(precision="float32", compile=False)
    exact = replace(settings, recipe=float32, exact=True)
    differences = []
    shipped = Server("shipped", exact)
    plain = Server("plain", exact)
    for name, ours, theirs in zip(
        ("loss", "gradient"), shipped.step(0), plain.step(0), strict=False
    ):
        differences.append(abs(ours - theirs) / abs(theirs))
        if differences[-1] > TOLERANCE:
            raise SystemExit(f"{name} of the first step differs: {ours} and {theirs} (plain)")
    shipped.close()
    plain.close()
    return differences[0], differences[1]


def measure(settings: Settings, steps: int) -> dict[str, Any]:
    """Seconds of every stage of both, in turn."""
    servers = {"shipped": Server("shipped", settings), "plain": Server("plain", settings)}
    spent: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    memory = dict.fromkeys(servers, 0.0)
    for number in range(steps + 1):
        for name, server in servers.items():
            _, _, stages, memory[name] = server.step(number)
            if number:  # the first one allocates
                spent[name].append(stages)
    for server in servers.values():
        server.close()
    totals = {name: np.array([sum(s.values()) for s in rows]) for name, rows in spent.items()}
    return {
        "stages_ms": {
            name: {stage: 1e3 * median([row[stage] for row in rows]) for stage in STAGES}
            for name, rows in spent.items()
        },
        "step_ms": {name: 1e3 * median(total) for name, total in totals.items()},
        "ratio": median(totals["plain"] / totals["shipped"]),
        "peak_memory_mb": memory,
    }


def measure_loop(settings: Settings, steps: int) -> float:
    """Median seconds of a step in the training loop itself, which makes batches ahead."""
    recipe = settings.recipe.changed(steps=steps + 1, batch_norm_batches=1)
    batches = Batches(ClipStore.open(settings.folder / "clips"), recipe)
    world = World(choose_device(settings.device))
    seconds: list[float] = []
    run = Run(settings.folder, recipe, batches, world=world)
    run.train(report=lambda progress: seconds.append(progress.seconds))
    return median(np.diff(seconds))


def median(values: Any) -> float:
    return float(np.median(values))


def machine(device: torch.device, threads: int) -> str:
    """One line about what was measured on."""
    cpu = platform.processor() or platform.machine()
    names = Path("/proc/cpuinfo")
    if names.is_file():
        models = [row for row in names.read_text().splitlines() if row.startswith("model name")]
        cpu = models[0].partition(":")[2].strip() if models else cpu
    parts = [f"{cpu}, {os.cpu_count()} cores, {threads} threads", f"torch {torch.__version__}"]
    if device.type == "cuda":
        parts.append(torch.cuda.get_device_name(device))
    if hasattr(os, "getloadavg"):
        parts.append(f"load {os.getloadavg()[0]:.1f}")
    return ", ".join(parts)


def table(found: dict[str, Any], batch: int) -> str:
    """Markdown: a row a stage."""
    stages, step = found["stages_ms"], found["step_ms"]
    rows = [(name, stages["shipped"][name], stages["plain"][name]) for name in STAGES]
    rows.append(("a step", step["shipped"], step["plain"]))
    lines = ["| stage | edge-asd-train | plain | ratio |", "|---|---|---|---|"]
    lines += [f"| {n} | {a:.1f} ms | {b:.1f} ms | {b / a:.2f} |" for n, a, b in rows]
    rates = [1e3 * batch / step[name] for name in ("shipped", "plain")]
    lines.append(f"| clips/s | {rates[0]:.1f} | {rates[1]:.1f} | {found['ratio']:.2f} |")
    looped = batch / found["loop_s"]
    lines.append(f"| clips/s in the training loop | {looped:.1f} | | |")
    minutes = [SCHEDULE_CLIPS / rate / 60 for rate in (looped, rates[1])]
    lines.append(f"| 10 epochs of 14 000 clips | {minutes[0]:.1f} min | {minutes[1]:.1f} min | |")
    memory = found["peak_memory_mb"]
    lines.append(f"| peak memory | {memory['shipped']:.0f} MB | {memory['plain']:.0f} MB | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="published")
    parser.add_argument("--window-s", type=float, help="Instead of the recipe's.")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--classes", type=int, default=167, help="As in DCASE 2023.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", default=None, help="As in the recipe.")
    parser.add_argument("--roofline", action="store_true", help="Also without CUDA.")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    recipe = plain_recipe(load_recipe(arguments.recipe)).changed(
        window_s=arguments.window_s,
        batch=arguments.batch,
        compile=arguments.compile,
        background={"probability": 0.0},
    )
    device = choose_device(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder), recipe, arguments.device, arguments.threads)
        write_clips(settings.folder, recipe, 4 * recipe.batch, arguments.classes)
        differences = check_parity(settings)
        found = measure(settings, arguments.steps)
        torch.set_num_threads(arguments.threads)
        keep_freed_memory()
        found["loop_s"] = measure_loop(settings, arguments.steps)
        if device.type == "cuda" or arguments.roofline:
            step = ShippedStep(settings)
            found["roofline"] = measure_roofline(
                lambda: step(0, Stopwatch(device)), device, recipe.precision
            )
    print(machine(device, arguments.threads))
    print(
        f"recipe {recipe.name}, {recipe.precision}, batch {recipe.batch}, windows of"
        f" {recipe.window_s:g} s, {arguments.classes} classes; median of {arguments.steps} steps;"
        f" loss and gradient of step 0 differ by {differences[0]:.1e} and {differences[1]:.1e}\n"
    )
    print(table(found, recipe.batch))
    if "roofline" in found:
        print(f"\n{roofline_text(found, recipe)}")
    if arguments.json:
        found |= {"machine": machine(device, arguments.threads), "parity": differences}
        found["recipe"] = recipe.model_dump(mode="json")
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def roofline_text(found: dict[str, Any], recipe: Recipe) -> str:
    """What the device could do at most, and how much of it is used."""
    roof = found["roofline"]
    compute_ms = 1e3 * roof["flop"] / roof["flop_per_s"]
    traffic_ms = 1e3 * roof["bytes"] / roof["bytes_per_s"]
    taken_ms = sum(found["stages_ms"]["shipped"][s] for s in STAGES[1:])
    return (
        f"a step does {roof['flop'] / 1e9:.1f} GFLOP in products and convolutions"
        f" ({roof['flop_per_s'] / 1e12:.2f} TFLOP/s measured: {compute_ms:.1f} ms) and its kernels"
        f" read and write {roof['bytes'] / 1e9:.2f} GB ({roof['bytes_per_s'] / 1e9:.0f} GB/s"
        f" measured: {traffic_ms:.1f} ms); without decoding it takes {taken_ms:.1f} ms,"
        f" {100 * max(compute_ms, traffic_ms) / taken_ms:.0f} % of the roof at a batch of"
        f" {recipe.batch}"
    )


if __name__ == "__main__":
    main()
