"""Two processes that share every batch compute what one does on the whole of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import yaml
from click.testing import CliRunner
from torch import distributed, nn

from edge_asd.errors import ConfigError, UsageError
from edge_asd_train.augment.draws import uniform
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.cli import main
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.device import choose_device
from edge_asd_train.distributed import World, joined
from edge_asd_train.learner import Learner
from edge_asd_train.nets.layers import FeatureBatchNorm, MapBatchNorm
from edge_asd_train.nets.shared_norm import share_batch_norm

CPU = torch.device("cpu")


def command(recipe, data, out):
    """Arguments of a ``fit`` on the processor."""
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    where = ["--data", str(data), "--out", str(out), "--device", "cpu"]
    return ["fit", "--recipe", str(path), *where]


def fit_in_two(arguments):
    """Run the command line in two processes under torchrun."""
    run = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, "-m", *run, "-m", "edge_asd_train", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1000,
    )


def parameters(state, learner):
    """All parameters of a learner's state in one vector."""
    return torch.cat([state[name].double().flatten() for name, _ in learner.named_parameters()])


@pytest.mark.timeout(1200)
def test_two_processes_end_with_the_weights_of_one(tmp_path, data, recipe):
    # Adam divides by the size of a gradient: with a tiny eps it would turn the rounding of a
    # gradient that is all but zero into a step of full length.
    options = {"eps": 0.1, "learning_rate": 1e-2}
    loss = {"scale": "adacos_excl", "subclusters": 2}
    shared = recipe.changed(
        steps=5, batch=8, clip_gradient=1.0, ema=0.5, optimiser=options, loss=loss
    )
    assert CliRunner().invoke(main, command(shared, data, tmp_path / "one")).exit_code == 0
    done = fit_in_two(command(shared, data, tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("5 steps") == 1
    one, two = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("one", "two"))
    torch.manual_seed(shared.seed)
    learner = Learner(shared, 2)
    start = parameters(learner.state_dict(), learner)
    alone, together = (parameters(each.learner, learner) for each in (one, two))
    # Rounding may turn a rectifier or the place of a maximum: single weights differ by 1e-4 then.
    # Statistics of half the batch would make the steps differ by more than their own length.
    assert (together - alone).norm() < 0.01 * (alone - start).norm()
    assert (together - alone).abs().mean() < 1e-6
    for head in ("supervised", "featex"):
        scales = [float(each.learner[f"heads.heads.{head}.scale"]) for each in (one, two)]
        assert scales[0] == pytest.approx(scales[1], rel=1e-4)
    assert two.losses == pytest.approx(one.losses, rel=1e-4)
    rows = (tmp_path / "two" / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(("batch", "size", "multiple"), [(6, 2, 4), (8, 3, 6), (7, 2, 4)])
def test_a_batch_that_cannot_be_shared_is_refused(recipe, batch, size, multiple):
    named = f"batch: {batch} cannot be shared by {size} .* a multiple of {multiple}$"
    with pytest.raises(ConfigError, match=named):
        World(CPU, 0, size).check(recipe.changed(batch=batch))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_partners_stay_together_and_every_row_is_taken_once(size):
    taken = []
    for rank in range(size):
        rows = World(CPU, rank, size).rows(12)
        assert (rows + rows[::-1]).tolist() == [11] * len(rows)
        taken += rows.tolist()
    assert sorted(taken) == list(range(12))


def test_a_row_has_the_same_window_and_draws_in_every_process(store, recipe):
    whole = Batches(store, recipe)
    rows = World(CPU, 1, 3).rows(recipe.batch)
    part = Batches(store, recipe, rows=rows)
    for mine, all_of_them in zip(part.at(3), whole.at(3), strict=True):
        torch.testing.assert_close(mine, all_of_them[rows], rtol=0, atol=0)
    mine = uniform(len(rows), part.draws(3))
    torch.testing.assert_close(mine, uniform(6, whole.draws(3))[rows], rtol=0, atol=0)


def test_compiled_networks_do_not_share_a_batch(recipe):
    compiled = recipe.changed(batch=8, compile=True)
    World(CPU).check(compiled)
    with pytest.raises(ConfigError, match="choose compile: false"):
        World(CPU, 0, 2).check(compiled)


def test_episodes_are_refused_by_several_processes(episodes):
    World(CPU).check(episodes)
    with pytest.raises(ConfigError, match=r"episodes .* without torchrun"):
        World(CPU, 0, 2).check(episodes)


@pytest.fixture
def alone(tmp_path):
    """A group of one process, so that its layers talk to themselves."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("layer", "shape"), [(MapBatchNorm(3), (4, 3, 5, 6)), (FeatureBatchNorm(7), (4, 5, 7))]
)
def test_shared_normalisation_is_batch_normalisation(layer, shape):
    twin = type(layer)(layer.num_features)
    network = nn.Sequential(nn.Sequential(layer))
    share_batch_norm(network)
    assert list(network.state_dict()) == [f"0.0.{name}" for name in twin.state_dict()]
    torch.manual_seed(0)
    x = (3.0 + torch.randn(shape)).requires_grad_()
    y = x.detach().clone().requires_grad_()
    for momentum in (0.01, None):
        network[0][0].momentum = twin.momentum = momentum
        got, want = network(x), twin(y)
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
        got.pow(3).sum().backward()
        want.pow(3).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-4)
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(network.state_dict()[f"0.0.{name}"], value, msg=name)
    torch.testing.assert_close(network.eval()(x), twin.eval()(y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["tpu", "cpu:1", "cuda:x", "mps:0"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(UsageError, match="choose auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_an_accelerator_cuda_is_refused_and_auto_is_the_processor():
    with pytest.raises(UsageError, match="no CUDA device; choose cpu"):
        choose_device("cuda")
    with joined("auto") as world:
        assert (world.device, world.size, world.leads) == (CPU, 1, True)
