"""Training runs from clips to a checkpoint: one, or several that differ in their seed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.errors import DataError, StorageError, UsageError
from edge_asd_train.budget import check_memory
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.device import choose_device
from edge_asd_train.distributed import World
from edge_asd_train.loop import CHECKPOINT, Progress, Run
from edge_asd_train.prepare import Sources, prepare
from edge_asd_train.recipe import Recipe

_SHARED = ("clips", "noise", "data")
"""Folders that runs with different seeds have in common."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run left off."""

    checkpoint: Path
    finished: bool
    """Whether it has ended, rather than having been stopped."""
    step: int
    """Steps done."""
    seconds: float
    """Time spent on them, over all parts of the run."""


def train_run(
    out: Path,
    recipe: Recipe,
    clips: ClipStore,
    noise: ClipStore | None = None,
    *,
    sources: dict[str, Any] | None = None,
    device: str = "cpu",
    world: World | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    report: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    settle: Callable[[int, int], None] = lambda _done, _total: None,
) -> Outcome:
    """Train one network in this process.

    Args:
        out: Folder of the run, made if missing.
        recipe: What to do.
        clips: What to do it on.
        noise: Background, where the recipe wants it.
        sources: What was trained on, in words; kept for the manifest.
        device: As for ``choose_device``; not looked at when ``world`` is given.
        world: Device and processes that train together.
        resume: Go on from the checkpoint in ``out``.
        tensorboard: Whether to write TensorBoard's log beside the CSV file.
        report: Called after every step.
        stop: Asked after every step; true writes a checkpoint and leaves.
        settle: Called after every batch of the final statistics, with how many were seen and how
            many there are.

    Raises:
        EdgeAsdError: As ``Run`` and ``World.check`` raise them.
    """
    world = world or World(choose_device(device))
    world.check(recipe)
    claim(out, resume=resume)
    rows = world.rows(recipe.batch)
    check_memory(recipe, len(clips.classes), len(rows), world.device)
    batches = Batches(clips, recipe, noise, rows=rows)
    run = Run(out, recipe, batches, sources=sources, world=world, tensorboard=tensorboard)
    if resume:
        run.resume()
    finished = run.train(report, stop, settle)
    return Outcome(out / CHECKPOINT, finished, run.step, run.seconds)


def claim(out: Path, *, resume: bool) -> None:
    """Make the folder of a run, and never overwrite another run.

    Raises:
        UsageError: It holds a run and that is not to be resumed.
        DataError: It holds none and one is to be resumed.
        StorageError: It cannot be made.
    """
    begun = (out / CHECKPOINT).exists()
    if begun and not resume:
        raise UsageError(f"{out}: holds a run already; add --resume or choose another folder")
    if resume and not begun:
        raise DataError(f"{out}: no checkpoint; nothing was trained here yet, so omit --resume")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{out}: cannot make the folder: {error.strerror}") from error


def prepare_together(
    out: Path,
    recipe: Recipe,
    sources: Sources,
    world: World,
    *,
    progress: Callable[[str, int], Callable[[], None]],
    resume: bool,
) -> tuple[ClipStore, ClipStore | None]:
    """Decode all clips in one process, and open them in all of them.

    Args:
        out: Folder of the run, which all processes see.
        recipe: As for ``prepare``.
        sources: As for ``prepare``.
        world: The processes.
        progress: As for ``prepare``.
        resume: Whether clips that an earlier part of the run decoded may be used.

    Raises:
        EdgeAsdError: As ``prepare`` raises them.
    """
    if world.leads:
        reuse = resume and _decoded(out, sources)
        prepared = prepare(out, recipe, sources, progress=progress, reuse=reuse)
        world.wait()
        return prepared
    world.wait()
    return prepare(out, recipe, sources, progress=progress, reuse=True)


def _decoded(out: Path, sources: Sources) -> bool:
    """Whether clips lie in a folder whole, rather than not yet or no longer."""
    try:
        for name in ("clips", "noise") if sources.noise else ("clips",):
            ClipStore.open(out / name)
    except DataError as error:
        _logger.info("decoding=again reason=%s", error)
        return False
    return True


@dataclass(frozen=True, slots=True)
class Planned:
    """One of several runs that is still to be done."""

    folder: Path
    recipe: Recipe
    begun: bool
    """Whether it goes on from a checkpoint."""


def plan_runs(out: Path, recipe: Recipe, seeds: int | None, *, resume: bool) -> list[Planned]:
    """What is to be trained.

    Args:
        out: Folder of the run, or of several.
        recipe: What to do; its seed is the first.
        seeds: Number of runs with successive seeds, in ``out/seed-S``; nothing for a single run
            in ``out`` itself.
        resume: Go on: with several, runs that have ended are left out and others may be new.

    Raises:
        EdgeAsdError: As ``claim`` and ``load_checkpoint`` raise them.
    """
    if seeds is None:
        claim(out, resume=resume)
        return [Planned(out, recipe, resume)]
    planned = []
    for seed in range(recipe.seed, recipe.seed + seeds):
        folder = out / f"seed-{seed}"
        begun = (folder / CHECKPOINT).exists()
        claim(folder, resume=resume and begun)
        if not (begun and load_checkpoint(folder / CHECKPOINT).finished):
            planned.append(Planned(folder, recipe.changed(seed=seed), begun))
    return planned


def link_clips(out: Path, folder: Path) -> None:
    """Let the run in ``out/seed-S`` use the clips in ``out`` as if they were its own.

    Raises:
        StorageError: The links cannot be made.
    """
    try:
        for name in _SHARED:
            link = folder / name
            if (out / name).is_dir() and not link.exists():
                link.symlink_to(Path("..") / name, target_is_directory=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot link the clips: {error.strerror}") from error
