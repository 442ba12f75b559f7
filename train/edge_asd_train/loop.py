"""The training loop."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edge_asd.errors import ConfigError, DataError
from edge_asd_train.averaging import WeightAverage
from edge_asd_train.batchnorm import StepSource, reestimate_batch_norm
from edge_asd_train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edge_asd_train.compiling import compiled
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.datasets.prefetch import Prefetch
from edge_asd_train.distributed import World
from edge_asd_train.learner import Learner
from edge_asd_train.losses import DivergedError, LossTerms, check_gradients
from edge_asd_train.nets.shared_norm import share_batch_norm
from edge_asd_train.recipe import Recipe
from edge_asd_train.recipe_parts import Optimiser
from edge_asd_train.steplog import StepLog, step_logs

CHECKPOINT = "checkpoint.pt"
DIVERGED = "diverged.pt"
LOG = "log.csv"
_SETTLE_PASSES = 8  # over the training set, at most, to settle the batch normalisation
_AVERAGED = 100  # steps whose loss terms are averaged for display and record


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after a step."""

    step: int
    total: int
    terms: dict[str, float]
    """Loss terms, averaged over the last steps."""
    seconds: float
    """Time spent on all steps so far."""


def learning_rate(optimiser: Optimiser, done: float, step: int) -> float:
    """Learning rate of a step.

    Args:
        optimiser: Peak, schedule and warm-up.
        done: Share of the run that lies behind, 0 to 1.
        step: Steps done.
    """
    rate = optimiser.learning_rate
    if optimiser.schedule == "cosine":
        rate *= 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    if step < optimiser.warmup_steps:
        rate *= (step + 1) / optimiser.warmup_steps
    return rate


