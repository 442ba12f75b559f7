"""Batches are a pure function of seed and step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tones import tones

from edge_asd_train.datasets import ClipStore
from edge_asd_train.datasets.batches import Batches


def test_a_batch_depends_on_seed_and_step_alone(store, recipe):
    first, second = Batches(store, recipe), Batches(store, recipe)
    for step in (0, 1, 5):
        first.at(step)
    x, y = second.at(5)
    torch.testing.assert_close(first.at(5), (x, y))
    assert not torch.equal(first.at(6)[0], x)
    assert not torch.equal(Batches(store, recipe.changed(seed=1)).at(5)[0], x)


def test_every_clip_comes_once_an_epoch(store, recipe):
    batches = Batches(store, recipe)  # 12 clips, batches of 6
    for epoch in range(3):
        chosen = np.concatenate([batches._chosen(2 * epoch + k) for k in (0, 1)])
        assert sorted(chosen) == list(range(12))


def test_batches_have_the_window_and_one_label_a_sample(store, recipe):
    x, y = Batches(store, recipe).at(0)
    assert (x.shape, x.dtype) == ((6, 8000), torch.float32)
    assert y.sum(1).tolist() == [1.0] * 6
    assert y.shape == (6, 3)


def rms_db(x):
    return 10 * torch.log10(x.square().mean(1))


def test_machines_come_to_the_reference_level_within_the_jitter(store, recipe):
    levels = torch.cat([rms_db(Batches(store, recipe).at(step)[0]) for step in range(20)])
    assert (levels + 26).abs().max() < 3.3
    assert levels.std() > 1.0


def test_without_normalisation_the_level_stays(store, recipe):
    plain = recipe.changed(gain={"per_machine": False, "jitter_db": 0})
    assert rms_db(Batches(store, plain).at(0)[0]).tolist() == pytest.approx([-23.0] * 6, abs=0.2)


def test_background_is_added_at_the_drawn_ratio(store, recipe, tmp_path):
    changes = {
        "gain": {"per_machine": False, "jitter_db": 0},
        "background": {"probability": 1.0, "snr_db": (6.0, 6.0)},
    }
    noise = ClipStore.create(tmp_path / "noise", [tones(classes=1)])
    noisy = recipe.changed(**changes)
    x, y = Batches(store, noisy, noise).at(0)
    other = (y.argmax(1) != 0).nonzero()[:, 0]  # clips whose tone is not the background's
    assert len(other)
    gain_db = rms_db(x)[other] + 23.0
    assert gain_db.tolist() == pytest.approx([10 * np.log10(1 + 10**-0.6)] * len(other), abs=0.3)


def test_silent_background_changes_nothing():
    from edge_asd_train.datasets.batches import _background_factor

    assert _background_factor(np.ones(4, np.float32), np.zeros(4, np.float32), 3.0) == 0
