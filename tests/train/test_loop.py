"""A run learns, goes on where it stopped, and ends when it is told."""

from __future__ import annotations

import csv
import itertools
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edge_asd.errors import ConfigError, DataError, EdgeAsdError, StorageError, UsageError
from edge_asd_train.batchnorm import reestimate_batch_norm
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.learner import Learner
from edge_asd_train.loop import CHECKPOINT, DIVERGED, LOG, Run, learning_rate
from edge_asd_train.nets.layers import SqueezeExcitation
from edge_asd_train.recipe_parts import Optimiser
from edge_asd_train.steplog import check_tensorboard, csv_log


def new_run(folder, recipe, store, **options):
    folder.mkdir(exist_ok=True)
    return Run(folder, recipe, Batches(store, recipe), **options)


def rows(folder):
    with (folder / LOG).open() as file:
        return list(csv.DictReader(file))


def stop_after(step):
    steps = itertools.count(1)
    return lambda: next(steps) >= step


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_loss_falls(tmp_path, recipe, store, precision):
    plain = {"mixup": 0, "statex": 0, "featex": 0}
    run = new_run(tmp_path, recipe.changed(steps=25, precision=precision, augment=plain), store)
    assert run.train()
    losses = [float(row["supervised"]) for row in rows(tmp_path)]
    assert losses[0] > 0.7 * math.log(3)
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])


def test_a_resumed_run_ends_as_if_it_had_never_stopped(tmp_path, recipe, store):
    whole = new_run(tmp_path / "whole", recipe, store)
    assert whole.train()
    parted = new_run(tmp_path / "parted", recipe, store)
    assert not parted.train(stop=stop_after(4))
    resumed = new_run(tmp_path / "parted", recipe, store)
    resumed.resume()
    assert resumed.step == 4
    assert resumed.train()
    want = whole.learner.state_dict()
    for name, value in resumed.learner.state_dict().items():
        torch.testing.assert_close(value, want[name], rtol=0, atol=0, msg=name)
    steps = [row["step"] for row in rows(tmp_path / "parted")]
    assert steps == ["1", "2", "3", "4", "5", "6"]


def test_rows_after_the_checkpoint_are_done_again_and_not_twice(tmp_path, recipe, store):
    run = new_run(tmp_path, recipe.changed(checkpoint_steps=2), store)
    with pytest.raises(KeyboardInterrupt):
        run.train(stop=interrupt_after(3))
    resumed = new_run(tmp_path, recipe, store)
    resumed.resume()
    assert resumed.step == 2
    resumed.train()
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3", "4", "5", "6"]


def interrupt_after(step):
    ask = stop_after(step)

    def stop():
        if ask():
            raise KeyboardInterrupt
        return False

    return stop


def test_resuming_another_recipe_other_clips_or_an_ended_run_is_refused(tmp_path, recipe, store):
    run = new_run(tmp_path, recipe, store)
    with pytest.raises(DataError, match="no checkpoint"):
        run.resume()
    run.train(stop=stop_after(1))
    with pytest.raises(ConfigError, match="another recipe"):
        new_run(tmp_path, recipe.changed(seed=9), store).resume()
    longer = new_run(tmp_path, recipe.changed(steps=2), store)
    longer.resume()
    longer.train()
    with pytest.raises(DataError, match="has ended"):
        longer.resume()


def test_a_damaged_checkpoint_is_refused(tmp_path, recipe, store):
    new_run(tmp_path, recipe, store).train(stop=stop_after(1))
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="damaged"):
        load_checkpoint(path)


def test_the_time_limit_ends_a_run_cleanly(tmp_path, recipe, store):
    clock = itertools.count(0.0, 5.0)
    limited = recipe.changed(steps=1000, max_minutes=1.0)
    run = new_run(tmp_path, limited, store, clock=lambda: next(clock))
    assert run.train()
    assert 1 < run.step < 15
    checkpoint = load_checkpoint(tmp_path / CHECKPOINT)
    assert checkpoint.finished
    assert checkpoint.step == run.step


def test_a_loss_that_is_not_finite_names_its_step_and_leaves_the_checkpoint_alone(
    tmp_path, recipe, store
):
    run = new_run(tmp_path, recipe.changed(checkpoint_steps=2), store)

    def spoil(progress):
        if progress.step == 3:
            with torch.no_grad():
                run.learner.network.spectrum_branch.dense[-1].weight.fill_(torch.nan)

    with pytest.raises(EdgeAsdError, match=r"step 3.*supervised"):
        run.train(report=spoil)
    diverged, good = (load_checkpoint(tmp_path / name) for name in (DIVERGED, CHECKPOINT))
    weight = "network.spectrum_branch.dense.12.weight"
    assert (diverged.step, bool(diverged.learner[weight].isnan().any())) == (3, True)
    assert (good.step, bool(good.learner[weight].isfinite().all())) == (2, True)
    resumed = new_run(tmp_path, recipe, store)
    resumed.resume()
    assert resumed.train()


