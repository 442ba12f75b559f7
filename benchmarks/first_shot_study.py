"""What makes an embedding work on a machine it never heard: one table.

    edge-asd-train simulate --out SIM --clips 200 --seed 1
    python benchmarks/first_shot_study.py --data SIM --clips FOLDER --out OUT [--machines 1000]
        [--rows NAME,...] [--seeds 3] [--threads 1]

Every network is trained twice, each time without half of the machine kinds, and measured on those
that it did not hear: its own scorers learn their 200 normal clips, then score the tests. The
training machines are other units than those of SIM, in other rooms. FOLDER keeps the rendered
training clips for a second call. Rows that are done are kept in OUT; the tables of all of them are
printed at the end and written to OUT/study.json and OUT/study.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge_asd.bundle import builtin_bundle
from edge_asd.errors import EdgeAsdError
from edge_asd.simulate import KINDS
from edge_asd_train.datasets import ClipStore, class_folders, simulated_machines
from edge_asd_train.datasets.discover import index_folder
from edge_asd_train.datasets.index import Index
from edge_asd_train.evaluate.baselines import LogMelMethod
from edge_asd_train.evaluate.clips import ClipEmbedder
from edge_asd_train.evaluate.contest import run_method
from edge_asd_train.evaluate.engines import open_embedder
from edge_asd_train.evaluate.network import NetworkMethod, choose_scorers
from edge_asd_train.evaluate.rules import Evaluation, evaluate
from edge_asd_train.evaluate.sections import SectionScores
from edge_asd_train.memory import keep_freed_memory
from edge_asd_train.recipe import load_recipe
from edge_asd_train.training import train_run

RULES = 2023
SCORERS = ("knn", "published", "ldn", "knn+log_mel", "knn+log_mel+level")
"""Scorers of which every network is tried with each."""
FOLDS = (KINDS[0::2], KINDS[1::2])
"""Kinds that are left out of training, and measured on, together."""

CLASSES: dict[str, Any] = {
    "recipe": "featex-cpu",
    "gain": {"per_machine": True, "jitter_db": 6.0},
}


@dataclass(frozen=True)
class Row:
    """One way to train."""

    name: str
    recipe: str = "general"
    machines: int = 1_000_000
    """At most so many of the training machines."""
    noise: bool = False
    changes: dict[str, Any] = field(default_factory=dict)


NO_EXCHANGE = {"mixup": 0.0, "statex": 0.0, "featex": 0.0, "colour_db": 1.0}
SUPERVISED = {"supervised": 1.0, "featex": 0.0, "trainable": True}
BY_CLASS = {"episodes": None, "batch": 224, "augment": NO_EXCHANGE, "loss": SUPERVISED}


def bands(**options: Any) -> dict[str, Any]:
    """The bands network with other options."""
    return {"network": {"kind": "bands", **options}}


ROWS = (
    Row("general"),
    Row("10 machines", machines=10, changes={"episodes": {"machines": 10}, "batch": 140}),
    Row("50 machines", machines=50),
    Row("200 machines", machines=200),
    Row("no correction", changes=bands(channels=0)),
    Row("correction of 8 channels", changes=bands(channels=8)),
    Row("correction of 128 channels", changes=bands(channels=128)),
    Row("correction sees 1 band", changes=bands(kernel=1)),
    Row("correction sees 15 bands", changes=bands(kernel=15)),
    Row("64 bands", changes=bands(bands=64)),
    Row("no colour", changes={"augment": {**NO_EXCHANGE, "colour_db": 0.0}}),
    Row("colour 3 dB", changes={"augment": {**NO_EXCHANGE, "colour_db": 3.0}}),
    Row("no gain jitter", changes={"gain": {"per_machine": True, "jitter_db": 0.0}}),
    Row("noise of ESC-10", noise=True, changes={"background": {"probability": 0.5}}),
    Row("classes in place of episodes", changes=BY_CLASS),
    Row("FeatEx, linear magnitude", recipe="featex-cpu"),
    Row(
        "FeatEx, log magnitude",
        recipe="featex-cpu",
        changes={"network": {"kind": "featex", "magnitude": "log"}},
    ),
    Row(
        "FeatEx, log magnitude, episodes",
        recipe="featex-cpu",
        changes={
            "network": {"kind": "featex", "magnitude": "log"},
            "augment": NO_EXCHANGE,
            "episodes": {"machines": 8, "normal": 4, "faulty": 4},
            "batch": 64,
        },
    ),
)


def main() -> None:
    """Train and measure every row that is missing, then print all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--noise", type=Path, help="Folder of ESC-10, for the row that needs it.")
    parser.add_argument("--rows", help="Names of rows, joined by commas; all by default.")
    parser.add_argument("--steps", type=int, help="Instead of the recipes'.")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    arguments.out.mkdir(parents=True, exist_ok=True)
    index = index_folder(arguments.data)
    wanted = arguments.rows.split(",") if arguments.rows else [row.name for row in ROWS]
    if not (arguments.out / "baselines.json").exists():
        save(arguments.out / "baselines.json", baselines(index, arguments.out))
    clips = training_clips(arguments.clips, arguments.machines)
    for row in (row for row in ROWS if row.name in wanted):
        if row.noise and not arguments.noise:
            print(f"{row.name}: left out, needs --noise", file=sys.stderr)
            continue
        for seed in range(arguments.seeds):
            study(row, seed, index, clips, arguments)
    print(report(arguments.out))


