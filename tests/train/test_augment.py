"""Augmentations and the labels that go with them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd_train.augment import Draws, colour, featex, label_blocks, mixup, statex

BATCHES = st.integers(1, 9)
PROBABILITIES = st.just(0.0) | st.floats(0, 1)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def one_hot(batch, classes=4):
    return torch.eye(classes)[torch.arange(batch) % classes]


@settings(max_examples=60, deadline=None)
@given(BATCHES, st.tuples(*[PROBABILITIES] * 4), st.integers(0, 2**31))
def test_every_label_sums_to_one(batch, chances, seed):
    p_mixup, p_statex, p_time, p_featex = chances
    draw = rng(seed)
    _, labels = mixup(torch.randn(batch, 8), one_hot(batch), probability=p_mixup, rng=draw)
    maps = torch.rand(batch, 3, 5, 1)
    _, labels3 = statex(maps, labels, probability=p_statex, probability_time=p_time, rng=draw)
    z = torch.randn(batch, 2)
    _, labels9 = featex(z, z, labels3, probability=p_featex, rng=draw)
    blocks = label_blocks(p_statex, p_time)
    sizes = [4, 4 * blocks, 4 * blocks * label_blocks(p_featex)]
    assert [labels.shape[1], labels3.shape[1], labels9.shape[1]] == sizes
    for vectors in (labels, labels3, labels9):
        torch.testing.assert_close(vectors.sum(1), torch.ones(batch))
        assert (vectors >= 0).all()


def test_at_probability_zero_nothing_changes():
    x, y = torch.randn(5, 8), one_hot(5)
    mixed, labels = mixup(x, y, probability=0.0, rng=rng())
    maps = torch.rand(5, 3, 4, 1)
    same, labels3 = statex(maps, y, probability=0.0, rng=rng())
    z, labels9 = featex(x, x, y, probability=0.0, rng=rng())
    assert torch.equal(mixed, x)
    assert torch.equal(same, maps)
    assert torch.equal(z, torch.cat([x, x], dim=1))
    assert all(torch.equal(one, y) for one in (labels, labels3, labels9))


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_the_middle_of_an_odd_batch_is_its_own_partner(batch):
    middle = batch // 2
    maps, y = torch.rand(batch, 6, 8, 1, generator=rng(3)), one_hot(batch)
    chances = {"probability": 1.0, "probability_time": 1.0}
    got, labels = statex(maps, y, **chances, rng=rng())
    torch.testing.assert_close(got[middle], maps[middle], atol=1e-5, rtol=1e-4)
    own = y[middle].tolist()
    assert labels[middle].tolist() == [0] * 4 + [v / 2 for v in own] * 2
    x = torch.randn(batch, 8)
    mixed, mixed_labels = mixup(x, y, probability=1.0, rng=rng())
    torch.testing.assert_close(mixed[middle], x[middle])
    assert torch.equal(mixed_labels[middle], y[middle])


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


def test_statex_over_time_takes_over_the_partners_mean_and_spread_in_every_bin():
    maps = torch.rand(5, 24, 6, 1, generator=rng(1)) * torch.arange(1, 6)[:, None, None, None]
    got, labels = statex(maps, one_hot(5), probability=0.0, probability_time=1.0, rng=rng())
    torch.testing.assert_close(got.mean(1), maps.flip(0).mean(1))
    torch.testing.assert_close(got.std(1), maps.flip(0).std(1))
    assert labels[0].tolist() == [0] * 4 + [0.5, 0, 0, 0] + [0.5, 0, 0, 0]  # partner 4 is class 0


def test_statex_over_both_axes_ends_with_the_partners_statistics_over_time():
    maps = torch.rand(4, 24, 16, 1, generator=rng(1)) * torch.arange(1, 5)[:, None, None, None]
    got, _ = statex(maps, one_hot(4), probability=1.0, probability_time=1.0, rng=rng())
    torch.testing.assert_close(got.mean(1), maps.flip(0).mean(1))
    torch.testing.assert_close(got.std(1), maps.flip(0).std(1))
    time_only, _ = statex(maps, one_hot(4), probability=0.0, probability_time=1.0, rng=rng())
    assert not torch.allclose(got, time_only, atol=0.1)


def test_a_label_says_exchanged_exactly_where_the_spectrogram_was():
    maps, y = torch.rand(200, 5, 6, 1, generator=rng(1)), one_hot(200)
    chances = {"probability": 0.3, "probability_time": 0.3}
    got, labels = statex(maps, y, **chances, rng=rng())
    changed = (got - maps).abs().amax((1, 2, 3)) > 1e-3
    assert torch.equal(changed, labels[:, :4].sum(1) == 0)
    assert changed.float().mean() == pytest.approx(1 - 0.7 * 0.7, abs=0.1)


@pytest.mark.parametrize("chances", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_statex_survives_digital_silence(chances):
    maps = torch.rand(2, 3, 8, 1)
    maps[0] = 0
    over_frequency, over_time = chances
    got, _ = statex(
        maps, one_hot(2), probability=over_frequency, probability_time=over_time, rng=rng()
    )
    assert torch.isfinite(got).all()


def test_featex_keeps_one_half_and_exchanges_the_other():
    e_fft = torch.arange(4.0)[:, None].requires_grad_()
    e_spec = (10 + torch.arange(4.0))[:, None].requires_grad_()
    z, labels = featex(e_fft, e_spec, one_hot(4), probability=1.0, rng=rng())
    assert z.tolist() == [[0, 13], [1, 12], [2, 11], [3, 10]]
    assert labels[1].tolist() == [0] * 4 + [0, 0.5, 0, 0] + [0, 0, 0.5, 0]
    z[0].sum().backward()
    assert e_spec.grad[:, 0].tolist() == [0, 0, 0, 1]  # no gradient is stopped


def maps_of(batch, bins=65):
    """Both features of windows, of one everywhere: what comes out is the response."""
    return {"spectrogram": torch.ones(batch, 3, bins, 1), "spectrum": torch.ones(batch, bins, 1)}


def test_a_colour_of_no_decibels_changes_nothing():
    given = maps_of(4)
    got = colour(given, spread_db=0.0, rng=rng())
    assert all(torch.equal(got[name], given[name]) for name in given)


def test_one_colour_is_on_both_features_and_every_frame_of_a_window():
    got = colour(maps_of(4), spread_db=2.0, rng=rng())
    for frame in range(3):
        torch.testing.assert_close(got["spectrogram"][:, frame], got["spectrum"])
    assert not torch.allclose(got["spectrum"][0], got["spectrum"][1], atol=0.05)
    # Where bins are finer, the response at the same frequency is the same.
    fine = colour({"x": torch.ones(4, 513, 1)}, spread_db=2.0, rng=rng())["x"]
    torch.testing.assert_close(fine[:, ::8], got["spectrum"], rtol=1e-4, atol=1e-4)


def test_colours_are_no_louder_in_the_mean_and_as_strong_as_asked():
    got = colour({"x": torch.ones(20_000, 65, 1)}, spread_db=2.0, rng=rng())["x"]
    response_db = 20 * torch.log10(got[..., 0])
    assert response_db.mean(0).abs().max() < 0.15
    # At 0 Hz all six cosines are one.
    assert response_db[:, 0].std() == pytest.approx(2.0 * 6**0.5, rel=0.03)
    half = colour({"x": torch.ones(20_000, 65, 1)}, spread_db=1.0, rng=rng())["x"]
    torch.testing.assert_close(
        20 * torch.log10(half[..., 0]), response_db / 2, atol=1e-3, rtol=1e-3
    )


def test_a_colour_is_smooth_and_drawn_from_its_source_alone():
    given = {"x": torch.ones(50, 4001, 1)}
    got = colour(given, spread_db=1.0, rng=rng(5))["x"]
    assert torch.equal(colour(given, spread_db=1.0, rng=rng(5))["x"], got)
    assert not torch.equal(colour(given, spread_db=1.0, rng=rng(6))["x"], got)
    steps_db = (20 * torch.log10(got[:, 1:] / got[:, :-1])).abs()
    assert steps_db.max() < 0.5
    assert (steps_db[:, :24] == 0).all()  # level below 1/160 of the highest frequency
    assert got[:, 100:].std(1).min() > 0.01


def test_rows_of_a_shared_batch_get_what_they_would_get_alone():
    x, y = torch.randn(6, 8), one_hot(6)
    whole, labels = mixup(x, y, probability=0.5, rng=rng())
    for rows in (torch.tensor([0, 1, 4, 5]), torch.tensor([2, 3])):  # with their partners
        draws = Draws(rng(), rows, 6, torch.device("cpu"))
        got, got_labels = mixup(x[rows], y[rows], probability=0.5, rng=draws)
        assert torch.equal(got, whole[rows])
        assert torch.equal(got_labels, labels[rows])
        maps = {"x": torch.rand(6, 9, 1, generator=rng(2))}
        want = colour(maps, spread_db=1.0, rng=rng())["x"]
        part = colour({"x": maps["x"][rows]}, spread_db=1.0, rng=draws_again(rows))["x"]
        assert torch.equal(part, want[rows])


def draws_again(rows):
    return Draws(rng(), rows, 6, torch.device("cpu"))
