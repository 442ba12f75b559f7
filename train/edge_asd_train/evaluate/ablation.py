"""The paper's questions as variants of one recipe, and the table that answers them.

Source: Wilkinghoff, arXiv 2312.09578: what mixup, StatEx and FeatEx each give, what all of them
give together, and what trainable centres give.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.errors import ConfigError, DataError
from edge_asd_train.evaluate.rules import TERMS, Evaluation
from edge_asd_train.evaluate.tables import comparison_json
from edge_asd_train.recipe import Recipe

PROFILES: Mapping[str, str] = {"cpu": "featex-cpu", "full": "published"}
"""Recipes by the names of the profiles."""

_NOT_TERMS = ("step", "learning_rate", "seconds")
"""Columns of a run's log that are no loss terms."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One row: which augmentations are on, and whether any centres are learned."""

    name: str
    mixup: bool = False
    statex: bool = False
    featex: bool = False
    fixed: bool = False
    """No head learns its centres; otherwise those do that do so in the recipe."""

    @property
    def key(self) -> str:
        """Name of its folder."""
        return f"{self.name}-{'fixed' if self.fixed else 'trainable'}"

    @property
    def title(self) -> str:
        """What the table calls it."""
        word = {"statex": "StatEx", "featex": "FeatEx"}.get(self.name, self.name)
        return f"{word}, {'fixed' if self.fixed else 'trainable'} centres"


VARIANTS = (
    Variant("none"),
    Variant("mixup", mixup=True),
    Variant("statex", statex=True),
    Variant("featex", featex=True),
    Variant("all", mixup=True, statex=True, featex=True),
    Variant("none", fixed=True),
    Variant("all", mixup=True, statex=True, featex=True, fixed=True),
)


def variant_recipe(base: Recipe, variant: Variant, seed: int) -> Recipe:
    """The recipe of one run.

    Everything but the augmentations and what is learned of the heads stays as in ``base``, the
    weights of the heads too. How many classes a head has follows from the augmentations.
    """
    augment = base.augment
    kept = {
        "mixup": augment.mixup if variant.mixup else 0.0,
        "statex": augment.statex if variant.statex else 0.0,
        "statex_time": augment.statex_time if variant.statex else 0.0,
        "featex": augment.featex if variant.featex else 0.0,
    }
    loss = base.loss.model_dump()
    if variant.fixed:
        loss["trainable"] = False
    return base.changed(name=f"{base.name}-{variant.key}"[:64], seed=seed, augment=kept, loss=loss)


def check_ablatable(base: Recipe) -> None:
    """Refuse a recipe some of whose variants would be the same.

    Raises:
        ConfigError: An augmentation is off in it, no head learns its centres, or it has no heads.
    """
    if base.episodes is not None:
        raise ConfigError(f"recipe {base.name}: episodes: trained without the heads in question")
    augment, loss = base.augment, base.loss
    chances = {
        "mixup": augment.mixup,
        "statex": augment.statex + augment.statex_time,
        "featex": augment.featex,
    }
    for key, chance in chances.items():
        if chance == 0:
            raise ConfigError(f"recipe {base.name}: augment.{key} is 0: nothing to take away")
    weights = {"supervised": loss.supervised, "statex": loss.statex, "featex": loss.featex}
    if not any(weights[name] > 0 and learned for name, learned in loss.trainable):
        raise ConfigError(f"recipe {base.name}: loss.trainable: no head learns its centres")


@dataclass(frozen=True, slots=True)
class Trend:
    """How far a run went, and whether its loss was still on the way down."""

    steps: int
    before: float
    """Mean loss over the last tenth of the steps but one."""
    last: float
    """Mean loss over the last tenth."""

    @property
    def change(self) -> float:
        """From the one to the other as a share; below zero where the loss still fell."""
        return self.last / self.before - 1.0

    def as_json(self) -> dict[str, Any]:
        """The numbers, and the answer."""
        return {
            "steps": self.steps,
            "loss_before": self.before,
            "loss_last": self.last,
            "still_fell": self.change < 0,
        }


def read_trend(log: Path) -> Trend:
    """The trend of a run from its log.

    Raises:
        DataError: The log cannot be read or holds fewer than two steps.
    """
    try:
        with log.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        totals = [sum(float(row[key]) for key in row if key not in _NOT_TERMS) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{log}: not a log of a run ({error}); delete its folder") from error
    if len(totals) < 2:
        raise DataError(f"{log}: {len(totals)} steps show no trend; train for at least two")
    tenth = max(1, len(totals) // 10)
    before = float(np.mean(totals[-2 * tenth : -tenth]))
    return Trend(len(totals), before, float(np.mean(totals[-tenth:])))


@dataclass(frozen=True, slots=True)
class Result:
    """One run or baseline with one seed."""

    title: str
    """Row of the table."""
    evaluation: Evaluation
    trend: Trend | None = None
    """Of a run; baselines have none."""


def ablation_table(results: Sequence[Result]) -> str:
    """The table in markdown: figures in per cent, mean ± standard deviation over the seeds.

    Raises:
        DataError: There are no results, or their rules or sections differ.
    """
    methods = ablation_json(results)["methods"]
    first = next(iter(methods.values()))
    titles = ["method", "seeds", "official", *(TERMS[key].title for key in first["terms"])]
    titles += ["steps", "loss still fell", *first["machines"]]
    rows = [
        [
            title,
            str(method["seeds"]),
            *map(_spread, [method["official"], *method["terms"].values()]),
            *_trend_cells(method["runs"]),
            *map(_spread, method["machines"].values()),
        ]
        for title, method in methods.items()
    ]
    rule = [":---", *["---:"] * (len(titles) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (titles, rule, *rows))


def ablation_json(results: Sequence[Result]) -> dict[str, Any]:
    """What the table shows, every figure as ``{"mean": …, "std": …}``, and the trend of every run.

    Raises:
        DataError: See ``ablation_table``.
    """
    found = comparison_json(_evaluations(results))
    for title, method in found["methods"].items():
        trends = [one.trend for one in results if one.title == title and one.trend is not None]
        method["runs"] = [trend.as_json() for trend in trends]
    return found


def _evaluations(results: Sequence[Result]) -> dict[str, list[Evaluation]]:
    by_title: dict[str, list[Evaluation]] = {}
    for result in results:
        by_title.setdefault(result.title, []).append(result.evaluation)
    return by_title


def _spread(figure: Mapping[str, float | None]) -> str:
    mean, deviation = figure["mean"], figure["std"]
    text = "" if mean is None else f"{100 * mean:.2f}"
    return text if deviation is None else f"{text} ± {100 * deviation:.2f}"


def _trend_cells(runs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Steps of the runs, and the mean change of their losses over the last two tenths."""
    if not runs:
        return "", ""
    fewest, most = min(run["steps"] for run in runs), max(run["steps"] for run in runs)
    change = float(np.mean([run["loss_last"] / run["loss_before"] - 1.0 for run in runs]))
    steps = str(most) if fewest == most else f"{fewest} to {most}"
    return steps, f"{'yes' if change < 0 else 'no'} ({100 * change:+.1f} %)"
