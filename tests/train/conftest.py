"""Tiny recipes and clips: a window of half a second, a handful of steps."""

from __future__ import annotations

import pytest
from tones import tones

from edge_asd_train.datasets import ClipStore
from edge_asd_train.recipe import Recipe


@pytest.fixture
def store(tmp_path):
    """Three classes of tones."""
    return ClipStore.create(tmp_path / "clips", [tones()])


@pytest.fixture
def recipe():
    """A recipe that trains in well under a second."""
    return Recipe.model_validate(
        {
            "name": "tiny",
            "window_s": 0.5,
            "hop_s": 0.032,
            "steps": 6,
            "batch": 6,
            "batch_norm_batches": 3,
            "checkpoint_steps": 100,
            "gain": {"per_machine": True, "jitter_db": 3},
            "loss": {"subclusters": 2},
        }
    )