def training_clips(folder: Path, machines: int) -> ClipStore:
    """Render the training machines, or open those that were rendered before."""
    try:
        return ClipStore.open(folder)
    except EdgeAsdError:
        pending = simulated_machines(machines, seed=0, duration_s=10.0, processes=2)
        started, done = time.monotonic(), 0

        def advance() -> None:
            nonlocal done
            done += 1
            if done % 1000 == 0:
                minutes = (time.monotonic() - started) / 60
                print(f"rendered {done} of {pending.count}, {minutes:.0f} min", file=sys.stderr)

        return ClipStore.create(folder, [pending], advance=advance)


def kind_of(name: str) -> str:
    """Machine kind of ``simulated/fan-0007`` or ``fan_2``."""
    return name.rpartition("/")[2].partition("-")[0].partition("_")[0]


def of_kinds(index: Index, kinds: tuple[str, ...]) -> Index:
    """The files of some machine kinds."""
    files = tuple(one for one in index.files if kind_of(one.machine) in kinds)
    return dataclasses.replace(index, files=files)


def baselines(index: Index, out: Path) -> dict[str, Any]:
    """Log-mel nearest neighbour, and the bundle that shipped before, which heard every kind."""
    found = {"log-mel nearest neighbour": described(run_method(LogMelMethod(), index))}
    embedder = open_embedder(bundle=builtin_bundle())
    for name in ("bundle", *SCORERS):
        scorers = choose_scorers(name.split("+"), embedder.manifest)
        embedded = ClipEmbedder(embedder, scorers.specs, cache=out / "cache")
        found[f"{embedder.label}, {scorers.name}"] = described(
            run_method(NetworkMethod(embedded, scorers), index)
        )
    return found


