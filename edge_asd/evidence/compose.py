"""An alert's clip to the files that are kept of it: sound, picture, details."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import soundfile

from edge_asd.bundle.manifest import Manifest
from edge_asd.errors import DataError
from edge_asd.evidence.compare import Comparison, Heard, compare, hear
from edge_asd.evidence.explain import explain, sentences
from edge_asd.evidence.normal import NormalSound, learn_normal
from edge_asd.evidence.picture import Caption, draw_picture
from edge_asd.evidence.records import EvidenceRecord
from edge_asd.evidence.tap import Clip
from edge_asd.evidence.view import FrontEnd, front_end_of
from edge_asd.files import memory_file
from edge_asd.profile import Profile, profile_dir
from edge_asd.records import FloatArray

logger = logging.getLogger(__name__)

CLIP, SPECTROGRAM, DETAILS = "clip.flac", "spectrogram.png", "details.json"
"""Names of the files."""

_MONITORS = 32  # whose normal sound is remembered, some 200 kB each


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is needed to make the evidence of one alert."""

    clip: Clip
    profile: Profile
    """As it was when the alert was raised."""
    manifest: Manifest
    """Of the bundle the profile was learned with."""


@dataclass(frozen=True, slots=True, eq=False)
class Composed:
    """What is to be kept."""

    record: EvidenceRecord
    files: dict[str, bytes]
    """By name; the sound is always among them."""


class Composer:
    """Makes the files; used by one thread.

    Args:
        device: Name of this device.
        state_dir: Where profiles and their reservoirs lie.
        wall: Turns steady into wall time.
        now: Wall time, seconds since 1970 UTC.
    """

    def __init__(
        self,
        device: str,
        state_dir: Path,
        wall: Callable[[float], float],
        now: Callable[[], float],
    ) -> None:
        self._device, self._state_dir = device, state_dir
        self._wall, self._now = wall, now
        self._normals: OrderedDict[tuple[str, str, str], NormalSound] = OrderedDict()

    def compose(self, request: Request) -> Composed:
        """Make the files of an alert.

        The sound comes first: whatever prevents a picture does not prevent that.

        Raises:
            DataError: There is no sound, or it cannot be encoded.
        """
        clip, profile = request.clip, request.profile
        event = clip.event
        files = {CLIP: encode(clip.samples, clip.rate)}
        try:
            files |= self._explained(request)
        except Exception:  # the sound is worth more than what is said about it
            logger.exception("monitor=%s event=%s not explained", profile.monitor, event.id)
        record = EvidenceRecord(
            event_id=event.id,
            monitor=profile.monitor,
            device=self._device,
            started_at=self._wall(event.started_at),
            created_at=self._now(),
            severity=event.severity,
            score=event.score,
            provisional=profile.calibration.provisional,
        )
        return Composed(record, files)

    def _explained(self, request: Request) -> dict[str, bytes]:
        clip, profile, manifest = request.clip, request.profile, request.manifest
        front_end = front_end_of(manifest)
        heard = hear(clip, front_end, manifest, profile.gain_db)
        comparison, missing = self._compared(heard, front_end, request)
        found = (heard, comparison) if heard is not None and comparison is not None else missing
        details = explain(
            clip,
            found,
            front_end,
            manifest,
            profile,
            device=self._device,
            wall=self._wall,
        )
        files = {DETAILS: details.to_file()}
        if heard is not None:
            caption = self._caption(clip, profile, comparison, missing)
            files[SPECTROGRAM] = draw_picture(heard, clip.marks, comparison, front_end, caption)
        return files

    def _compared(
        self, heard: Heard | None, front_end: FrontEnd, request: Request
    ) -> tuple[Comparison | None, str]:
        if heard is None:
            return None, "the clip is too short to be seen"
        try:
            normal = self._normal(front_end, request)
        except DataError as error:  # an old profile, a damaged disk: there is still the sound
            return None, f"nothing to compare with: {error}"
        return compare(heard, normal, front_end), ""

    def _normal(self, front_end: FrontEnd, request: Request) -> NormalSound:
        profile = request.profile
        key = (profile.monitor, profile.bundle_sha256, profile.created_at)
        if key not in self._normals:
            folder = profile_dir(self._state_dir, profile.monitor) / "reservoir"
            learned = learn_normal(folder, front_end, request.manifest, profile)
            self._normals[key] = learned
            while len(self._normals) > _MONITORS:
                self._normals.popitem(last=False)
        self._normals.move_to_end(key)
        return self._normals[key]

    def _caption(
        self, clip: Clip, profile: Profile, comparison: Comparison | None, missing: str
    ) -> Caption:
        event = clip.event
        since = datetime.fromtimestamp(self._wall(event.started_at), tz=timezone.utc)
        above = "all" if event.percentile >= 100.0 else f"{event.percentile:.1f} %"
        facts = [
            f"{event.severity.value} since {since:%Y-%m-%d %H:%M:%S} UTC",
            f"score {event.score:.2f}, threshold {event.threshold:.2f}",
            f"above {above} of its normal sound",
        ]
        lines = [" · ".join(facts)]
        if comparison is not None:
            lines.append(" · ".join(sentences(comparison)[:3]))
        lost_s = sum(end - begin for begin, end in clip.gaps) / clip.rate
        notes = [missing] if missing else []
        notes += [f"grey: {lost_s:.2g} s without audio"] if lost_s else []
        return Caption(f"{profile.monitor} sounds different", tuple(lines), " · ".join(notes))


def encode(samples: FloatArray, rate: int) -> bytes:
    """Mono FLAC, 24 bit: the very samples of any source that has no more bits.

    What is no number becomes silence, what exceeds full scale is clipped.

    Raises:
        DataError: There is nothing, or the rate cannot be written.
    """
    if not len(samples):
        raise DataError("no audio is left of the alert")
    # Scaled here: libsndfile would map 1.0 to 2**23 - 1 and change every sample a little.
    numbers = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
    whole = np.minimum(np.round(numbers * 2.0**23), 2**23 - 1).astype(np.int32) << 8
    with memory_file() as file:
        kind = {"format": "FLAC", "subtype": "PCM_24", "closefd": False}
        try:
            soundfile.write(file.fileno(), whole, rate, **kind)
        except (soundfile.LibsndfileError, ValueError) as error:
            raise DataError(f"the clip cannot be written at {rate} Hz: {error}") from error
        file.seek(0)
        return file.read()
