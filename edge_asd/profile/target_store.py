"""Confirmed sound on the disk: the audio beside the reservoir, the rest in the profile.

The audio is written first, then the profile is replaced; what no profile names goes afterwards. A
crash in between leaves the old profile, or the new one with all it needs.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

import soundfile

from edge_asd.errors import DataError
from edge_asd.evidence.compose import encode
from edge_asd.files import replace_file
from edge_asd.normal.alert_sound import AlertSound
from edge_asd.profile.profile import Profile, profile_dir, save_profile

BUDGET_BYTES = 32 * 2**20
"""Audio of confirmed sound a monitor."""

logger = logging.getLogger(__name__)


def targets_dir(state_dir: Path, monitor: str) -> Path:
    """Where the audio of confirmed sound lies; a new enrolment begins without it."""
    return profile_dir(state_dir, monitor) / "reservoir" / "targets"


def audio_bytes(state_dir: Path, monitor: str) -> int:
    """How much is there."""
    try:
        return sum(path.stat().st_size for path in targets_dir(state_dir, monitor).iterdir())
    except OSError:
        return 0


def save_with_targets(
    state_dir: Path, profile: Profile, sounds: Mapping[str, AlertSound] | None = None
) -> None:
    """Write a profile whose recordings have changed.

    Args:
        state_dir: Where it belongs.
        profile: As it is to be.
        sounds: Sound of new recordings by the name of their file.

    Raises:
        StorageError: It cannot be written; the old profile is whole.
    """
    folder = targets_dir(state_dir, profile.monitor)
    for name, sound in (sounds or {}).items():
        replace_file(folder / name, encode(sound.samples, sound.rate))
    save_profile(state_dir, profile)
    named = {one.audio for one in profile.recordings}
    with contextlib.suppress(OSError):  # it is looked for again with the next change
        for path in folder.iterdir():
            if path.name not in named:
                path.unlink()


def read_sound(state_dir: Path, monitor: str, audio: str, rests_s: float) -> AlertSound:
    """The audio of a recording.

    Raises:
        DataError: It is missing or damaged.
    """
    path = targets_dir(state_dir, monitor) / audio
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (OSError, soundfile.LibsndfileError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return AlertSound(samples, int(rate), rests_s)