def test_a_gradient_that_is_not_finite_is_named_before_it_moves_anything(tmp_path, recipe, store):
    run = new_run(tmp_path, recipe, store)
    weight = run.learner.network.spectrum_branch.dense[-1].weight
    before = weight.detach().clone()
    weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(EdgeAsdError, match=r"step 0: gradient of network.*dense"):
        run.train()
    assert torch.equal(weight, before)
    assert load_checkpoint(tmp_path / DIVERGED).step == 0
    assert not (tmp_path / CHECKPOINT).exists()


def test_prefetching_changes_nothing(tmp_path, recipe, store):
    ahead, plain = (new_run(tmp_path / name, recipe, store) for name in ("ahead", "plain"))
    ahead.train()
    plain._steps(plain.batches, lambda _: None, lambda: False)
    plain._settle(plain.batches, lambda *_: None)
    want = ahead.learner.state_dict()
    for name, value in plain.learner.state_dict().items():
        torch.testing.assert_close(value, want[name], rtol=0, atol=0, msg=name)


def gradients_of_a_step(folder, recipe, store):
    run = new_run(folder, recipe, store)
    run._advance(run.batches, 0.0)
    return torch.cat([p.grad.flatten() for p in run.learner.parameters()])


def test_a_gradient_is_shortened_only_where_it_is_too_long(tmp_path, recipe, store):
    free = gradients_of_a_step(tmp_path, recipe, store)
    norm = free.double().norm().item()
    short = gradients_of_a_step(tmp_path, recipe.changed(clip_gradient=norm / 4), store)
    torch.testing.assert_close(short, free / 4, rtol=1e-3, atol=1e-6)
    alone = gradients_of_a_step(tmp_path, recipe.changed(clip_gradient=norm * 1.01), store)
    torch.testing.assert_close(alone, free, rtol=0, atol=0)


def test_the_average_of_the_weights_is_what_is_kept(tmp_path, recipe, store):
    averaged = recipe.changed(ema=0.75)
    run = new_run(tmp_path, averaged, store)
    layer = run.learner.network.spectrum_branch.dense[-1]
    seen = []
    run.train(report=lambda _: seen.append(layer.weight.detach().clone()))
    want = seen[0].clone()
    for step, weight in enumerate(seen[1:], 2):
        want.lerp_(weight, max(0.25, 1 / step))
    torch.testing.assert_close(layer.weight, want)
    assert not torch.equal(want, seen[-1])
    name = "network.spectrum_branch.dense.12.weight"
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    torch.testing.assert_close(saved.learner[name], want)
    assert saved.averaged == {}


def test_an_averaged_run_goes_on_with_its_average(tmp_path, recipe, store):
    averaged = recipe.changed(ema=0.9)
    whole = new_run(tmp_path / "whole", averaged, store)
    whole.train()
    new_run(tmp_path / "parted", averaged, store).train(stop=stop_after(3))
    resumed = new_run(tmp_path / "parted", averaged, store)
    resumed.resume()
    resumed.train()
    want = whole.learner.state_dict()
    for name, value in resumed.learner.state_dict().items():
        torch.testing.assert_close(value, want[name], rtol=0, atol=0, msg=name)


_COMPILE = """
import sys, torch
from edge_asd.errors import ConfigError
from edge_asd_train.compiling import compiled
network = torch.nn.Module()
network.branches = torch.sin
try:
    with compiled(network, torch.device("cpu")):
        sys.exit("compiled")
except ConfigError as error:
    print(error)
"""


