"""The runs behind an ablation table: each trained, scored and kept in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.bundle import builtin_bundle, load_bundle
from edge_asd.errors import ConfigError, DataError, UsageError
from edge_asd.files import replace_file
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets.fingerprint import data_fingerprint
from edge_asd_train.datasets.index import Index
from edge_asd_train.evaluate.ablation import VARIANTS, Result, Variant, read_trend, variant_recipe
from edge_asd_train.evaluate.clips import ClipEmbedder, ProgressFactory
from edge_asd_train.evaluate.contest import ScoredSection, check_contest, run_method
from edge_asd_train.evaluate.engines import open_embedder
from edge_asd_train.evaluate.methods import Method
from edge_asd_train.evaluate.network import NetworkMethod, choose_scorers
from edge_asd_train.evaluate.report import judge
from edge_asd_train.evaluate.rules import evaluate
from edge_asd_train.evaluate.sections import SectionScores
from edge_asd_train.loop import CHECKPOINT, LOG, Progress
from edge_asd_train.recipe import Recipe
from edge_asd_train.training import train_run

SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True, eq=False)
class Hooks:
    """How the runs show where they are, and learn that they are to stop."""

    report: Callable[[str, Progress], None]
    """Called after every step with the name of the run."""
    settle: Callable[[str, int, int], None]
    """Called after every batch of the final statistics: name, done, total."""
    progress: ProgressFactory
    """Makes a bar for everything else."""
    stop: Callable[[], bool]
    """Asked after every step and every clip."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the ablation."""

    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        """For bars and messages."""
        return f"{self.variant.key}/seed-{self.seed}"


@dataclass(frozen=True, slots=True, eq=False)
class Ablation:
    """All runs of one profile on one data set."""

    out: Path
    """Holds the clips, and a folder for every run."""
    recipe: Recipe
    """The profile; its seed is the first."""
    index: Index
    year: int
    """Rules by which the runs are scored."""
    scorers: tuple[str, ...]
    """As for ``choose_scorers``."""
    device: str

    def cells(self, seeds: int) -> list[Cell]:
        """All runs; every seed of the whole table before the next."""
        first = self.recipe.seed
        return [Cell(v, seed) for seed in range(first, first + seeds) for v in VARIANTS]

    def settle_on(self, *, resume: bool) -> None:
        """Note what the runs have in common, so that they are not mixed with others.

        Raises:
            UsageError: The folder holds an ablation that is not to be resumed.
            ConfigError: It is to be resumed with another recipe or on other clips.
            DataError: A clip cannot be read, or the note is damaged.
            StorageError: The folder cannot be written.
        """
        path = self.out / SETTINGS
        settings = {
            "recipe": self.recipe.model_dump(mode="json"),
            "clips": data_fingerprint(self.index),
        }
        if path.exists():
            if not resume:
                raise UsageError(
                    f"{self.out}: holds an ablation already; add --resume or choose another folder"
                )
            for key, value in _read_json(path).items():
                if settings.get(key) != value:
                    raise ConfigError(f"{path}: begun with other {key}; choose another --out")
        replace_file(path, _json_bytes(settings))

    def run(self, cell: Cell, clips: ClipStore, hooks: Hooks) -> Result:
        """Train and score one run, as far as that has not been done.

        Raises:
            KeyboardInterrupt: It was asked to stop; what is done is kept.
            EdgeAsdError: As training and evaluation raise them.
        """
        folder = self.out / "runs" / cell.variant.key / f"seed-{cell.seed}"
        scores = folder / f"scores-{'+'.join(self.scorers)}.json"
        if not scores.exists():
            self._train(cell, folder, clips, hooks)
            method = self._method(folder, hooks)
            write_sections(scores, run_method(method, self.index, progress=hooks.progress))
        evaluation = evaluate(read_sections(scores), self.year)
        return Result(cell.variant.title, evaluation, read_trend(folder / LOG))

    def run_baseline(self, method: Method, seed: int, hooks: Hooks) -> Result:
        """Score a baseline, unless that has been done.

        Raises:
            KeyboardInterrupt: It was asked to stop.
            EdgeAsdError: As training and evaluation raise them.
        """
        key = "".join(c if c.isalnum() else "-" for c in method.name.lower())
        scores = self.out / "baselines" / key / f"seed-{seed}.json"
        if not scores.exists():
            write_sections(scores, run_method(method, self.index, progress=hooks.progress))
        return Result(method.name, evaluate(read_sections(scores), self.year))

    def _train(self, cell: Cell, folder: Path, clips: ClipStore, hooks: Hooks) -> None:
        begun = (folder / CHECKPOINT).exists()
        if begun and load_checkpoint(folder / CHECKPOINT).finished:
            return
        outcome = train_run(
            folder,
            variant_recipe(self.recipe, cell.variant, cell.seed),
            clips,
            sources={"data": self.index.root.resolve().name, "clips": len(clips)},
            device=self.device,
            resume=begun,
            report=lambda progress: hooks.report(cell.name, progress),
            settle=lambda done, total: hooks.settle(cell.name, done, total),
            stop=hooks.stop,
        )
        if not outcome.finished:
            raise KeyboardInterrupt

    def _method(self, folder: Path, hooks: Hooks) -> NetworkMethod:
        device = None if self.device == "auto" else self.device
        embedder = open_embedder(folder, device=device)
        scorers = choose_scorers(self.scorers, embedder.manifest)
        clips = ClipEmbedder(
            embedder, scorers.specs, cache=folder / "embeddings", progress=hooks.progress
        )
        return NetworkMethod(clips, scorers, run=folder, seed=self.recipe.seed)


