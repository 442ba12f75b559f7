"""``edge-asd-train fit``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import torch
from rich.progress import Progress, TaskID

from edge_asd.errors import UsageError
from edge_asd_train import loop
from edge_asd_train.cli.common import FOLDER, INTERRUPTED, interruptible, progress_bars
from edge_asd_train.datasets.discover import LAYOUT_NAMES
from edge_asd_train.datasets.findings import Invalid
from edge_asd_train.datasets.simulated import kinds_without
from edge_asd_train.distributed import World, joined
from edge_asd_train.memory import keep_freed_memory
from edge_asd_train.prepare import Sources
from edge_asd_train.recipe import load_recipe
from edge_asd_train.steplog import check_tensorboard
from edge_asd_train.training import Outcome, link_clips, plan_runs, prepare_together, train_run


@click.command()
@click.option("--recipe", default="general", show_default=True, help="Name or YAML file.")
@click.option("--data", type=FOLDER, help="Folder of machines: MACHINE/{train,normal}/*.wav.")
@click.option(
    "--layout",
    type=click.Choice(LAYOUT_NAMES),
    default="auto",
    show_default=True,
    help="How file names in --data are read: a year of DCASE Task 2, or plain folders.",
)
@click.option(
    "--invalid",
    type=click.Choice(["refuse", "skip"]),
    default="refuse",
    show_default=True,
    help="Refuse --data with bad clips, or leave them out.",
)
@click.option("--simulated", type=click.IntRange(0), default=0, help="Simulated machines to add.")
@click.option(
    "--leave-out",
    metavar="KINDS",
    help="Kinds that --simulated leaves out, joined by commas; evaluate --first-shot uses them.",
)
@click.option("--noise", type=FOLDER, help="Folder of class folders; also mixed in as background.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the run.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's.")
@click.option("--seeds", type=click.IntRange(1), help="Runs with successive seeds, in OUT/seed-S.")
@click.option("--steps", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's; passes.")
@click.option("--max-minutes", type=float, help="End cleanly after this time.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--tensorboard", is_flag=True, help="Write OUT/tensorboard beside OUT/log.csv.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads; all by default.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
def fit(
    *,
    recipe: str,
    data: Path | None,
    layout: str,
    invalid: Invalid,
    simulated: int,
    leave_out: str | None,
    noise: Path | None,
    out: Path,
    seed: int | None,
    seeds: int | None,
    steps: int | None,
    epochs: int | None,
    max_minutes: float | None,
    device: str,
    tensorboard: bool,
    threads: int | None,
    resume: bool,
) -> None:
    """Train a network.

    Ctrl-C and SIGTERM write a checkpoint and leave; --resume goes on from there. With --seeds it
    goes on with those that have not ended. Started by torchrun, processes share every batch; all
    of them must see OUT.

    \b
    Example:
      edge-asd-train fit --recipe general --simulated 400 --out runs/general-2
    """  # noqa: D301 - \b is click's mark for a paragraph that is not to be rewrapped
    if steps and epochs:
        raise UsageError("give either --steps or --epochs")
    if tensorboard:
        check_tensorboard()
    changes = {"seed": seed, "steps": steps, "epochs": epochs, "max_minutes": max_minutes}
    chosen = load_recipe(recipe).changed(**changes)
    left_out = tuple(leave_out.split(",")) if leave_out else ()
    if left_out and not simulated:
        raise UsageError("--leave-out leaves kinds out of --simulated; give that too")
    kinds_without(left_out)  # refused before any other source is read
    sources = Sources(data, simulated, noise, layout=layout, invalid=invalid, left_out=left_out)
    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    with joined(device) as world, progress_bars(shown=world.leads) as bars:
        world.check(chosen)
        planned = plan_runs(out, chosen, seeds, resume=resume)
        clips, background = prepare_together(
            out, chosen, sources, world, progress=partial(_clips_bar, bars), resume=resume
        )
        described = sources.describe(clips)
        with interruptible() as interrupted:
            for run in planned:
                if seeds and world.leads:
                    link_clips(out, run.folder)
                shown = _RunBars(bars, run.folder.name)
                outcome = train_run(
                    run.folder,
                    run.recipe,
                    clips,
                    background,
                    sources=described,
                    world=world,
                    resume=run.begun,
                    tensorboard=tensorboard,
                    report=shown.report,
                    settle=shown.settle,
                    stop=interrupted,
                )
                _say(outcome, world)


def _say(outcome: Outcome, world: World) -> None:
    """Say how a run left off; leave if it was interrupted."""
    if not outcome.finished:
        if world.leads:
            click.echo(f"interrupted after step {outcome.step}; go on with --resume", err=True)
        sys.exit(INTERRUPTED)
    if world.leads:
        click.echo(f"{outcome.checkpoint}: {outcome.step} steps in {outcome.seconds / 60:.1f} min")


def _clips_bar(bars: Progress, title: str, total: int) -> Callable[[], None]:
    task = bars.add_task(title, total=total, terms="")
    return lambda: bars.advance(task)


class _RunBars:
    """The bars of one run, which appear when there is something to show."""

    def __init__(self, bars: Progress, name: str) -> None:
        self._bars = bars
        self._name = name
        self._tasks: dict[str, TaskID] = {}

    def report(self, progress: loop.Progress) -> None:
        terms = " ".join(f"{name}={value:.3f}" for name, value in progress.terms.items())
        self._show("training", progress.step, progress.total, terms)

    def settle(self, done: int, total: int) -> None:
        self._show("normalising", done, total, "")

    def _show(self, title: str, done: int, total: int, terms: str) -> None:
        if title not in self._tasks:
            # A resumed run begins where it stands, so that the time left is right.
            self._tasks[title] = self._bars.add_task(
                f"{title} {self._name}", total=total, completed=done, terms=terms
            )
        self._bars.update(self._tasks[title], completed=done, terms=terms)
