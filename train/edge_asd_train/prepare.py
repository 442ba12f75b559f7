"""From command-line choices to the clips of a run, decoded once into its folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.errors import UsageError
from edge_asd_train.budget import check_disk
from edge_asd_train.datasets import (
    ClipStore,
    Pending,
    class_folders,
    simulated_machines,
)
from edge_asd_train.datasets.discover import index_folder
from edge_asd_train.datasets.findings import Invalid
from edge_asd_train.datasets.validate import training_clips
from edge_asd_train.recipe import Recipe

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a run is to be trained on; at least one of them."""

    data: Path | None = None
    """Folder of machines."""
    simulated: int = 0
    """Number of simulated machines."""
    noise: Path | None = None
    """Folder of class folders: classes of their own, and background of all others."""
    layout: str = "auto"
    """How the names in ``data`` are read."""
    invalid: Invalid = "refuse"
    """What to do about bad clips in ``data``."""
    left_out: tuple[str, ...] = ()
    """Machine kinds of which none is simulated, to measure on them later."""

    def describe(self, clips: ClipStore) -> dict[str, Any]:
        """The sources in words, for the manifest; folder names without their place."""
        return {
            "data": self.data.resolve().name if self.data else None,
            "simulated_machines": self.simulated,
            "left_out_kinds": list(self.left_out),
            "noise": self.noise.resolve().name if self.noise else None,
            "clips": len(clips),
            "classes": len(clips.classes),
        }


def prepare(
    folder: Path,
    recipe: Recipe,
    sources: Sources,
    *,
    progress: Callable[[str, int], Callable[[], None]],
    reuse: bool = False,
) -> tuple[ClipStore, ClipStore | None]:
    """Decode or render every clip.

    Args:
        folder: Folder of the run; clips go to ``clips/`` and ``noise/`` in it, what was found in
            them to ``data/``.
        recipe: Sample rate and seed.
        sources: What to learn from.
        progress: Called with a description and a number of clips before they are decoded; what it
            returns is called after each.
        reuse: Open the clips that an earlier part of the run decoded.

    Returns:
        Clips and, where a folder of noise was given, the noise.

    Raises:
        UsageError: No source was named.
        DataError: A clip cannot be used, or all are of one class.
        StorageError: The clips cannot be written, or will not fit.
    """
    if not (sources.data or sources.simulated or sources.noise):
        raise UsageError("nothing to train on: give --data, --simulated or --noise")
    if reuse:
        clips = ClipStore.open(folder / "clips")
        return clips, ClipStore.open(folder / "noise") if sources.noise else None
    pending: list[Pending] = []
    noise: ClipStore | None = None
    # Folders first: what is wrong with them shows before minutes are spent on rendering.
    if sources.data:
        pending.append(
            training_clips(
                index_folder(sources.data, sources.layout),
                recipe.sample_rate,
                folder / "data",
                invalid=sources.invalid,
                alone=not (sources.noise or sources.simulated),
            )
        )
    if sources.noise:
        everyday = class_folders(sources.noise, recipe.sample_rate)
        advance = progress("decoding noise", everyday.count)
        noise = ClipStore.create(folder / "noise", [everyday], advance=advance)
        pending.append(everyday)
    if sources.simulated:
        pending.append(
            simulated_machines(
                sources.simulated,
                seed=recipe.seed,
                duration_s=recipe.window_s,
                sample_rate=recipe.sample_rate,
                left_out=sources.left_out,
                processes=os.cpu_count() or 1,
            )
        )
    check_disk(folder, 2 * sum(one.samples for one in pending))
    advance = progress("preparing clips", sum(one.count for one in pending))
    clips = ClipStore.create(folder / "clips", pending, advance=advance)
    clips.check_trainable()
    _logger.info("clips=%d classes=%d folder=%s", len(clips), len(clips.classes), folder)
    return clips, noise
