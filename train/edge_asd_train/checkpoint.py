"""Checkpoints: everything a run needs to go on or to be exported, written atomically."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edge_asd.errors import DataError, StorageError
from edge_asd_train.recipe import Recipe

FORMAT = 1
"""Version of the layout; raised when an old one can no longer be read."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """State of a run between two steps."""

    recipe: Recipe
    classes: tuple[str, ...]
    step: int
    """Steps done."""
    seconds: float
    """Time spent on them, over all parts of the run."""
    finished: bool
    """Whether training has ended and the normalisation statistics are final."""
    learner: dict[str, Any]
    optimiser: dict[str, Any]
    losses: dict[str, float]
    """Mean loss terms over the last steps."""
    sources: dict[str, Any]
    """What was trained on, in words."""
    averaged: dict[str, Any] = field(default_factory=dict)
    """Moving average of the network's parameters, where the recipe asks for one."""
    recent: list[dict[str, float]] = field(default_factory=list)
    """Loss terms of the last steps, of which ``losses`` is the mean."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the file is replaced only by a complete one.

    Raises:
        StorageError: It cannot be written.
    """
    fields = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
    fields["recipe"] = checkpoint.recipe.model_dump(mode="json")
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, **fields}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot write the checkpoint: {error}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, tensors and plain values only.

    Raises:
        DataError: It is missing, damaged or of another format.
    """
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no checkpoint; nothing was trained here yet") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: the checkpoint is damaged; train again") from error
    if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT:
        raise DataError(f"{path}: written by another version of edge-asd-train; train again")
    try:
        return Checkpoint(**{**raw, "recipe": Recipe.model_validate(raw["recipe"])})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: the checkpoint is incomplete; train again") from error
