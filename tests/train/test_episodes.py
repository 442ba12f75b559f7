"""Episodes: clips of a machine scored against its own normal ones."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.errors import DataError
from edge_asd_train.budget import batch_bytes, weights_bytes
from edge_asd_train.checkpoint import load_checkpoint
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.learner import Learner
from edge_asd_train.loop import CHECKPOINT, Run
from edge_asd_train.losses import EpisodeLoss, check_gradients

SEEDS = st.integers(0, 2**31)


def around(angles_degree):
    """Unit vectors in the plane."""
    angles = torch.tensor(angles_degree, dtype=torch.float64) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def noise(seed, count, size=5):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)).double()


def chord(degree):
    """Distance of unit vectors, with the floor that keeps its gradient finite."""
    return math.sqrt(4 * math.sin(math.radians(degree) / 2) ** 2 + 1e-6)


def test_the_loss_is_that_computed_by_hand():
    loss = EpisodeLoss(1, 2, 1, softness=0.5).double()
    with torch.no_grad():
        loss.slope.fill_(2.0)
        loss.threshold.fill_(0.1)
    near, far = chord(60) / 0.5, chord(150) / 0.5
    other = chord(90) / 0.5
    # The two normal clips have one neighbour each, 60 degrees off; the faulty one has two.
    soft = -math.log(math.exp(-other) + math.exp(-far))
    wrong = 2.0 * (soft - 1.0)
    right = 2.0 * (near - 1.0)
    want = (2 * math.log1p(math.exp(right)) + math.log1p(math.exp(-wrong))) / 3
    got = loss(around([0.0, 60.0, 150.0]))
    assert list(got.terms) == ["episodes"]
    assert got.total.item() == pytest.approx(want, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, length=st.floats(0.01, 100))
def test_order_of_machines_and_of_their_clips_and_lengths_do_not_matter(seed, length):
    loss = EpisodeLoss(3, 4, 2, softness=0.2).double()
    z = noise(seed, 18).view(3, 6, 5)
    want = loss(z.flatten(0, 1)).total
    rng = torch.Generator().manual_seed(seed)
    normal, faulty = torch.randperm(4, generator=rng), 4 + torch.randperm(2, generator=rng)
    mixed = z[torch.randperm(3, generator=rng)][:, torch.cat([normal, faulty])] * length
    torch.testing.assert_close(loss(mixed.flatten(0, 1)).total, want)


def test_machines_are_never_compared_with_each_other():
    loss = EpisodeLoss(2, 3, 2, softness=0.2).double()
    z = noise(0, 10).requires_grad_()
    scores = loss._scores(torch.nn.functional.normalize(z).view(2, 5, -1))
    (gradient,) = torch.autograd.grad(scores[0].sum(), z)
    assert gradient[:5].abs().max() > 0
    assert (gradient[5:] == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.floats(5.0, 80.0), st.floats(1.1, 2.0))
def test_a_clip_that_moves_away_lowers_the_loss_if_it_is_faulty_and_raises_it_if_not(near, factor):
    loss = EpisodeLoss(1, 3, 1, softness=0.1).double()
    faulty = [loss(around([0.0, 2.0, -2.0, at])).total for at in (near, near * factor)]
    assert faulty[1] < faulty[0]
    stray = [loss(around([0.0, 1.0, at, 179.0])).total for at in (near, near * factor)]
    assert stray[1] > stray[0]


def test_a_normal_clip_is_never_compared_with_itself():
    loss = EpisodeLoss(1, 2, 1, softness=0.5).double()
    scores = loss._scores(around([0.0, 90.0, 0.0])[None])
    nothing = chord(0) / 0.5
    apart = chord(90) / 0.5
    both = -math.log(math.exp(-nothing) + math.exp(-apart))
    # A faulty clip at the place of a normal one is at no distance; the normal one is not.
    torch.testing.assert_close(scores, torch.tensor([[apart, apart, both]]).double())


def test_gradients_are_those_of_differences_and_finite_where_clips_coincide():
    loss = EpisodeLoss(2, 3, 2, softness=0.3).double()
    z = noise(1, 10).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: loss(x).total, (z, *loss.parameters()))
    same = torch.ones(10, 5).requires_grad_()
    single = EpisodeLoss(2, 3, 2)
    single(same).total.backward()
    assert torch.isfinite(same.grad).all()
    assert check_gradients(single, 0) > 0


# Batches


def test_a_batch_of_episodes_depends_on_seed_and_step_alone(faulty_store, episodes):
    first, second = (Batches(faulty_store, episodes) for _ in range(2))
    for step in (0, 1, 5):
        first.at(step)
    x, y = second.at(5)
    torch.testing.assert_close(first.at(5), (x, y), rtol=0, atol=0)
    assert not torch.equal(first.at(6)[0], x)
    assert not torch.equal(Batches(faulty_store, episodes.changed(seed=1)).at(5)[0], x)


def test_episodes_are_of_different_machines_normal_clips_first_and_no_clip_twice(
    faulty_store, episodes
):
    batches = Batches(faulty_store, episodes)
    seen, machines = set(), set()
    for step in range(30):
        chosen = batches._chosen(step)
        assert len(set(chosen)) == len(chosen) == episodes.batch
        by_machine = chosen.reshape(2, 5)
        of = faulty_store.machines[by_machine]
        assert (of == of[:, :1]).all()
        assert of[0, 0] != of[1, 0]
        assert faulty_store.faulty[by_machine].tolist() == [[False] * 3 + [True] * 2] * 2
        seen.update(chosen.tolist())
        machines.update(map(tuple, of[:, :1].T.tolist()))
    assert seen == set(range(21))
    assert len(machines) == 6


def test_clips_without_faults_are_refused_with_the_remedy(store, episodes):
    with pytest.raises(DataError, match=r"0 machines .* need 2: give more with --simulated"):
        Batches(store, episodes)


# Learning


@pytest.mark.parametrize("kind", ["bands", "featex"])
def test_any_network_learns_from_episodes(tmp_path, faulty_store, episodes, kind):
    network = episodes.network if kind == "bands" else {"kind": "featex", "magnitude": "log"}
    chosen = episodes.changed(steps=20, network=network, optimiser={"learning_rate": 1e-2})
    run = Run(tmp_path, chosen, Batches(faulty_store, chosen))
    losses = []
    assert run.train(report=lambda progress: losses.append(progress.terms["episodes"]))
    assert losses[-1] < 0.9 * losses[0]
    checkpoint = load_checkpoint(tmp_path / CHECKPOINT)
    assert checkpoint.finished
    assert set(checkpoint.losses) == {"episodes"}


def test_labels_are_nothing_to_episodes(faulty_store, episodes):
    torch.manual_seed(0)
    learner = Learner(episodes, classes=6)
    x, y = Batches(faulty_store, episodes).at(0)
    one, other = (
        learner.losses(x, labels, torch.Generator().manual_seed(0)).total
        for labels in (y, y.flip(0))
    )
    assert torch.equal(one, other)
    assert learner.heads is None


def test_a_resumed_run_of_episodes_ends_as_if_it_had_never_stopped(
    tmp_path, faulty_store, episodes
):
    def new(name):
        (tmp_path / name).mkdir(exist_ok=True)
        return Run(tmp_path / name, episodes, Batches(faulty_store, episodes))

    whole = new("whole")
    assert whole.train()
    parted = new("parted")
    assert not parted.train(stop=lambda: parted.step == 4)
    resumed = new("parted")
    resumed.resume()
    assert resumed.step == 4
    assert resumed.train()
    want = whole.learner.state_dict()
    assert "episodes.slope" in want
    for name, value in resumed.learner.state_dict().items():
        torch.testing.assert_close(value, want[name], rtol=0, atol=0, msg=name)


def test_memory_of_episodes_grows_by_machines(episodes):
    some, more, most = (batch_bytes(episodes, 6, rows) for rows in (10, 20, 30))
    assert more - some == pytest.approx(most - more, abs=1)
    assert some > 5 * 10 * 4 * episodes.window_samples
    trained = sum(p.nbytes for p in Learner(episodes, 6).parameters())
    assert weights_bytes(episodes, 6) > 4 * trained
