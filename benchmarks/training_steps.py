"""The two training steps that ``train.py`` compares, each served by a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from plain_featex import PlainLearner

from edge_asd_train.compiling import compiled
from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.device import choose_device
from edge_asd_train.distributed import World
from edge_asd_train.loop import Run
from edge_asd_train.losses import check_gradients
from edge_asd_train.memory import keep_freed_memory
from edge_asd_train.recipe import Recipe

STAGES = ("decode", "features", "forward", "backward", "optimiser")


@dataclass(frozen=True)
class Settings:
    """What both processes are told."""

    folder: Path
    recipe: Recipe
    device: str
    threads: int
    exact: bool = False
    """Without the 10-bit mantissas that CUDA's convolutions have by default."""


def finish(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch:
    """Seconds of every stage of one step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.spent: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        finish(self.device)
        self.spent[name] = time.perf_counter() - begun


class ShippedStep:
    """The step of ``edge-asd-train fit``, taken apart."""

    def __init__(self, settings: Settings) -> None:
        keep_freed_memory()
        self.device = choose_device(settings.device)
        batches = Batches(ClipStore.open(settings.folder / "clips"), settings.recipe)
        self.run = Run(settings.folder, settings.recipe, batches, world=World(self.device))
        self.learner = self.run.learner.train()
        self.features_s = 0.0
        self.learner._inputs = self._timed(self.learner._inputs)  # noqa: SLF001
        self._contexts = ExitStack()
        if settings.recipe.compile:
            self._contexts.enter_context(compiled(self.learner.network, self.device))

    def _timed(self, inputs: Callable[..., Any]) -> Callable[..., Any]:
        """Augmentation and features in front of the network, with the time that they take."""

        def timed(*arguments: Any) -> Any:
            begun = time.perf_counter()
            made = inputs(*arguments)
            finish(self.device)
            self.features_s = time.perf_counter() - begun
            return made

        return timed

    def weights(self) -> dict[str, Any]:
        """What the plain step has to start from."""
        learner = self.learner
        if learner.heads is None:
            raise TypeError("a loss over episodes has no heads")
        return {
            "network": [p.detach().cpu() for p in learner.network.parameters()],
            "heads": {
                name: (
                    head.centres.detach().cpu(),
                    float(head.scale),
                    head.trainable,
                    learner.heads.weights[name],
                )
                for name, head in learner.heads.heads.items()
            },
        }

    def __call__(self, step: int, watch: Stopwatch) -> tuple[float, float]:
        run = self.run
        with watch.stage("decode"):
            waveforms, labels = (x.to(self.device) for x in run.batches.at(step))
            draws = replace(run.batches.draws(step), device=self.device)
        with watch.stage("forward"):
            run.optimiser.zero_grad(set_to_none=True)
            losses = self.learner.losses(waveforms, labels, draws)
            total = losses.total
        watch.spent["features"] = self.features_s
        watch.spent["forward"] -= self.features_s
        with watch.stage("backward"):
            total.backward()  # type: ignore[no-untyped-call]
        with watch.stage("optimiser"):
            losses.values(step)
            norm = check_gradients(self.learner, step)
            run.optimiser.step()
        return float(total.detach()), norm


class PlainStep:
    """The same as one would write it first."""

    def __init__(self, settings: Settings) -> None:
        self.device = choose_device(settings.device)
        self.batches = Batches(ClipStore.open(settings.folder / "clips"), settings.recipe)
        start = torch.load(settings.folder / "start.pt", weights_only=True)
        learner = PlainLearner(settings.recipe, start["network"], start["heads"])
        self.learner = learner.to(self.device).train()
        self.optimiser = self.learner.optimiser()

    def __call__(self, step: int, watch: Stopwatch) -> tuple[float, float]:
        rng = self.batches.draws(step).generator
        with watch.stage("decode"):
            waveforms, labels = self.batches.at(step)
        with watch.stage("features"):
            features = self.learner.features(waveforms, labels, rng, self.device)
        with watch.stage("forward"):
            self.optimiser.zero_grad()
            loss = self.learner.loss(*features, rng)
        with watch.stage("backward"):
            loss.backward()
        norm = gradient_norm(self.learner) if step == 0 else 0.0  # to compare, not to measure
        with watch.stage("optimiser"):
            self.optimiser.step()
            value = float(loss.detach())
        return value, norm


def gradient_norm(module: torch.nn.Module) -> float:
    """Length of all gradients together."""
    squares = [p.grad.square().sum() for p in module.parameters() if p.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


def serve(connection: Connection, kind: str, settings: Settings) -> None:
    """Answer step numbers with loss, gradient, seconds a stage and peak memory, until None."""
    torch.set_num_threads(settings.threads)
    torch.backends.cudnn.allow_tf32 = not settings.exact
    step: ShippedStep | PlainStep
    if kind == "shipped":
        step = ShippedStep(settings)
        torch.save(step.weights(), settings.folder / "start.pt")
    else:
        step = PlainStep(settings)
    connection.send("ready")
    while (number := connection.recv()) is not None:
        watch = Stopwatch(choose_device(settings.device))
        loss, norm = step(number, watch)
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        connection.send((loss, norm, watch.spent, memory_mb))


class Server:
    """A process that does steps."""

    def __init__(self, kind: str, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, kind, settings), daemon=True)
        self.process.start()
        theirs.close()
        self._answer()

    def step(self, number: int) -> tuple[float, float, dict[str, float], float]:
        self.connection.send(number)
        return self._answer()

    def close(self) -> None:
        self.connection.send(None)
        self.process.join()

    def _answer(self) -> Any:
        try:
            return self.connection.recv()
        except EOFError:
            raise SystemExit("a process ended early; its error stands above") from None