def check_scorers(names: Sequence[str]) -> None:
    """Refuse scorers that no run can have, before hours are spent on training.

    Raises:
        ConfigError, UsageError: As ``choose_scorers`` raises them.
    """
    choose_scorers(names, load_bundle(builtin_bundle()).manifest)


def check_truth(index: Index, year: int | None) -> tuple[int, tuple[str, ...]]:
    """Rules by which a data set can be scored, before hours are spent on training.

    Args:
        index: The data set.
        year: Rules that were asked for; else those of the data set's year.

    Returns:
        The year of the rules, and what a reader of the figures has to know.

    Raises:
        DataError: There are no tests, their truth is not known, or the rules cannot score them.
        UsageError: No such rules.
    """
    sections = []
    for machine, section in check_contest(index):
        clips = tuple(index.of(machine, section, "test"))
        sections.append(ScoredSection(machine, section, clips, np.zeros(len(clips)), 0.0))
    untold = next((one for one in sections if not one.labelled), None)
    if untold is not None:
        untold.with_truth()  # names the clip
    verdict = judge(sections, index.layout, year)
    if verdict.evaluation is None:
        raise DataError(f"{index.root}: the truth of its test clips is not known")
    return verdict.evaluation.rules.year, verdict.notes


def write_sections(path: Path, sections: Sequence[SectionScores]) -> None:
    """Keep scores and truth of all sections; the file appears whole or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    rows = [
        {
            "machine": one.machine,
            "section": one.section,
            "names": list(one.names),
            "scores": one.scores.tolist(),
            "anomalous": one.anomalous.tolist(),
            "domains": one.domains.tolist(),
            "decisions": None if one.decisions is None else one.decisions.tolist(),
        }
        for one in sections
    ]
    replace_file(path, _json_bytes(rows))


def read_sections(path: Path) -> list[SectionScores]:
    """Read what ``write_sections`` wrote.

    Raises:
        DataError: It is damaged.
    """
    try:
        return [SectionScores(**{**row, "names": tuple(row["names"])}) for row in _read_json(path)]
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"{path}: damaged; delete it and add --resume") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged; delete it and add --resume") from error


def _json_bytes(value: Any) -> bytes:
    return f"{json.dumps(value, ensure_ascii=False)}\n".encode()
