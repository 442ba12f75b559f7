"""From command-line choices to the clips of a run, decoded once into its folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asd.errors import UsageError
from edge_asd_train.datasets import (
    ClipStore,
    Pending,
    class_folders,
    machine_folders,
    simulated_machines,
)
from edge_asd_train.recipe import Recipe

_logger = logging.getLogger(__name__)

_CLIP_WINDOWS = 1.4
"""Length of a simulated clip in windows: enough room for windows to begin at different places."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a run is to be trained on; at least one of them."""

    data: Path | None = None
    """Folder of machines with normal clips."""
    simulated: int = 0
    """Number of simulated machines."""
    noise: Path | None = None
    """Folder of class folders: classes of their own, and background of all others."""

    def describe(self, clips: ClipStore) -> dict[str, Any]:
        """The sources in words, for the manifest; folder names without their place."""
        return {
            "data": self.data.resolve().name if self.data else None,
            "simulated_machines": self.simulated,
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
        folder: Folder of the run; clips go to ``clips/`` and ``noise/`` in it.
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
        pending.append(machine_folders(sources.data, recipe.sample_rate))
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
                duration_s=_CLIP_WINDOWS * recipe.window_s,
                sample_rate=recipe.sample_rate,
                processes=os.cpu_count() or 1,
            )
        )
    advance = progress("preparing clips", sum(one.count for one in pending))
    clips = ClipStore.create(folder / "clips", pending, advance=advance)
    clips.check_trainable()
    _logger.info("clips=%d classes=%d folder=%s", len(clips), len(clips.classes), folder)
    return clips, noise
