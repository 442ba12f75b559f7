"""``edge-asd-train simulate``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from edge_asd_train.cli.common import FOLDER, INTERRUPTED, progress_bars
from edge_asd_train.datasets.simulated_options import DIFFICULTIES, DifficultyName, Options
from edge_asd_train.datasets.simulated_set import write_simulated_set


@click.command()
@click.option("--out", type=FOLDER, required=True, help="Folder to write; must not exist yet.")
@click.option(
    "--clips",
    type=int,
    default=200,
    show_default=True,
    help="Training clips of a machine; half as many normal and anomalous tests.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--machines", type=click.IntRange(1), default=7, show_default=True)
@click.option("--noise", type=FOLDER, help="Tree of recordings to mix in, such as ESC-10.")
@click.option(
    "--difficulty", type=click.Choice(list(DIFFICULTIES)), default="default", show_default=True
)
@click.option("--duration-s", type=click.FloatRange(0.5, 600), default=10.0, show_default=True)
@click.option("--processes", type=click.IntRange(1), help="All processors by default.")
def simulate(
    *,
    out: Path,
    clips: int,
    seed: int,
    machines: int,
    noise: Path | None,
    difficulty: DifficultyName,
    duration_s: float,
    processes: int | None,
) -> None:
    """Write a set of simulated machines in the layout of DCASE 2023 task 2.

    Every machine has normal training clips of two domains, and tests with every fault of its kind
    at graded severity. The same options give the same files. Nothing is left behind when it is
    interrupted.

    \b
    Example:
      edge-asd-train simulate --out simulated --clips 200 --seed 1
    gives simulated/MACHINE/{train,test}/*.wav, attributes_00.csv and dataset.json
    """  # noqa: D301
    options = Options(clips, seed, machines, difficulty, duration_s)
    try:
        with progress_bars() as bars:
            task = bars.add_task("rendering", total=options.all_clips, terms="")
            write_simulated_set(
                out,
                options,
                noise=noise,
                processes=processes or os.cpu_count() or 1,
                progress=lambda count: bars.advance(task, count),
            )
    except KeyboardInterrupt:
        click.echo("interrupted; nothing was written", err=True)
        sys.exit(INTERRUPTED)
    click.echo(f"{out}: {machines} machines, {options.all_clips} clips")
