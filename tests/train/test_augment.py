"""Augmentations and the labels that go with them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd_train.augment import featex, mixup, statex

BATCHES = st.integers(1, 9)
PROBABILITIES = st.floats(0, 1)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def one_hot(batch, classes=4):
    return torch.eye(classes)[torch.arange(batch) % classes]


@settings(max_examples=60, deadline=None)
@given(BATCHES, PROBABILITIES, PROBABILITIES, PROBABILITIES, st.integers(0, 2**31))
def test_every_label_sums_to_one(batch, p_mixup, p_statex, p_featex, seed):
    draw = rng(seed)
    _, labels = mixup(torch.randn(batch, 8), one_hot(batch), probability=p_mixup, rng=draw)
    _, labels3 = statex(torch.rand(batch, 3, 5, 1), labels, probability=p_statex, rng=draw)
    z = torch.randn(batch, 2)
    _, labels9 = featex(z, z, labels3, probability=p_featex, rng=draw)
    assert [labels.shape[1], labels3.shape[1], labels9.shape[1]] == [4, 12, 36]
    for vectors in (labels, labels3, labels9):
        torch.testing.assert_close(vectors.sum(1), torch.ones(batch))
        assert (vectors >= 0).all()


def test_at_probability_zero_nothing_changes():
    x, y = torch.randn(5, 8), one_hot(5)
    mixed, labels = mixup(x, y, probability=0.0, rng=rng())
    assert torch.equal(mixed, x)
    assert torch.equal(labels, y)
    maps = torch.rand(5, 3, 4, 1)
    same, labels3 = statex(maps, y, probability=0.0, rng=rng())
    torch.testing.assert_close(same, maps)
    assert torch.equal(labels3[:, :4], y)


def test_mixup_uses_one_weight_for_sound_and_label_of_a_sample():
    x, y = torch.eye(4), torch.eye(4)
    mixed, labels = mixup(x, y, probability=1.0, rng=rng())
    assert torch.equal(mixed, labels)
    assert (mixed.diag() < 1).all()
    torch.testing.assert_close(mixed.flip(1).diag(), 1 - mixed.diag())  # partner is B-1-i


def test_mixup_changes_about_the_given_share():
    x = torch.arange(4000.0)[:, None]
    mixed, _ = mixup(x, torch.ones(4000, 1), probability=0.5, rng=rng())
    assert (mixed != x).float().mean() == pytest.approx(0.5, abs=0.04)


def test_statex_takes_over_the_partners_mean_and_spread_in_every_frame():
    maps = torch.rand(4, 6, 32, 1, generator=rng(1)) * torch.arange(1, 5)[:, None, None, None]
    got, labels = statex(maps, one_hot(4), probability=1.0, rng=rng())
    torch.testing.assert_close(got.mean(2), maps.flip(0).mean(2))
    torch.testing.assert_close(got.std(2), maps.flip(0).std(2))
    normal = (maps - maps.mean(2, keepdim=True)) / maps.std(2, keepdim=True)
    after = (got - got.mean(2, keepdim=True)) / got.std(2, keepdim=True)
    torch.testing.assert_close(after, normal, atol=1e-4, rtol=1e-3)  # the shape stays its own
    assert labels[0].tolist() == [0] * 4 + [0.5, 0, 0, 0] + [0, 0, 0, 0.5]


def test_statex_survives_digital_silence():
    maps = torch.rand(2, 3, 8, 1)
    maps[0] = 0
    got, _ = statex(maps, one_hot(2), probability=1.0, rng=rng())
    assert torch.isfinite(got).all()


def test_featex_keeps_one_half_and_exchanges_the_other():
    e_fft = torch.arange(4.0)[:, None].requires_grad_()
    e_spec = (10 + torch.arange(4.0))[:, None].requires_grad_()
    z, labels = featex(e_fft, e_spec, one_hot(4), probability=1.0, rng=rng())
    assert z.tolist() == [[0, 13], [1, 12], [2, 11], [3, 10]]
    assert labels[1].tolist() == [0] * 4 + [0, 0.5, 0, 0] + [0, 0, 0.5, 0]
    z[0].sum().backward()
    assert e_spec.grad[:, 0].tolist() == [0, 0, 0, 1]  # no gradient is stopped
