"""What cannot fit is refused before anything is written or computed."""

from __future__ import annotations

import pytest
import torch

from edge_asd.errors import ConfigError, StorageError
from edge_asd_train.budget import (
    batch_bytes,
    check_disk,
    check_memory,
    free_memory_bytes,
    weights_bytes,
)
from edge_asd_train.learner import Learner

CPU = torch.device("cpu")


def test_too_many_classes_or_windows_are_refused_with_the_remedy(recipe):
    check_memory(recipe, 3, recipe.batch, CPU)
    with pytest.raises(ConfigError, match=r"10000000 classes .* train on fewer classes"):
        check_memory(recipe, 10_000_000, recipe.batch, CPU)
    with pytest.raises(ConfigError, match=r"10000000 windows .* lower batch or window_s"):
        check_memory(recipe, 3, 10_000_000, CPU)


def test_weights_count_with_gradient_and_moments_and_the_average_once(recipe):
    learner = Learner(recipe, 3)
    trained = sum(p.nbytes for p in learner.parameters())
    fixed = sum(b.nbytes for b in learner.buffers())
    assert weights_bytes(recipe, 3) == 4 * trained + fixed
    averaged = sum(p.nbytes for p in learner.network.parameters())
    assert weights_bytes(recipe.changed(ema=0.9), 3) == 4 * trained + fixed + averaged


def test_a_batch_takes_memory_by_its_windows_and_less_in_bfloat16(recipe):
    some, more, most = (batch_bytes(recipe, 3, rows) for rows in (6, 12, 18))
    assert some > 6 * 4 * recipe.window_samples
    assert more - some == pytest.approx(most - more, abs=1)
    assert batch_bytes(recipe.changed(precision="bfloat16"), 3, 18) < 0.9 * most


def test_the_trial_leaves_random_numbers_alone(recipe):
    torch.manual_seed(1)
    want = torch.rand(1)
    torch.manual_seed(1)
    batch_bytes(recipe, 3, 6)
    assert torch.equal(torch.rand(1), want)


def test_clips_that_do_not_fit_on_the_disk_are_refused_before_they_are_written(tmp_path):
    folder = tmp_path / "not" / "yet"
    check_disk(folder, 1000)
    with pytest.raises(StorageError, match=r"yet: the decoded clips take .* are free"):
        check_disk(folder, 10**18)
    assert not folder.parent.exists()


def test_free_memory_is_less_than_all_there_is():
    free = free_memory_bytes(CPU)
    assert free is None or 2**20 < free < 2**50