class Run:
    """One training run in a folder.

    Args:
        folder: Holds the logs and the checkpoint.
        recipe: What to do.
        batches: What to do it on; the rows of this process, where several train together.
        sources: What was trained on, in words; kept for the manifest.
        world: Device, and the processes that train together.
        tensorboard: Whether to write TensorBoard's log too.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        batches: Batches,
        *,
        sources: dict[str, Any] | None = None,
        world: World | None = None,
        tensorboard: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.batches = batches
        self.sources = sources or {}
        self.world = world or World(torch.device("cpu"))
        self.tensorboard = tensorboard
        self.clock = clock
        batches.clips.check_trainable()
        self.total = recipe.total_steps(len(batches.clips))
        # A small set is seen often enough after a few passes.
        passes = -(-_SETTLE_PASSES * len(batches.clips) // recipe.batch)
        self.settle_batches = min(recipe.batch_norm_batches, max(_SETTLE_PASSES, passes))
        self.learner = _new_learner(recipe, len(batches.clips.classes), self.world)
        options = recipe.optimiser
        self.optimiser = torch.optim.Adam(
            self.learner.parameter_groups(),
            lr=options.learning_rate,
            betas=(options.beta1, options.beta2),
            eps=options.eps,
            fused=True,
        )
        network = self.learner.network
        self.average = WeightAverage(network, recipe.ema) if recipe.ema else None
        self.step = 0
        self.seconds = 0.0
        self._recent: deque[dict[str, float]] = deque(maxlen=_AVERAGED)

    def resume(self) -> None:
        """Go on from the folder's checkpoint.

        Raises:
            DataError: There is none, or it is of other clips or already finished.
            ConfigError: It is of another recipe.
        """
        path = self.folder / CHECKPOINT
        checkpoint = load_checkpoint(path)
        if checkpoint.finished:
            raise DataError(f"{path}: this run has ended; export it or train in another folder")
        if checkpoint.classes != self.batches.clips.classes:
            raise DataError(f"{path}: the classes differ from those of the clips; start over")
        free = {"steps": None, "epochs": None, "max_minutes": None, "checkpoint_steps": 1}
        if checkpoint.recipe.model_copy(update=free) != self.recipe.model_copy(update=free):
            raise ConfigError(f"{path}: the run began with another recipe; start over or use that")
        self.learner.load_state_dict(checkpoint.learner)
        self.optimiser.load_state_dict(checkpoint.optimiser)
        if self.average:
            self.average.load_state_dict(checkpoint.averaged)
        self.step, self.seconds = checkpoint.step, checkpoint.seconds
        self._recent.extend(checkpoint.recent)

    def train(
        self,
        report: Callable[[Progress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        settle: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> bool:
        """Train to the end of the recipe, then settle the normalisation statistics.

        Args:
            report: Called after every step.
            stop: Asked after every step; true writes a checkpoint and leaves.
            settle: Called after every batch over which the statistics are taken, with how many
                were seen and how many there are.

        Returns:
            Whether the run has ended, rather than having been stopped.

        Raises:
            DivergedError: A loss term or gradient is not finite; the state is in ``diverged.pt``
                and the checkpoint is the last one written before.
            StorageError: Log or checkpoint cannot be written.
        """
        with closing(Prefetch(self.batches, self.world.device)) as ahead:
            if not self._steps(ahead, report, stop):
                return False
            self._settle(ahead, settle)
        return True

    def _steps(
        self, source: StepSource, report: Callable[[Progress], None], stop: Callable[[], bool]
    ) -> bool:
        """Do the steps that are left; return whether all were done."""
        self.learner.train()
        started, before = self.clock(), self.seconds
        with self._compiled(), self._logs() as logs:
            while self.step < self.total and self._share(started) < 1.0:
                terms = self._advance(source, self._share(started))
                self.seconds = before + self.clock() - started
                for log in logs:
                    log.write(self.step, terms, self.optimiser.param_groups[0]["lr"], self.seconds)
                report(Progress(self.step, self.total, self._averages(), self.seconds))
                if self.world.any(stop()):
                    self._save()
                    return False
                if self.step % self.recipe.checkpoint_steps == 0:
                    self._save()
        return True

    def _settle(self, source: StepSource, settle: Callable[[int, int], None]) -> None:
        """Make the network what is to be exported."""
        if self.average:
            self.average.apply()
        done = itertools.count(1)
        reestimate_batch_norm(
            self.learner,
            source,
            first=self.step,
            count=self.settle_batches,
            advance=lambda: settle(next(done), self.settle_batches),
        )
        self._save(finished=True)

    def _compiled(self) -> AbstractContextManager[None]:
        if not self.recipe.compile:
            return nullcontext()
        return compiled(self.learner.network, self.world.device)

    def _logs(self) -> AbstractContextManager[list[StepLog]]:
        if not self.world.leads:
            return nullcontext([])
        return step_logs(self.folder / LOG, self.step, tensorboard=self.tensorboard)

    def _share(self, started: float) -> float:
        """Share of the run that lies behind, by steps or by time, whichever ends first."""
        share = self.step / self.total
        if self.recipe.max_minutes is not None:
            spent = self.world.agreed(self.clock() - started)
            share = max(share, spent / (60.0 * self.recipe.max_minutes))
        return share

    def _advance(self, source: StepSource, share: float) -> dict[str, float]:
        """Do one step and return its loss terms."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe.optimiser, share, self.step)
        self.optimiser.zero_grad(set_to_none=True)
        losses = self.learner.losses(*source.at(self.step), source.draws(self.step))
        losses.total.backward()  # type: ignore[no-untyped-call]
        self.world.average_gradients(self.learner.parameters())
        terms = self._checked(losses)
        self.optimiser.step()
        self.step += 1
        if self.average:
            self.average.follow(self.step)
        self._recent.append(terms)
        return terms

    def _checked(self, losses: LossTerms) -> dict[str, float]:
        """Loss terms over the whole batch, once they and all gradients are known to be finite."""
        try:
            means = self.world.mean(torch.stack(list(losses.terms.values())).detach())
            terms = LossTerms(dict(zip(losses.terms, means, strict=True))).values(self.step)
            norm = check_gradients(self.learner, self.step)
        except DivergedError:
            self._save(DIVERGED)
            raise
        longest = self.recipe.clip_gradient
        if longest is not None and norm > longest:
            for parameter in self.learner.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(longest / norm)
        return terms

    def _averages(self) -> dict[str, float]:
        names = self._recent[-1] if self._recent else {}
        return {n: sum(t[n] for t in self._recent) / len(self._recent) for n in names}

    def _save(self, name: str = CHECKPOINT, *, finished: bool = False) -> None:
        """Write the state; returns when it is on the disk, in every process."""
        if self.world.leads:
            state = Checkpoint(
                recipe=self.recipe,
                classes=self.batches.clips.classes,
                step=self.step,
                seconds=self.seconds,
                finished=finished,
                learner=self.learner.state_dict(),
                # Adam's moments are needed to go on only, and are twice the size of the weights.
                optimiser={} if finished else self.optimiser.state_dict(),
                losses=self._averages(),
                sources=self.sources,
                averaged=self.average.state_dict() if self.average and not finished else {},
                recent=list(self._recent),
            )
            save_checkpoint(self.folder / name, state)
        self.world.wait()


def _new_learner(recipe: Recipe, classes: int, world: World) -> Learner:
    """The learner on its device; its initial weights depend on the seed alone."""
    torch.manual_seed(recipe.seed)
    learner = Learner(recipe, classes)
    if world.size > 1:
        share_batch_norm(learner.network)
    return learner.to(world.device)
