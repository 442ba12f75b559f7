"""What the ablation varies, what its table says, and that its runs are kept and resumed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tones import dcase_tones

from edge_asd.errors import ConfigError, DataError, UsageError
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets.discover import index_folder
from edge_asd_train.datasets.validate import training_clips
from edge_asd_train.evaluate.ablation import (
    VARIANTS,
    Result,
    ablation_json,
    ablation_table,
    check_ablatable,
    read_trend,
    variant_recipe,
)
from edge_asd_train.evaluate.ablation_runs import (
    Ablation,
    Cell,
    Hooks,
    check_scorers,
    check_truth,
    read_sections,
    write_sections,
)
from edge_asd_train.evaluate.baselines import LogMelMethod
from edge_asd_train.evaluate.clips import no_progress
from edge_asd_train.evaluate.rules import evaluate
from edge_asd_train.evaluate.sections import SectionScores
from edge_asd_train.learner import Learner
from edge_asd_train.loop import CHECKPOINT, LOG

BY_KEY = {variant.key: variant for variant in VARIANTS}


@pytest.fixture
def index(tmp_path):
    return index_folder(dcase_tones(tmp_path / "set"))


@pytest.fixture
def ablation(tmp_path, recipe, index):
    short = recipe.changed(steps=3)
    return Ablation(tmp_path / "out", short, index, 2023, ("published",), "cpu")


@pytest.fixture
def clips(tmp_path, index):
    return ClipStore.create(tmp_path / "clips", [training_clips(index, 16_000, tmp_path / "data")])


def hooks(*, steps=10**9):
    """Ask to stop after some steps."""
    seen = []
    return Hooks(
        report=lambda _name, progress: seen.append(progress.step),
        settle=lambda _name, _done, _total: None,
        progress=no_progress,
        stop=lambda: len(seen) >= steps,
    )


def log(folder, losses):
    path = folder / "log.csv"
    rows = ["step,learning_rate,seconds,supervised,featex"]
    rows += [f"{n + 1},1e-3,{n},{0.25 * loss},{0.75 * loss}" for n, loss in enumerate(losses)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_variants_are_the_papers():
    assert list(BY_KEY) == [
        *("none-trainable", "mixup-trainable", "statex-trainable", "featex-trainable"),
        *("all-trainable", "none-fixed", "all-fixed"),
    ]
    assert len({variant.title for variant in VARIANTS}) == 7


@pytest.mark.parametrize(
    ("key", "mixup", "classes"),
    [
        ("none-trainable", 0, 5),
        ("mixup-trainable", 0.5, 5),
        ("statex-trainable", 0, 15),
        ("featex-trainable", 0, 15),
        ("all-trainable", 0.5, 45),
        ("all-fixed", 0.5, 45),
    ],
)
def test_a_head_has_the_classes_that_the_augmentations_reach(recipe, key, mixup, classes):
    varied = variant_recipe(recipe, BY_KEY[key], seed=4)
    assert varied.augment.mixup == mixup
    assert varied.seed == 4
    assert Learner(varied, 5).heads.heads["featex"].classes == classes


def test_fixed_centres_are_fixed_in_every_head(recipe):
    learned = {
        key: [
            head.trainable for head in Learner(variant_recipe(recipe, v, 0), 3).heads.heads.values()
        ]
        for key, v in BY_KEY.items()
    }
    assert not any(learned["none-fixed"] + learned["all-fixed"])
    assert all(any(heads) for key, heads in learned.items() if "trainable" in key)


def test_nothing_else_differs_between_the_variants(recipe):
    varied = {"name", "augment", "loss"}
    kept = [
        {k: v for k, v in variant_recipe(recipe, one, recipe.seed) if k not in varied}
        for one in VARIANTS
    ]
    assert all(one == {k: v for k, v in recipe if k not in varied} for one in kept)
    losses = [variant_recipe(recipe, v, 0).loss.model_dump(exclude={"trainable"}) for v in VARIANTS]
    assert all(loss == recipe.loss.model_dump(exclude={"trainable"}) for loss in losses)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"augment": {"mixup": 0}}, "augment.mixup"),
        ({"augment": {"featex": 0}}, "augment.featex"),
        ({"loss": {"trainable": False}}, "loss.trainable"),
        ({"loss": {"featex": 0}}, "loss.trainable"),
    ],
)
def test_a_recipe_with_equal_variants_is_refused(recipe, change, named):
    with pytest.raises(ConfigError, match=named):
        check_ablatable(recipe.changed(**change))


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=60))
def test_the_trend_compares_the_last_two_tenths(tmp_path_factory, losses):
    tenth = max(1, len(losses) // 10)
    trend = read_trend(log(tmp_path_factory.mktemp("log"), losses))
    assert trend.steps == len(losses)
    assert trend.last == pytest.approx(np.mean(losses[len(losses) - tenth :]))
    assert trend.before == pytest.approx(
        np.mean(losses[len(losses) - 2 * tenth : len(losses) - tenth])
    )
    assert trend.as_json()["still_fell"] == (trend.last < trend.before)


@pytest.mark.parametrize("losses", [[], [1.0]])
def test_a_log_without_two_steps_shows_no_trend(tmp_path, losses):
    with pytest.raises(DataError, match="no trend"):
        read_trend(log(tmp_path, losses))


def evaluation(shift):
    """Two normal and two anomalous clips a domain; a larger shift ranks them better."""
    scores = np.array([0.0, 1.0, 0.2, 1.2, 0.5, 2.0, 0.7, 2.2])
    anomalous = np.array([0, 0, 0, 0, 1, 1, 1, 1], bool)
    section = SectionScores(
        machine="fan",
        section="00",
        names=tuple(f"{n}.wav" for n in range(8)),
        scores=scores + shift * anomalous,
        anomalous=anomalous,
        domains=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    )
    return evaluate([section], 2023)


def test_the_table_has_mean_and_deviation_steps_and_trend(tmp_path):
    falling = read_trend(log(tmp_path, [4.0, 3.0, 2.0]))
    results = [Result("all", evaluation(shift), falling) for shift in (0.0, 5.0)]
    results.append(Result("baseline", evaluation(1.0)))
    found = ablation_json(results)["methods"]
    scores = [100 * evaluation(shift).official for shift in (0.0, 5.0)]
    row, baseline = ablation_table(results).splitlines()[2:]
    assert f"{np.mean(scores):.2f} ± {np.std(scores, ddof=1):.2f}" in row
    assert "| 3 | yes (-33.3 %) |" in row
    assert "|  |  |" in baseline
    assert [run["steps"] for run in found["all"]["runs"]] == [3, 3]
    assert found["baseline"]["runs"] == []


def test_scores_are_kept_exactly(tmp_path):
    scores = np.random.default_rng(0).normal(size=3)
    section = SectionScores(
        machine="fan",
        section="01",
        names=("a", "b", "c"),
        scores=scores,
        anomalous=np.array([False, True, True]),
        domains=np.array([0, 1, 0]),
        decisions=np.array([True, False, True]),
    )
    write_sections(tmp_path / "scores.json", [section])
    (read,) = read_sections(tmp_path / "scores.json")
    for field in ("machine", "section", "names"):
        assert getattr(read, field) == getattr(section, field)
    for field in ("scores", "anomalous", "domains", "decisions"):
        assert np.array_equal(getattr(read, field), getattr(section, field))


def test_damaged_scores_are_named(tmp_path):
    (tmp_path / "scores.json").write_text('[{"machine": "fan"}]')
    with pytest.raises(DataError, match=r"scores\.json: damaged"):
        read_sections(tmp_path / "scores.json")


def test_a_finished_run_is_not_trained_or_scored_again(ablation, clips):
    cell = Cell(BY_KEY["none-trainable"], 0)
    first = ablation.run(cell, clips, hooks())
    folder = ablation.out / "runs" / "none-trainable" / "seed-0"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    second = ablation.run(cell, clips, hooks(steps=0))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert second == first


def test_another_scorer_reads_the_trained_networks(ablation, clips):
    cell = Cell(BY_KEY["none-trainable"], 0)
    ablation.run(cell, clips, hooks())
    weights = ablation.out / "runs" / "none-trainable" / "seed-0" / CHECKPOINT
    before = weights.stat().st_mtime_ns
    other = Ablation(
        ablation.out, ablation.recipe, ablation.index, ablation.year, ("knn",), ablation.device
    )
    other.run(cell, clips, hooks())
    assert weights.stat().st_mtime_ns == before
    assert (weights.parent / "scores-knn.json").exists()


def test_an_interrupted_run_goes_on_to_the_same_result(ablation, clips, tmp_path):
    cell = Cell(BY_KEY["all-trainable"], 0)
    with pytest.raises(KeyboardInterrupt):
        ablation.run(cell, clips, hooks(steps=1))
    folder = ablation.out / "runs" / "all-trainable" / "seed-0"
    assert not load_checkpoint(folder / CHECKPOINT).finished
    resumed = ablation.run(cell, clips, hooks())
    at_once = Ablation(
        tmp_path / "at-once", ablation.recipe, ablation.index, 2023, ("published",), "cpu"
    )
    uninterrupted = at_once.run(cell, clips, hooks())
    assert resumed.evaluation == uninterrupted.evaluation
    assert resumed.trend.last == uninterrupted.trend.last
    assert len((folder / LOG).read_text().splitlines()) == 4


def test_every_seed_of_the_table_comes_before_the_next(ablation):
    cells = ablation.cells(2)
    assert [cell.seed for cell in cells] == [0] * 7 + [1] * 7


def test_a_baseline_is_scored_once(ablation):
    first = ablation.run_baseline(LogMelMethod(), 0, hooks())
    kept = ablation.out / "baselines" / "log-mel-nearest-neighbour" / "seed-0.json"
    before = kept.stat().st_mtime_ns
    assert ablation.run_baseline(LogMelMethod(), 0, hooks()) == first
    assert kept.stat().st_mtime_ns == before


def test_runs_of_different_settings_are_not_mixed(ablation, tmp_path):
    ablation.settle_on(resume=False)
    with pytest.raises(UsageError, match="--resume"):
        ablation.settle_on(resume=False)
    ablation.settle_on(resume=True)
    longer = Ablation(
        ablation.out, ablation.recipe.changed(steps=4), ablation.index, 2023, ("published",), "cpu"
    )
    with pytest.raises(ConfigError, match="other recipe"):
        longer.settle_on(resume=True)
    next((tmp_path / "set" / "fan" / "train").iterdir()).unlink()
    fewer = Ablation(
        ablation.out, ablation.recipe, index_folder(tmp_path / "set"), 2023, ("published",), "cpu"
    )
    with pytest.raises(ConfigError, match="other clips"):
        fewer.settle_on(resume=True)


def test_the_rules_are_known_before_anything_is_trained(index):
    assert check_truth(index, 2023) == (2023, ())
    with pytest.raises(UsageError, match="2019"):
        check_truth(index, 2019)


def test_tests_without_truth_are_refused_before_anything_is_trained(tmp_path):
    root = dcase_tones(tmp_path / "untold")
    for number, path in enumerate(sorted((root / "fan" / "test").iterdir())):
        path.rename(path.with_name(f"section_00_{number:04d}.wav"))
    with pytest.raises(DataError, match=r"section_00_0000\.wav"):
        check_truth(index_folder(root, "2023"), None)


def test_unknown_scorers_are_refused_before_anything_is_trained():
    check_scorers(("published", "log_mel"))
    with pytest.raises(ConfigError, match="nonsense"):
        check_scorers(("nonsense",))


def test_settings_tell_the_recipe(ablation):
    ablation.settle_on(resume=False)
    settings = json.loads((ablation.out / "settings.json").read_text())
    assert settings["recipe"]["name"] == "tiny"
