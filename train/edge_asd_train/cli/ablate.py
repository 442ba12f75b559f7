"""``edge-asd-train ablate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from rich.progress import Progress, TaskID

from edge_asd.files import replace_file
from edge_asd_train import loop
from edge_asd_train.cli.common import FOLDER, INTERRUPTED, interruptible, progress_bars
from edge_asd_train.datasets.discover import LAYOUT_NAMES, index_folder
from edge_asd_train.datasets.findings import Invalid
from edge_asd_train.device import choose_device
from edge_asd_train.distributed import World
from edge_asd_train.evaluate.ablation import (
    PROFILES,
    Result,
    ablation_json,
    ablation_table,
    check_ablatable,
)
from edge_asd_train.evaluate.ablation_runs import (
    Ablation,
    Hooks,
    check_scorers,
    check_truth,
)
from edge_asd_train.evaluate.baselines import (
    AutoencoderOptions,
    LogMelMethod,
    autoencoder_methods,
)
from edge_asd_train.evaluate.contest import check_contest
from edge_asd_train.evaluate.methods import Method
from edge_asd_train.evaluate.report import check_names
from edge_asd_train.memory import keep_freed_memory
from edge_asd_train.prepare import Sources
from edge_asd_train.recipe import load_recipe
from edge_asd_train.training import prepare_together


@click.command()
@click.option("--data", type=FOLDER, required=True, help="Folder that holds the machines.")
@click.option("--out", type=FOLDER, required=True, help="Folder of all runs and the table.")
@click.option(
    "--profile",
    default="cpu",
    show_default=True,
    help="cpu (recipe featex-cpu), full (recipe published), or another recipe: name or YAML file.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--scorer",
    "scorers",
    multiple=True,
    default=("published",),
    show_default=True,
    help="As of evaluate; several are fused.",
)
@click.option("--baselines", is_flag=True, help="Rows for log-mel and the autoencoder, too.")
@click.option("--rules", type=int, help="Year, 2020 to 2026; the layout's, else 2023.")
@click.option("--layout", type=click.Choice(LAYOUT_NAMES), default="auto", show_default=True)
@click.option(
    "--invalid",
    type=click.Choice(["refuse", "skip"]),
    default="refuse",
    show_default=True,
    help="Refuse --data with bad training clips, or leave them out.",
)
@click.option("--steps", type=click.IntRange(2), help="Instead of the profile's.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads; all by default.")
@click.option("--resume", is_flag=True, help="Keep what is finished in --out and go on.")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def ablate(
    *,
    data: Path,
    out: Path,
    profile: str,
    seeds: int,
    scorers: tuple[str, ...],
    baselines: bool,
    rules: int | None,
    layout: str,
    invalid: Invalid,
    steps: int | None,
    device: str,
    threads: int | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Measure what each part of FeatEx gives.

    Trains {none, mixup, StatEx, FeatEx, all} with the profile's trainable centres and {none, all}
    with fixed ones, with every seed, and writes ablation.md and ablation.json: mean and standard
    deviation, the steps taken and whether the loss still fell. Clips are decoded once. Ctrl-C
    leaves; --resume keeps what is finished, and may add seeds or take another scorer.

    \b
    Example:
      edge-asd-train simulate --out set --clips 200 --seed 1
      edge-asd-train ablate --data set --out runs/ablation --profile cpu --seeds 3
    """  # noqa: D301
    recipe = load_recipe(PROFILES.get(profile, profile)).changed(steps=steps)
    check_ablatable(recipe)
    check_scorers(scorers)
    world = World(choose_device(device))
    index = index_folder(data, layout)
    check_names(index)
    year, notes = check_truth(index, rules)
    ablation = Ablation(out, recipe, index, year, scorers, device)
    ablation.settle_on(resume=resume)
    table = _Table(out, _about(ablation, notes))
    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    sources = Sources(data, layout=layout, invalid=invalid)
    try:
        with progress_bars() as bars, interruptible() as stop:
            shown = _Bars(bars, stop)
            clips, _ = prepare_together(
                out, recipe, sources, world, progress=shown.progress, resume=resume
            )
            hooks = Hooks(shown.report, shown.settle, shown.progress, stop)
            jobs: list[Callable[[], Result]] = [
                partial(ablation.run, cell, clips, hooks) for cell in ablation.cells(seeds)
            ]
            if baselines:
                jobs += _baseline_jobs(ablation, seeds, hooks)
            for job in shown.counted(jobs):
                table.add(job())
    except KeyboardInterrupt:
        done = f"interrupted after {len(table.results)} finished runs; go on with --resume"
        click.echo(done, err=True)
        sys.exit(INTERRUPTED)
    click.echo(table.as_json() if as_json else table.as_markdown(), nl=as_json)