def study(
    row: Row, seed: int, index: Index, clips: ClipStore, arguments: argparse.Namespace
) -> None:
    """Train and measure one row with one seed, unless that was done before."""
    place = arguments.out / row.name.replace(" ", "-") / f"seed-{seed}"
    if (place / "result.json").exists():
        return
    started = time.monotonic()
    recipe = load_recipe(row.recipe).changed(
        **{key: value for key, value in row.changes.items() if value is not None},
        seed=seed,
        steps=arguments.steps,
    )
    if "episodes" in row.changes and row.changes["episodes"] is None:
        recipe = recipe.model_copy(update={"episodes": None})
    noise = None
    if row.noise:
        noise = ClipStore.create(place / "noise", [class_folders(arguments.noise, 16_000)])
    sections: dict[str, list[SectionScores]] = {name: [] for name in SCORERS}
    losses = {}
    for number, left_out in enumerate(FOLDS):
        heard = np.asarray([kind_of(name) not in left_out for name in clips.machine_names])
        heard &= np.cumsum(heard) <= row.machines
        run = place / f"fold-{number}"
        begun = (run / "checkpoint.pt").exists()
        if not begun:
            train_run(run, recipe, clips.select(heard), noise, report=Shown(row.name))
        embedder = open_embedder(run=run)
        unheard = of_kinds(index, left_out)
        for name in SCORERS:
            scorers = choose_scorers(name.split("+"), embedder.manifest)
            embedded = ClipEmbedder(embedder, scorers.specs, cache=place / "cache")
            sections[name] += run_method(NetworkMethod(embedded, scorers), unheard)
        losses[str(number)] = int(heard.sum())
    save(
        place / "result.json",
        {
            "row": row.name,
            "seed": seed,
            "steps": recipe.steps,
            "machines": losses,
            "minutes": round((time.monotonic() - started) / 60, 1),
            "scorers": {name: described(found) for name, found in sections.items()},
        },
    )


class Shown:
    """Progress of a run on standard error, now and then."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, progress: Any) -> None:
        if progress.step % 100 == 0:
            terms = " ".join(f"{name}={value:.3f}" for name, value in progress.terms.items())
            pace = progress.seconds / progress.step
            print(f"{self.name}: step {progress.step} {terms} {pace:.2f} s", file=sys.stderr)


def described(sections: list[SectionScores]) -> dict[str, Any]:
    """The official figures as percentages."""
    found: Evaluation = evaluate(sections, RULES)
    return {
        "official": 100.0 * found.official,
        **{key: 100.0 * found.hmean(key) for key in ("auc_source", "auc_target", "pauc")},
        "machines": {one.machine: 100.0 * found.machine_official(one.machine) for one in sections},
    }


def save(path: Path, what: dict[str, Any]) -> None:
    """Write JSON."""
    path.write_text(json.dumps(what, indent=1) + "\n", encoding="utf-8")


def results(out: Path) -> Iterator[dict[str, Any]]:
    """Every result, in the order of the rows."""
    for row in ROWS:
        folder = out / row.name.replace(" ", "-")
        yield from (json.loads(p.read_text()) for p in sorted(folder.glob("seed-*/result.json")))


def report(out: Path) -> str:
    """Both tables in markdown; also written to files."""
    before = json.loads((out / "baselines.json").read_text())
    lines = [
        "| without training here | official | AUC source | AUC target | pAUC |",
        "|---" * 5 + "|",
    ]
    for name, found in before.items():
        terms = (found[key] for key in ("official", "auc_source", "auc_target", "pauc"))
        lines.append(f"| {name} | " + " | ".join(f"{term:.1f}" for term in terms) + " |")
    lines += ["", "| trained | machines | steps | " + " | ".join(SCORERS) + " |"]
    lines.append("|---" * (3 + len(SCORERS)) + "|")
    grouped: dict[str, list[dict[str, Any]]] = {}
    for one in results(out):
        grouped.setdefault(one["row"], []).append(one)
    for name, runs in grouped.items():
        cells = []
        for scorer in SCORERS:
            values = [run["scorers"][scorer]["official"] for run in runs]
            spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.1f}{spread}")
        heard = "/".join(str(count) for count in runs[0]["machines"].values())
        lines.append(f"| {name} | {heard} | {runs[0]['steps']} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    (out / "study.md").write_text(text, encoding="utf-8")
    save(out / "study.json", {"baselines": before, "rows": grouped})
    return text


if __name__ == "__main__":
    main()
