"""From clips to checkpoints: one run, and several that differ in their seed."""

from __future__ import annotations

import itertools
import signal

import pytest
import torch
import yaml
from click.testing import CliRunner

from edge_asd.errors import DataError, UsageError
from edge_asd_train import loop
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.cli import main
from edge_asd_train.loop import CHECKPOINT
from edge_asd_train.training import plan_runs, train_run


@pytest.fixture
def fit(tmp_path, data, recipe):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe.changed(steps=3).model_dump(mode="json")))
    fixed = ("fit", "--recipe", path, "--data", data, "--out", tmp_path / "out", "--device", "cpu")

    def run(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in (*fixed, *arguments)])

    return run


def weights(folder):
    learner = load_checkpoint(folder / CHECKPOINT).learner
    return torch.cat([value.float().flatten() for value in learner.values()])


def test_a_run_can_be_trained_and_stopped_from_python(tmp_path, recipe, store):
    steps = itertools.count(1)
    stopped = train_run(tmp_path / "run", recipe, store, stop=lambda: next(steps) == 2)
    assert (stopped.finished, stopped.step) == (False, 2)
    ended = train_run(tmp_path / "run", recipe, store, resume=True)
    assert (ended.finished, ended.step, ended.seconds > 0) == (True, 6, True)
    assert load_checkpoint(ended.checkpoint).finished


def test_seeds_give_runs_of_their_own_from_clips_decoded_once(tmp_path, fit):
    done = fit("--seeds", 2, "--seed", 4)
    assert done.exit_code == 0, done.output
    four, five = (tmp_path / "out" / name for name in ("seed-4", "seed-5"))
    assert [load_checkpoint(run / CHECKPOINT).recipe.seed for run in (four, five)] == [4, 5]
    assert not torch.equal(weights(four), weights(five))
    clips = {(run / "clips" / "clips.int16").stat().st_ino for run in (four, five)}
    assert clips == {(tmp_path / "out" / "clips" / "clips.int16").stat().st_ino}
    alone = fit("--seed", 5, "--out", tmp_path / "alone")
    assert alone.exit_code == 0, alone.output
    assert torch.equal(weights(tmp_path / "alone"), weights(five))


def test_interrupted_seeds_go_on_as_a_whole_and_ended_ones_stay(tmp_path, fit, monkeypatch):
    step = loop.Run._advance

    def interrupt(self, source, share):
        if self.recipe.seed == 1 and self.step == 1:
            signal.raise_signal(signal.SIGINT)
        return step(self, source, share)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_advance", interrupt)
        stopped = fit("--seeds", 3)
    assert stopped.exit_code == 130
    runs = [tmp_path / "out" / f"seed-{seed}" / CHECKPOINT for seed in range(3)]
    assert [run.exists() for run in runs] == [True, True, False]
    before = runs[0].stat().st_mtime_ns
    assert "holds a run already" in fit("--seeds", 3).stderr
    resumed = fit("--seeds", 3, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert all(load_checkpoint(run).finished for run in runs)
    assert runs[0].stat().st_mtime_ns == before
    again = fit("--seeds", 3, "--resume")
    assert (again.exit_code, "3 steps" in again.output) == (0, False)


def test_clips_that_are_gone_are_decoded_again_when_a_run_goes_on(tmp_path, fit, monkeypatch):
    step = loop.Run._advance

    def interrupt(self, source, share):
        signal.raise_signal(signal.SIGTERM)
        return step(self, source, share)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_advance", interrupt)
        assert fit().exit_code == 130
    (tmp_path / "out" / "clips" / "clips.int16").unlink()
    resumed = fit("--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "3 steps" in resumed.output


def test_epochs_replace_the_steps_of_the_recipe(fit):
    done = fit("--epochs", 4)  # six clips, batches of six
    assert "4 steps" in done.output, done.output
    both = fit("--epochs", 4, "--steps", 2)
    assert (both.exit_code, "either --steps or --epochs" in both.stderr) == (2, True)


def test_the_log_for_tensorboard_lies_beside_the_csv_file(tmp_path, fit):
    pytest.importorskip("tensorboard")
    assert fit("--tensorboard").exit_code == 0
    assert list((tmp_path / "out" / "tensorboard").glob("events*"))


def test_what_was_not_begun_cannot_be_resumed_nor_begun_twice(tmp_path, recipe, store):
    with pytest.raises(DataError, match="omit --resume"):
        plan_runs(tmp_path / "run", recipe, None, resume=True)
    train_run(tmp_path / "run", recipe.changed(steps=1), store)
    with pytest.raises(UsageError, match="holds a run already"):
        plan_runs(tmp_path / "run", recipe, None, resume=False)
