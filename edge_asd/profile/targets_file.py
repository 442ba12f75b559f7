"""Sound confirmed as normal as a profile keeps it: sections of its text, and arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from edge_asd.profile.profile_file import CalibrationSection, ProfileFile, RecordingSection
from edge_asd.profile.targets import Change, Recording, Targets
from edge_asd.records import FloatArray
from edge_asd.score import Calibration, Views


def calibration_fields(calibration: Calibration) -> dict[str, Any]:
    """What a profile says of thresholds."""
    return {key: getattr(calibration, key) for key in CalibrationSection.model_fields}


def targets_fields(targets: Targets | None, changes: Sequence[Change]) -> dict[str, Any]:
    """Nothing where nothing was ever confirmed: an older version reads that, too."""
    fields: dict[str, Any] = {}
    if targets is not None:
        told = [key for key in RecordingSection.model_fields if key != "chosen"]
        fields["targets"] = {
            "plain": calibration_fields(targets.plain),
            "recordings": [
                {key: getattr(one, key) for key in told} | {"chosen": one.chosen.tolist()}
                for one in targets.recordings
            ],
        }
    if changes:
        fields["changes"] = [asdict(change) for change in changes]
    return fields


def targets_arrays(recordings: Sequence[Recording]) -> Iterator[tuple[str, FloatArray]]:
    """The windows of recordings by the names they are kept under."""
    for number, one in enumerate(recordings):
        prefix = f"targets/{number}"
        yield f"{prefix}/levels_dbfs", one.views.levels_dbfs
        for name, z in one.views.embeddings.items():
            yield f"{prefix}/embeddings/{name}", z
        for name, x in one.views.features.items():
            yield f"{prefix}/features/{name}", x


def recordings_of(file: ProfileFile, arrays: Mapping[str, Any]) -> list[Recording]:
    """Recordings from text and arrays.

    Raises:
        KeyError: An array is missing.
        IndexError: A window is said to be a target that is not there.
    """
    if file.targets is None:
        return []
    return [
        Recording(
            **one.model_dump(exclude={"chosen"}),
            views=_views(arrays, f"targets/{number}"),
            chosen=np.asarray(one.chosen, np.intp),
        )
        for number, one in enumerate(file.targets.recordings)
    ]


def _views(arrays: Mapping[str, Any], prefix: str) -> Views:
    def part(kind: str) -> dict[str, FloatArray]:
        begin = f"{prefix}/{kind}/"
        return {k.removeprefix(begin): array for k, array in arrays.items() if k.startswith(begin)}

    return Views(part("embeddings"), part("features"), arrays[f"{prefix}/levels_dbfs"])