def _baseline_jobs(ablation: Ablation, seeds: int, hooks: Hooks) -> list[Callable[[], Result]]:
    rate, first = ablation.recipe.sample_rate, ablation.recipe.seed
    methods: list[tuple[Method, int]] = [(LogMelMethod(rate), first)]
    options = AutoencoderOptions(sample_rate=rate)
    epochs = len(check_contest(ablation.index)) * options.epochs
    for seed in range(first, first + seeds):
        advance = _Late(partial(hooks.progress, f"autoencoders, seed {seed}", epochs))
        methods += [(one, seed) for one in autoencoder_methods(seed, options, advance=advance)]
    return [partial(ablation.run_baseline, method, seed, hooks) for method, seed in methods]


def _about(ablation: Ablation, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "recipe": ablation.recipe.name,
        "data": ablation.index.root.resolve().name,
        "scorer": "+".join(ablation.scorers),
        "rules": ablation.year,
        "notes": list(notes),
    }


class _Table:
    """The results so far, written anew after each."""

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self.results: list[Result] = []
        self._out = out
        self._about = about

    def add(self, result: Result) -> None:
        self.results.append(result)
        replace_file(self._out / "ablation.md", self.as_markdown().encode())
        replace_file(self._out / "ablation.json", f"{self.as_json()}\n".encode())

    def as_json(self) -> str:
        return json.dumps({**ablation_json(self.results), **self._about}, ensure_ascii=False)

    def as_markdown(self) -> str:
        about = {key: value for key, value in self._about.items() if key != "notes"}
        lines = [f"* {key}: {value}" for key, value in about.items()]
        lines += [f"* {note}" for note in self._about["notes"]]
        return "\n".join([ablation_table(self.results), *lines, ""])


class _Late:
    """A bar that is made when it first advances: a run that is finished already shows none."""

    def __init__(self, bar: Callable[[], Callable[[], None]]) -> None:
        self._bar = bar
        self._advance: Callable[[], None] | None = None

    def __call__(self) -> None:
        if self._advance is None:
            self._advance = self._bar()
        self._advance()


class _Bars:
    """One bar for all runs, one for the steps of the present one, others as they are needed."""

    def __init__(self, bars: Progress, stop: Callable[[], bool]) -> None:
        self._bars = bars
        self._stop = stop
        self._tasks: dict[str, TaskID] = {}

    def counted(self, jobs: Sequence[Callable[[], Result]]) -> Iterator[Callable[[], Result]]:
        """The jobs, counted as they are done."""
        task = self._bars.add_task("runs", total=len(jobs), terms="")
        for job in jobs:
            yield job
            self._bars.advance(task)

    def report(self, name: str, progress: loop.Progress) -> None:
        terms = " ".join(f"{term}={value:.3f}" for term, value in progress.terms.items())
        self._show(f"training {name}", progress.step, progress.total, terms)

    def settle(self, name: str, done: int, total: int) -> None:
        self._show(f"normalising {name}", done, total, "")

    def progress(self, title: str, total: int) -> Callable[[], None]:
        """A bar that goes away when it is full; Ctrl-C ends what it counts."""
        task = self._bars.add_task(title, total=total, terms="")
        left = total

        def advance() -> None:
            nonlocal left
            if self._stop():
                raise KeyboardInterrupt
            left -= 1
            self._bars.update(task, advance=1, visible=left > 0)

        return advance

    def _show(self, title: str, done: int, total: int, terms: str) -> None:
        if title not in self._tasks:
            # A resumed run begins where it stands, so that the time left is right.
            self._tasks[title] = self._bars.add_task(title, total=total, completed=done, terms="")
        task = self._tasks[title]
        self._bars.update(task, completed=done, terms=terms, visible=done < total)
