"""The command line of training: ``edge-asd-train``."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

import edge_asd
from edge_asd.errors import EdgeAsdError, StorageError, UsageError
from edge_asd_train import loop
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.datasets.wavs import planned_files, write_simulated
from edge_asd_train.export import Label, export_bundle
from edge_asd_train.memory import keep_freed_memory
from edge_asd_train.prepare import Sources, prepare
from edge_asd_train.recipe import load_recipe

_INTERRUPTED = 130
_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


class _Group(click.Group):
    """Commands whose foreseen errors are one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgeAsdError as error:
            click.echo(f"edge-asd-train: {error}", err=True)
            sys.exit(error.exit_code)


@click.group(cls=_Group, context_settings={"max_content_width": 100})
@click.version_option(edge_asd.__version__, prog_name="edge-asd-train")
@click.option("-v", "--verbose", is_flag=True, help="Say more on standard error.")
def main(*, verbose: bool) -> None:
    """Train networks for edge-asd and pack them into bundles."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s %(message)s")


@main.command()
@click.option("--recipe", default="general", show_default=True, help="Name or YAML file.")
@click.option("--data", type=_FOLDER, help="Folder of machines: MACHINE/{train,normal}/*.wav.")
@click.option("--simulated", type=click.IntRange(0), default=0, help="Simulated machines to add.")
@click.option("--noise", type=_FOLDER, help="Folder of class folders; also mixed in as background.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of the run.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's.")
@click.option("--steps", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--max-minutes", type=float, help="End cleanly after this time.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads; all by default.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
def fit(
    *,
    recipe: str,
    data: Path | None,
    simulated: int,
    noise: Path | None,
    out: Path,
    seed: int | None,
    steps: int | None,
    max_minutes: float | None,
    threads: int | None,
    resume: bool,
) -> None:
    """Train a network.

    Ctrl-C writes a checkpoint and leaves; --resume goes on from there.

    \b
    Example:
      edge-asd-train fit --recipe general --simulated 400 --noise ESC-10 --out runs/general-1
    """  # noqa: D301 - \b is click's mark for a paragraph that is not to be rewrapped
    chosen = load_recipe(recipe).changed(seed=seed, steps=steps, max_minutes=max_minutes)
    sources = Sources(data, simulated, noise)
    _claim(out, resume=resume)
    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    with _bars() as bars:

        def clips_bar(title: str, total: int) -> Callable[[], None]:
            task = bars.add_task(title, total=total, terms="")
            return lambda: bars.advance(task)

        clips, background = prepare(out, chosen, sources, progress=clips_bar, reuse=resume)
        run = loop.Run(
            out,
            chosen,
            Batches(clips, chosen, background),
            sources=sources.describe(clips),
        )
        if resume:
            run.resume()
        task = bars.add_task("training", total=run.total, completed=run.step, terms="")

        def show(progress: loop.Progress) -> None:
            terms = " ".join(f"{name}={value:.3f}" for name, value in progress.terms.items())
            bars.update(task, completed=progress.step, terms=terms)

        final = bars.add_task("normalising", total=run.settle_batches, terms="")
        with _interruptible() as interrupted:
            finished = run.train(show, interrupted, lambda: bars.advance(final))
    if not finished:
        click.echo(f"interrupted after step {run.step}; go on with --resume", err=True)
        sys.exit(_INTERRUPTED)
    click.echo(f"{out / loop.CHECKPOINT}: {run.step} steps in {run.seconds / 60:.1f} min")


@main.command()
@click.option("--run", "folder", type=_FOLDER, required=True, help="Folder of a finished run.")
@click.option("--out", type=_FILE, required=True, help="NAME-VERSION.asd")
@click.option("--licence", default="Apache-2.0", show_default=True, help="Of the bundle.")
def export(*, folder: Path, out: Path, licence: str) -> None:
    """Pack a trained network into a bundle.

    Refused when ONNX Runtime does not reproduce the embeddings of torch.

    \b
    Example:
      edge-asd-train export --run runs/general-1 --out general-1.asd
    """  # noqa: D301
    name, _, version = out.stem.rpartition("-")
    if out.suffix != ".asd" or not name or not version:
        raise UsageError(f"{out}: call it NAME-VERSION.asd, for example general-1.asd")
    checkpoint = load_checkpoint(folder / loop.CHECKPOINT)
    now = datetime.now(timezone.utc)
    bundle = export_bundle(out, checkpoint, Label(name, version, licence), now=now)
    network = bundle.manifest.networks[0]
    click.echo(
        f"{out}: {bundle.label}, {out.stat().st_size / 1e6:.1f} MB, {network.parameters} parameters"
        f", {network.macs / 1e6:.0f} M multiply-adds a window, sha256 {bundle.sha256}"
    )


@main.command()
@click.option("--out", type=_FOLDER, required=True, help="Folder to write; must not exist yet.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--machines", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--clips",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Training clips of a machine; half as many normal and anomalous tests.",
)
@click.option("--duration-s", type=click.FloatRange(0.5, 600), default=10.0, show_default=True)
def simulate(*, out: Path, seed: int, machines: int, clips: int, duration_s: float) -> None:
    """Write a set of simulated machines as WAV files.

    \b
    Example:
      edge-asd-train simulate --out simulated --seed 1 --machines 5 --clips 20
    gives simulated/MACHINE/train/*.wav and simulated/MACHINE/test/{normal,anomaly}_*.wav
    """  # noqa: D301
    with _bars() as bars:
        task = bars.add_task("rendering", total=planned_files(machines, clips), terms="")
        for _ in write_simulated(
            out, machines=machines, clips=clips, duration_s=duration_s, seed=seed
        ):
            bars.advance(task)
    click.echo(f"{out}: {machines} machines")


def _claim(out: Path, *, resume: bool) -> None:
    """Make the folder of the run, and never overwrite another run."""
    if not resume and (out / loop.CHECKPOINT).exists():
        raise UsageError(f"{out}: holds a run already; add --resume or choose another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{out}: cannot make the folder: {error.strerror}") from error


@contextmanager
def _bars() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[terms]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield bars


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a wish to stop; a second one ends at once."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    main()
