"""Tiny recipes and clips: a window of half a second, a handful of steps."""

from __future__ import annotations

import pytest
import soundfile
from tones import faulty_tones, tone, tones

from edge_asd_train.datasets import ClipStore
from edge_asd_train.recipe import Recipe


@pytest.fixture
def store(tmp_path):
    """Three classes of tones."""
    return ClipStore.create(tmp_path / "clips", [tones()])


@pytest.fixture
def faulty_store(tmp_path):
    """Three machines with four normal and three faulty clips each."""
    return ClipStore.create(tmp_path / "faulty-clips", [faulty_tones()])


@pytest.fixture
def data(tmp_path):
    """Two machines with three normal recordings each, as files."""
    for machine, pitch in (("pump", 500), ("fan", 900)):
        folder = tmp_path / "data" / machine / "normal"
        folder.mkdir(parents=True)
        for clip in range(3):
            soundfile.write(folder / f"{clip}.wav", tone(pitch, clip), 16_000)
    return tmp_path / "data"


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


@pytest.fixture
def episodes(recipe):
    """A recipe that learns to tell faults with a network of bands."""
    return recipe.changed(
        network={"kind": "bands", "bands": 16, "channels": 4, "kernel": 3},
        episodes={"machines": 2, "normal": 3, "faulty": 2, "softness": 0.1},
        batch=10,
        augment={"mixup": 0, "statex": 0, "featex": 0, "colour_db": 1},
    )
