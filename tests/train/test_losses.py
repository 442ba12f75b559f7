"""Sub-cluster AdaCos and its heads."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from edge_asd.errors import EdgeAsdError
from edge_asd_train.losses import SCALE_MODES, Heads, LossTerms, SubclusterAdaCos
from edge_asd_train.losses.heads import HeadWeights


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


def test_the_scale_starts_at_the_published_value_and_fixed_stays_there():
    head = SubclusterAdaCos(8, 10, 16)
    assert head.scale == pytest.approx(math.sqrt(2) * math.log(159))
    head(*batch(classes=10))
    assert head.scale == pytest.approx(math.sqrt(2) * math.log(159))


@pytest.mark.parametrize("mode", ["adacos_excl", "published"])
def test_an_adaptive_scale_moves_in_training_only(mode):
    head = SubclusterAdaCos(8, 3, 4, scale=mode)
    before = head.scale.clone()
    head.eval()(*batch())
    assert head.scale == before
    head.train()(*batch())
    assert head.scale != before


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
    head = SubclusterAdaCos(2, 2, 2, trainable=False, scale="adacos_excl")
    head.centres.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, 1]]))
    start = head.scale.item()
    head(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    # other class: two centres at cosine 0; own best angle: 0
    assert head.scale == pytest.approx(math.log(2 * math.exp(0 * start)), abs=1e-3)


def test_fixed_centres_have_no_parameters():
    assert not list(SubclusterAdaCos(8, 3, trainable=False).parameters())


def test_heads_have_the_published_sizes_and_weights():
    heads = Heads(4, 5, subclusters=2, weights=HeadWeights(1.0, 0.5, 2.0))
    assert [head.classes for head in heads.heads.values()] == [5, 15, 45]
    assert [head.trainable for head in heads.heads.values()] == [False, True, True]
    z, labels = batch(size=4, classes=5)
    labels3 = torch.cat([labels, 0 * labels, 0 * labels], dim=1)
    rng = torch.Generator().manual_seed(0)
    terms = heads(z, z, labels, labels3, featex_probability=0.0, rng=rng).terms
    joint = torch.cat([z, z], dim=1)
    assert terms["statex"].item() == pytest.approx(
        0.5 * heads.heads["statex"](joint, labels3).item()
    )
    assert list(terms) == ["supervised", "statex", "featex"]


def test_a_head_of_weight_zero_is_not_built():
    assert list(Heads(4, 5).heads) == ["supervised", "featex"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_names_step_and_term(value):
    terms = LossTerms({"supervised": torch.tensor(1.0), "featex": torch.tensor(value)})
    with pytest.raises(EdgeAsdError, match=r"step 17.*featex"):
        terms.values(17)


def test_every_scale_mode_is_known():
    assert SCALE_MODES == ("fixed", "adacos_excl", "published")
