"""The training loop."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edge_asd.errors import ConfigError, DataError
from edge_asd_train.batchnorm import reestimate_batch_norm
from edge_asd_train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.learner import Learner
from edge_asd_train.recipe import Optimiser, Recipe
from edge_asd_train.steplog import step_log

CHECKPOINT = "checkpoint.pt"
_SETTLE_PASSES = 8  # over the training set, at most, to settle the batch normalisation
LOG = "log.csv"
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
        folder: Holds the log and the checkpoint.
        recipe: What to do.
        batches: What to do it on.
        sources: What was trained on, in words; kept for the manifest.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        batches: Batches,
        *,
        sources: dict[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.batches = batches
        self.sources = sources or {}
        self.clock = clock
        batches.clips.check_trainable()
        self.total = recipe.total_steps(len(batches.clips))
        # A small set is seen often enough after a few passes.
        passes = -(-_SETTLE_PASSES * len(batches.clips) // recipe.batch)
        self.settle_batches = min(recipe.batch_norm_batches, max(_SETTLE_PASSES, passes))
        torch.manual_seed(recipe.seed)
        self.learner = Learner(recipe, len(batches.clips.classes))
        options = recipe.optimiser
        self.optimiser = torch.optim.Adam(
            self.learner.parameter_groups(),
            lr=options.learning_rate,
            betas=(options.beta1, options.beta2),
            eps=options.eps,
            fused=True,
        )
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
        self.step, self.seconds = checkpoint.step, checkpoint.seconds

    def train(
        self,
        report: Callable[[Progress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        settle: Callable[[], None] = lambda: None,
    ) -> bool:
        """Train to the end of the recipe, then settle the normalisation statistics.

        Args:
            report: Called after every step.
            stop: Asked after every step; true writes a checkpoint and leaves.
            settle: Called after every batch over which the statistics are taken.

        Returns:
            Whether the run has ended, rather than having been stopped.

        Raises:
            EdgeAsdError: A loss term is not finite.
            StorageError: Log or checkpoint cannot be written.
        """
        self.learner.train()
        started, before = self.clock(), self.seconds
        with step_log(self.folder / LOG, self.step) as log:
            while self.step < self.total and self._share(started) < 1.0:
                terms = self._advance(self._share(started))
                self.seconds = before + self.clock() - started
                log.write(self.step, terms, self.optimiser.param_groups[0]["lr"], self.seconds)
                report(Progress(self.step, self.total, self._averages(), self.seconds))
                if stop():
                    self._save(finished=False)
                    return False
                if self.step % self.recipe.checkpoint_steps == 0:
                    self._save(finished=False)
        reestimate_batch_norm(
            self.learner,
            self.batches,
            first=self.step,
            count=self.settle_batches,
            advance=settle,
        )
        self._save(finished=True)
        return True

    def _share(self, started: float) -> float:
        """Share of the run that lies behind, by steps or by time, whichever ends first."""
        share = self.step / self.total
        if self.recipe.max_minutes is not None:
            share = max(share, (self.clock() - started) / (60.0 * self.recipe.max_minutes))
        return share

    def _advance(self, share: float) -> dict[str, float]:
        """Do one step and return its loss terms."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe.optimiser, share, self.step)
        rng = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)
        self.optimiser.zero_grad(set_to_none=True)
        losses = self.learner.losses(*self.batches.at(self.step), rng)
        terms = losses.values(self.step)
        losses.total.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step += 1
        self._recent.append(terms)
        return terms

    def _averages(self) -> dict[str, float]:
        names = self._recent[-1] if self._recent else {}
        return {n: sum(t[n] for t in self._recent) / len(self._recent) for n in names}

    def _save(self, *, finished: bool) -> None:
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
        )
        save_checkpoint(self.folder / CHECKPOINT, state)