def test_compiling_without_a_compiler_is_refused_in_one_line(tmp_path):
    nothing = {"CXX": str(tmp_path / "no-compiler"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", _COMPILE]
    done = subprocess.run(
        command, env={**os.environ, **nothing}, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1
    assert "install a C++ compiler or choose compile: false" in done.stdout


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard, about numpy
def test_tensorboard_gets_the_rows_of_the_csv_file_and_none_twice(tmp_path, recipe, store):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    new_run(tmp_path, recipe.changed(checkpoint_steps=2), store, tensorboard=True)
    run = new_run(tmp_path, recipe.changed(checkpoint_steps=2), store, tensorboard=True)
    with pytest.raises(KeyboardInterrupt):
        run.train(stop=interrupt_after(3))
    resumed = new_run(tmp_path, recipe, store, tensorboard=True)
    resumed.resume()
    resumed.train()
    curves = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    assert {"supervised", "featex", "learning_rate", "seconds"} <= set(curves.Tags()["scalars"])
    points = {point.step: point.value for point in curves.Scalars("featex")}
    want = {int(row["step"]): float(row["featex"]) for row in rows(tmp_path)}
    assert points == pytest.approx(want, rel=1e-5)
    assert len(curves.Scalars("featex")) == 6


def test_tensorboard_that_is_not_installed_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        check_tensorboard()


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(StorageError, match="cannot write the log"), csv_log(tmp_path, 0):
        pass
    full = Path("/dev/full")
    if full.exists():
        with csv_log(full, 0) as log, pytest.raises(StorageError, match="/dev/full"):
            log.write(1, {"loss": 1.0}, 0.1, 0.1)


def test_the_checkpoint_holds_recipe_classes_and_sources(tmp_path, recipe, store):
    run = new_run(tmp_path, recipe, store, sources={"clips": 12})
    run.train()
    checkpoint = load_checkpoint(tmp_path / CHECKPOINT)
    assert checkpoint.recipe == recipe
    assert checkpoint.classes == ("tone-0", "tone-1", "tone-2")
    assert checkpoint.sources == {"clips": 12}
    assert set(checkpoint.losses) == {"supervised", "featex"}


def test_the_learning_rate_rises_stays_or_falls_as_asked():
    constant = Optimiser()
    assert learning_rate(constant, 0.9, 900) == 1e-3
    cosine = Optimiser(schedule="cosine", warmup_steps=10)
    assert learning_rate(cosine, 0.0, 0) == pytest.approx(1e-4)
    assert learning_rate(cosine, 0.5, 500) == pytest.approx(0.505e-3)
    assert learning_rate(cosine, 1.0, 999) == pytest.approx(1e-5)


def test_l2_acts_on_kernels_but_not_on_squeeze_excitation_or_normalisation(recipe):
    learner = Learner(recipe, classes=3)
    kernels, others = ({id(p) for p in group["params"]} for group in learner.parameter_groups())
    assert learner.parameter_groups()[0]["weight_decay"] == 2e-5
    assert id(learner.network.spectrum_branch.dense[0].weight) in kernels
    excluded = [m for m in learner.modules() if isinstance(m, SqueezeExcitation)]
    assert all(id(p) in others for m in excluded for p in m.parameters())
    assert all(id(p) in others for p in learner.heads.parameters())
    assert all(p.dim() >= 2 for p in learner.parameters() if id(p) in kernels)
    assert len(kernels) + len(others) == len(list(learner.parameters()))


def test_weight_decay_is_the_gradient_of_l2_in_the_loss():
    weight = torch.nn.Parameter(torch.tensor([0.3, -2.0]))
    twin = torch.nn.Parameter(weight.detach().clone())
    l2 = 0.1
    adam = torch.optim.Adam([weight], weight_decay=2 * l2, fused=True)
    reference = torch.optim.Adam([twin])
    for _ in range(3):
        adam.zero_grad()
        weight.sum().backward()
        adam.step()
        reference.zero_grad()
        (twin.sum() + l2 * twin.square().sum()).backward()
        reference.step()
    torch.testing.assert_close(weight, twin)


def test_normalisation_statistics_are_the_mean_over_the_batches(recipe, store):
    plain = recipe.changed(augment={"mixup": 0, "statex": 0, "featex": 0})
    learner, batches = Learner(plain, 3), Batches(store, plain)
    reestimate_batch_norm(learner, batches, first=7, count=4)
    means = []
    for step in range(7, 11):
        x = learner.frontend(batches.at(step)[0])["spectrogram"].squeeze(3)
        means.append((x - x.mean(1, keepdim=True)).var((0, 1)))
    layer = learner.network.spectrogram_branch.bins_norm
    torch.testing.assert_close(layer.running_var, torch.stack(means).mean(0), rtol=1e-3, atol=1e-6)
    assert layer.momentum == 0.01
    assert not learner.training


_PAGES_TOUCHED = """
import resource, sys
from edge_asd_train.memory import keep_freed_memory
if "keep" in sys.argv:
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytes(bytearray(2**26))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")
def test_large_blocks_are_reused_instead_of_being_mapped_anew():
    faults = {}
    for word in ("keep", "default"):
        command = [sys.executable, "-c", _PAGES_TOUCHED, word]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        faults[word] = int(done.stdout)
    assert faults["keep"] < 0.2 * faults["default"]


def test_every_batch_of_the_final_statistics_is_reported(tmp_path, recipe, store):
    reports, settled = [], []
    run = new_run(tmp_path, recipe, store)
    run.train(report=reports.append, settle=lambda *seen: settled.append(seen))
    assert [one.step for one in reports] == [1, 2, 3, 4, 5, 6]
    assert settled == [(1, 3), (2, 3), (3, 3)]
    assert reports[-1].total == 6


def test_a_checkpoint_without_its_recipe_is_refused(tmp_path):
    torch.save({"format": 1, "step": 3}, tmp_path / CHECKPOINT)
    with pytest.raises(DataError, match="incomplete"):
        load_checkpoint(tmp_path / CHECKPOINT)
