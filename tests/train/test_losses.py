"""Sub-cluster AdaCos and its heads."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from edge_asd.errors import EdgeAsdError
from edge_asd_train.learner import Learner
from edge_asd_train.losses import (
    SCALE_MODES,
    AdaProj,
    DivergedError,
    HeadOptions,
    Heads,
    LossTerms,
    SubclusterAdaCos,
    check_gradients,
)

KINDS = [SubclusterAdaCos, AdaProj]


def batch(n=6, size=8, classes=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.rand(n, classes, generator=rng)
    return torch.randn(n, size, generator=rng), labels / labels.sum(1, keepdim=True)


def plain_loss(head, z, labels):
    """The definition, without any care for speed or range."""
    centres = functional.normalize(head.centres)
    p = torch.softmax(head.scale * functional.normalize(z) @ centres.T, dim=1)
    by_class = p.view(len(z), head.classes, head.subclusters).sum(2)
    return -(labels * by_class.log()).sum(1).mean()


@pytest.mark.parametrize("trainable", [True, False])
def test_loss_and_gradients_are_those_of_the_definition(trainable):
    torch.manual_seed(0)
    head = SubclusterAdaCos(8, 3, 4, trainable=trainable).double()
    z, labels = (x.double() for x in batch())
    inputs = [z.requires_grad_(), *head.parameters()]
    got, want = head(z, labels), plain_loss(head, z, labels)
    torch.testing.assert_close(got, want)
    for g, w in zip(
        torch.autograd.grad(got, inputs), torch.autograd.grad(want, inputs), strict=True
    ):
        torch.testing.assert_close(g, w)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trainable", [True, False])
def test_gradients_are_those_of_differences(kind, trainable):
    torch.manual_seed(0)
    head = kind(8, 3, 4, trainable=trainable).double()
    z, labels = (x.double() for x in batch(n=5))

    def loss(z, *_):
        return head(z, labels)

    assert torch.autograd.gradcheck(loss, (z.requires_grad_(), *head.parameters()))


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 7), length=st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_lengths_of_embeddings_and_centres_do_not_matter(kind, seed, n, length):
    torch.manual_seed(seed)
    head = kind(8, 3, 4)
    z, labels = batch(n=n, seed=seed)
    before = head(z, labels)
    with torch.no_grad():
        head.centres.mul_(length)
    torch.testing.assert_close(head(z / length, labels), before, rtol=1e-3, atol=1e-4)


def test_adaproj_is_the_cosine_with_the_projection():
    torch.manual_seed(0)
    head = AdaProj(8, 3, 4).double()
    z = torch.randn(6, 8, dtype=torch.float64)
    w = functional.normalize(head.centres.view(3, 4, 8), dim=2)
    projected = torch.einsum("csd,bcs->bcd", w, torch.einsum("bd,csd->bcs", z, w))
    torch.testing.assert_close(
        head.cosines(z), functional.cosine_similarity(z[:, None], projected, dim=2)
    )


def test_adaproj_on_planes_gives_the_angles_to_them():
    head = AdaProj(3, 2, 2, trainable=False)
    head.centres.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]))
    z = torch.tensor([[3.0, 4.0, 0.0], [0.0, 5.0, 0.0], [1.0, 0.0, 1.0]])
    want = torch.tensor([[1.0, 0.8], [1.0, 1.0], [math.sqrt(0.5), math.sqrt(0.5)]])
    torch.testing.assert_close(head.cosines(z), want)


def test_adaproj_with_one_dimension_is_a_cosine_head_on_its_side_of_the_origin():
    torch.manual_seed(0)
    projection, cosine = AdaProj(8, 3, 1), SubclusterAdaCos(8, 3, 1)
    assert projection.scale == cosine.scale
    with torch.no_grad():
        projection.centres.abs_()
        cosine.centres.copy_(projection.centres)
    z, labels = batch()
    torch.testing.assert_close(projection(z.abs(), labels), cosine(z.abs(), labels))
    # A line has no direction: the opposite embedding is as close to it.
    torch.testing.assert_close(projection(-z, labels), projection(z, labels))


def test_adaproj_is_finite_for_a_sample_orthogonal_to_a_subspace():
    head = AdaProj(3, 2, 2, trainable=False)
    head.centres.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]))
    z = torch.tensor([[0.0, 0.0, 2.0]], requires_grad=True)
    head(z, torch.tensor([[1.0, 0.0]])).backward()
    assert torch.isfinite(z.grad).all()


def test_an_embedding_is_free_to_move_within_its_subspace():
    head = AdaProj(4, 2, 2, trainable=False)
    head.centres.copy_(torch.eye(4))
    z = torch.tensor([[1.0, 2.0, 0.5, 0.0], [2.0, -1.0, 0.5, 0.0]])
    losses = [head(row[None], torch.tensor([[1.0, 0.0]])) for row in z]
    torch.testing.assert_close(*losses)


def test_the_scale_starts_at_the_published_value_and_fixed_stays_there():
    head = SubclusterAdaCos(8, 10, 16)
    assert head.scale == pytest.approx(math.sqrt(2) * math.log(159))
    head(*batch(classes=10))
    assert head.scale == pytest.approx(math.sqrt(2) * math.log(159))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["adacos_excl", "published"])
def test_an_adaptive_scale_moves_in_training_only(kind, mode):
    torch.manual_seed(0)
    head = kind(8, 9, 4, scale=mode)
    before = head.scale.clone()
    head.eval()(*batch(classes=9))
    assert head.scale == before
    head.train()(*batch(classes=9))
    assert head.scale != before
    assert not head.scale.requires_grad


def separated(mode, steps):
    """Train a head on classes that are easy to tell apart."""
    torch.manual_seed(1)
    head = SubclusterAdaCos(16, 6, 4, scale=mode)
    labels = torch.eye(6)[torch.arange(24) % 6]
    points = torch.randn(6, 16)[torch.arange(24) % 6] + 0.01 * torch.randn(24, 16)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        head(points, labels).backward()
        optimiser.step()
    return head.scale.item()


def test_the_published_scale_grows_to_its_limit_where_the_corrected_one_does_not():
    assert separated("published", 150) == pytest.approx(64.0)
    assert separated("adacos_excl", 150) < 20.0


def test_the_corrected_scale_uses_the_best_subcluster_of_the_own_class():
    head = SubclusterAdaCos(2, 3, 2, trainable=False, scale="adacos_excl")
    head.centres.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, 1], [0, 1], [0, -1]]))
    head(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    # other classes: four centres at cosine 0; own best angle: 0
    assert head.scale == pytest.approx(math.log(4), abs=1e-3)


@pytest.mark.parametrize(("mode", "counted"), [("published", 4), ("adacos_excl", 3)])
def test_the_scale_of_adaproj_counts_the_own_class_as_orthogonal_or_not_at_all(mode, counted):
    head = AdaProj(3, 4, 1, trainable=False, scale=mode)
    head.centres.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]]))
    head.scale.fill_(8.0)
    angle = math.radians(30)  # to the own class; the others are orthogonal
    z = torch.tensor([[math.cos(angle), 0.0, math.sin(angle)]])
    head(z, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    assert head.scale == pytest.approx(math.log(counted) / math.cos(angle), abs=1e-4)


def test_fixed_centres_have_no_parameters():
    assert not list(SubclusterAdaCos(8, 3, trainable=False).parameters())


def three_heads(**options):
    heads = {
        "supervised": HeadOptions(1.0, trainable=False),
        "statex": HeadOptions(0.5, trainable=True, blocks=3),
        "featex": HeadOptions(2.0, trainable=True, blocks=9),
    }
    return Heads(8, 5, heads, subclusters=2, **options)


@pytest.mark.parametrize("kind", ["adacos", "adaproj"])
def test_terms_are_the_weighted_losses_of_their_heads(kind):
    heads = three_heads(kind=kind)
    assert [head.classes for head in heads.heads.values()] == [5, 15, 45]
    assert [head.trainable for head in heads.heads.values()] == [False, True, True]
    z, labels = batch(size=4, classes=5)
    labels3 = torch.cat([labels, 0 * labels, 0 * labels], dim=1)
    labels9 = torch.cat([labels3, 0 * labels3, 0 * labels3], dim=1)
    rng = torch.Generator().manual_seed(0)
    terms = heads(z, z, labels, labels3, featex_probability=1e-9, rng=rng).terms
    joint = torch.cat([z, z], dim=1)
    for name, weight, target in (
        ("supervised", 1.0, labels),
        ("statex", 0.5, labels3),
        ("featex", 2.0, labels9),
    ):
        torch.testing.assert_close(terms[name], weight * heads.heads[name](joint, target))


OFF = {"mixup": 0, "statex": 0, "statex_time": 0, "featex": 0}
ONE = {"supervised": 1, "statex": 0, "featex": 0}
TWO = {"supervised": 1, "statex": 0, "featex": 1}
STATEX = {"supervised": 1, "statex": 1, "featex": 0}
THREE = {"supervised": 1, "statex": 1, "featex": 1}


@pytest.mark.parametrize(
    ("augment", "weights", "sizes"),
    [
        (OFF, ONE, {"supervised": 1}),  # none
        ({**OFF, "mixup": 0.5}, ONE, {"supervised": 1}),  # mixup
        ({**OFF, "statex": 0.5}, STATEX, {"supervised": 1, "statex": 3}),  # StatEx
        ({**OFF, "statex_time": 0.5}, STATEX, {"supervised": 1, "statex": 3}),
        ({**OFF, "featex": 0.5}, TWO, {"supervised": 1, "featex": 3}),  # FeatEx
        ({}, TWO, {"supervised": 1, "featex": 9}),  # all, as published
        ({}, THREE, {"supervised": 1, "statex": 3, "featex": 9}),  # all, as in the paper
    ],
)
@pytest.mark.parametrize("trainable", [True, False])
def test_heads_carry_the_labels_that_can_reach_them(recipe, augment, weights, sizes, trainable):
    loss = {**weights, "subclusters": 2, "trainable": trainable}
    learner = Learner(recipe.changed(augment=augment, loss=loss), classes=4)
    heads = learner.heads.heads
    assert {name: head.classes for name, head in heads.items()} == {
        name: 4 * blocks for name, blocks in sizes.items()
    }
    assert all(head.trainable is trainable for head in heads.values())
    assert bool(list(learner.heads.parameters())) is trainable
    waveforms, labels = torch.randn(5, recipe.window_samples), torch.eye(4)[torch.arange(5) % 4]
    terms = learner.losses(waveforms, labels, torch.Generator().manual_seed(0))
    assert set(terms.values(0)) == set(sizes)
    terms.total.backward()
    assert check_gradients(learner, 0) > 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_names_step_and_term(value):
    terms = LossTerms({"supervised": torch.tensor(1.0), "featex": torch.tensor(value)})
    with pytest.raises(EdgeAsdError, match=r"step 17.*featex") as caught:
        terms.values(17)
    assert isinstance(caught.value, DivergedError)
    assert (caught.value.step, caught.value.term) == (17, "loss term featex")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_names_step_and_parameter(value):
    layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    layers(torch.ones(1, 2)).sum().backward()
    norms = [float(p.grad.norm()) for p in layers.parameters()]
    assert check_gradients(layers, 3) == pytest.approx(math.hypot(*norms))
    layers[1].weight.grad[0, 1] = value
    with pytest.raises(DivergedError, match=rf"step 3: gradient of 1.weight is {value}"):
        check_gradients(layers, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["adacos_excl", "published"])
def test_an_adaptive_scale_stays_in_bounds_where_every_class_is_in_every_sample(kind, mode):
    head = kind(8, 2, 1, scale=mode)
    for seed in range(20):
        z, labels = batch(classes=2, seed=seed)
        assert torch.isfinite(head(z, labels))
    assert 1 <= head.scale <= 64


_RANK = """
import sys, torch
from edge_asd_train.losses import SubclusterAdaCos
rank, ranks, folder = int(sys.argv[1]), 2, sys.argv[2]
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
z, labels, state = torch.load(f"{folder}/batch.pt")
head = SubclusterAdaCos(8, 5, 2, scale=sys.argv[3])
head.load_state_dict(state)
head(z[rank::ranks], labels[rank::ranks])
torch.save(head.scale, f"{folder}/scale{rank}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_processes_that_share_a_batch_move_to_the_same_scale(tmp_path):
    head = SubclusterAdaCos(8, 5, 2, scale="adacos_excl")
    z, _ = batch(n=6, classes=5)
    labels = torch.eye(5)[torch.arange(6) % 5]
    torch.save((z, labels, head.state_dict()), tmp_path / "batch.pt")
    head(z, labels)
    running = [
        subprocess.Popen([sys.executable, "-c", _RANK, str(rank), str(tmp_path), head.mode])
        for rank in range(2)
    ]
    assert [one.wait(600) for one in running] == [0, 0]
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"scale{rank}.pt"), head.scale)


def test_every_scale_mode_is_known():
    assert SCALE_MODES == ("fixed", "adacos_excl", "published")
