"""What one monitor learned on the device, and how it is kept.

A folder a monitor: ``profile.json`` and the arrays it names. The arrays are written first, under a
name made of their hash; then ``profile.json`` is replaced in one step. A crash in between leaves
the old profile whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_asd.bundle import Bundle, npz_bytes, read_npz
from edge_asd.bundle.manifest import Manifest
from edge_asd.errors import BundleError, ProfileError, ScorerError
from edge_asd.files import replace_file
from edge_asd.hearing.signal_rule import SignalRule
from edge_asd.operating import IdleRule
from edge_asd.profile.profile_file import (
    PLAIN_SCHEMA,
    SCHEMA,
    IdleSection,
    ProfileFile,
    SignalSection,
    read_profile_file,
)
from edge_asd.profile.targets import Change, Recording, Targets
from edge_asd.profile.targets_file import (
    calibration_fields,
    recordings_of,
    targets_arrays,
    targets_fields,
)
from edge_asd.records import FloatArray
from edge_asd.score import Calibration, Detector
from edge_asd.score.calibrate import (
    BLOCK_S,
    Persistence,
    block_maxima,
    calibrate,
    merge_blocks,
    percentile,
)
from edge_asd.score.detector import Standard

MAX_CHANGES = 100
"""Entries of the history of targets; the oldest go first."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Cross-fitted scores of the enrolled windows."""

    scores: FloatArray
    """(W,) in order of time."""
    stretches: FloatArray
    """(W,) number of the contiguous stretch every score belongs to."""

    def runs(self) -> list[FloatArray]:
        """Scores of every stretch."""
        return [self.scores[self.stretches == which] for which in np.unique(self.stretches)]

    def blocks(self, persistence: Persistence, manifest: Manifest) -> Blocks:
        """Blocks for the calibration of a decision with this persistence."""
        hop_s = manifest.hop_samples / manifest.sample_rate
        hops = max(1, int(BLOCK_S / hop_s))
        shared = -(-manifest.window_samples // manifest.hop_samples)
        return Blocks(block_maxima(self.runs(), persistence, hops, shared), hops * hop_s)


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Largest decision statistics of blocks of normal listening."""

    maxima: FloatArray
    """(N,) oldest first."""
    block_s: float
    """Listening behind each."""

    def joined(self, maxima: FloatArray) -> Blocks:
        """With later blocks of the same length; merged where there are too many."""
        return Blocks(*merge_blocks(np.concatenate([self.maxima, maxima]), self.block_s))


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Everything scoring and deciding need beside the bundle."""

    monitor: str
    bundle_sha256: str
    bundle_label: str
    created_at: str
    source: str
    """What enrolment listened to, for people."""
    enrolled_s: float
    gain_db: float
    detector: Detector
    idle_rule: IdleRule
    persistence: Persistence
    held_out: HeldOut
    blocks: Blocks
    calibration: Calibration
    signal: SignalRule
    microphone: str = ""
    """Identity of the microphone it was enrolled with, where the source has one."""
    few: Mapping[str, Standard] = field(default_factory=dict)
    """What standardises distances to a few windows, by scorer; empty where it was not learned."""
    targets: Targets | None = None
    """Sound confirmed as normal later; it is part of ``detector`` and ``calibration``."""
    changes: tuple[Change, ...] = ()
    """What was confirmed, undone and expired, oldest first."""

    @property
    def key(self) -> str:
        """Scores of profiles with the same key can be compared: recalibration keeps it."""
        enrolled = f"{self.bundle_sha256[:12]}/{self.created_at}"
        return f"{enrolled}+{self.targets.key}" if self.targets else enrolled

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """Sound that was confirmed as normal, in the order of confirmation."""
        return self.targets.recordings if self.targets else ()

    def percentile(self, score: float) -> float:
        """Share of held-out normal scores below ``score``, 0 to 100."""
        return percentile(self.held_out.scores, score)

    def recalibrated(self, maxima: FloatArray, asked_per_week: float | None = None) -> Profile:
        """With the largest statistics of later normal blocks taken in, or for another rate."""
        asked = self.calibration.asked_per_week if asked_per_week is None else asked_per_week
        blocks = self.blocks.joined(maxima) if len(maxima) else self.blocks
        # More references only lower scores: those of enrolment are cautious with targets, too.
        plain = calibrate(blocks.maxima, blocks.block_s, self.held_out.scores, asked)
        if self.targets is None:
            return replace(self, blocks=blocks, calibration=plain)
        calibration = self.targets.calibrated(plain, self.persistence)
        targets = replace(self.targets, plain=plain)
        return replace(self, blocks=blocks, calibration=calibration, targets=targets)

    def retuned(
        self, persistence: Persistence, asked_per_week: float, manifest: Manifest
    ) -> Profile:
        """For another persistence or rate than it was enrolled for.

        Another persistence is another statistic: the blocks are made anew from the enrolled audio,
        and what live listening had added must be heard again.
        """
        same = persistence == self.persistence
        blocks = self.blocks if same else self.held_out.blocks(persistence, manifest)
        tuned = replace(self, persistence=persistence, blocks=blocks)
        return tuned.recalibrated(np.empty(0, np.float32), asked_per_week)

    def with_recordings(self, recordings: Sequence[Recording], *changes: Change) -> Profile:
        """With exactly these recordings as targets.

        Without any it is, to the last bit, what it would be had there never been one.

        Args:
            recordings: All of them, in the order of confirmation.
            changes: What happened, for the history.
        """
        enrolled = self.targets.enrolled if self.targets else self.detector
        plain = self.targets.plain if self.targets else self.calibration
        targets = Targets.of(enrolled, self.few, plain, recordings) if recordings else None
        return replace(
            self,
            detector=targets.detector if targets else enrolled,
            calibration=targets.calibrated(plain, self.persistence) if targets else plain,
            targets=targets,
            changes=(*self.changes, *changes)[-MAX_CHANGES:],
        )


def profile_dir(state_dir: Path, monitor: str) -> Path:
    """Folder of one monitor's profile and reservoir."""
    return state_dir / "profiles" / monitor


def has_profile(state_dir: Path, monitor: str) -> bool:
    """Whether a monitor has been enrolled."""
    return (profile_dir(state_dir, monitor) / "profile.json").exists()


def save_profile(state_dir: Path, profile: Profile) -> Path:
    """Write a profile, replacing an older one only once the new one is on disk.

    Raises:
        StorageError: It cannot be written; the old profile is whole.
    """
    return write_profile(profile_dir(state_dir, profile.monitor), profile)


def write_profile(folder: Path, profile: Profile) -> Path:
    """Write a profile into a folder, as ``save_profile`` does.

    Raises:
        StorageError: As there.
    """
    data = npz_bytes(_arrays(profile))
    digest = hashlib.sha256(data).hexdigest()
    name = f"references-{digest[:16]}.npz"
    replace_file(folder / name, data)
    fields = {
        "schema": SCHEMA if profile.targets or profile.changes else PLAIN_SCHEMA,
        "monitor": profile.monitor,
        "bundle": profile.bundle_label,
        "bundle_sha256": profile.bundle_sha256,
        "created_at": profile.created_at,
        "source": profile.source,
        "enrolled_s": profile.enrolled_s,
        "gain_db": profile.gain_db,
        "standards": {
            key: {"shift": value.shift, "scale": value.scale}
            for key, value in profile.detector.standards.items()
        },
        "persistence": {"k": profile.persistence.k, "n": profile.persistence.n},
        "calibration": calibration_fields(profile.calibration),
        "block_s": profile.blocks.block_s,
        "idle": {key: getattr(profile.idle_rule, key) for key in IdleSection.model_fields},
        "signal": {key: getattr(profile.signal, key) for key in SignalSection.model_fields},
        "microphone": profile.microphone,
        **targets_fields(profile.targets, profile.changes),
        "references": name,
        "references_sha256": digest,
    }
    path = folder / "profile.json"
    replace_file(path, (json.dumps(fields, indent=1) + "\n").encode())
    for stale in folder.glob("references-*.npz"):
        if stale.name != name:
            stale.unlink(missing_ok=True)
    return path


def load_profile(state_dir: Path, monitor: str, bundle: Bundle) -> Profile:
    """Read a monitor's profile and check that it was learned with this bundle.

    Raises:
        ProfileError: It is missing, damaged, of a newer schema or of another bundle.
    """
    path = profile_dir(state_dir, monitor) / "profile.json"
    file = read_profile_file(path, monitor)
    if file.bundle_sha256 != bundle.sha256:
        raise ProfileError(
            f"{path}: learned with bundle {file.bundle} ({file.bundle_sha256[:12]}), but "
            f"{bundle.label} ({bundle.sha256[:12]}) is in use; enrol {monitor} again, or run with "
            "the bundle it was learned with"
        )
    references = path.with_name(file.references)
    try:
        data = references.read_bytes()
        if hashlib.sha256(data).hexdigest() != file.references_sha256:
            raise ProfileError(f"{references}: altered or truncated; enrol {monitor} again")
        arrays = read_npz(data, references.name)
    except (OSError, BundleError) as error:
        raise ProfileError(f"{references}: {error}; enrol {monitor} again") from error
    try:
        return _restore(file, bundle, arrays)
    except KeyError as error:
        raise ProfileError(
            f"{references}: array {error} is missing; enrol {monitor} again"
        ) from error
    except (ScorerError, IndexError) as error:
        raise ProfileError(f"{references}: {error}") from error


def _arrays(profile: Profile) -> dict[str, Any]:
    detector = profile.targets.enrolled if profile.targets else profile.detector
    arrays = {f"scorer/{name}": array for name, array in detector.state().items()}
    arrays["held_out/scores"] = profile.held_out.scores
    arrays["held_out/stretches"] = profile.held_out.stretches
    arrays["blocks"] = profile.blocks.maxima
    arrays["idle/running_shape_db"] = profile.idle_rule.running_shape_db
    if profile.idle_rule.quiet_shape_db is not None:
        arrays["idle/quiet_shape_db"] = profile.idle_rule.quiet_shape_db
    for name, standard in profile.few.items():
        arrays[f"few/{name}"] = np.asarray([standard.shift, standard.scale])
    return arrays | dict(targets_arrays(profile.recordings))


def _restore(file: ProfileFile, bundle: Bundle, arrays: dict[str, Any]) -> Profile:
    state = {
        name.removeprefix("scorer/"): array
        for name, array in arrays.items()
        if name.startswith("scorer/")
    }
    standards = {name: Standard(s.shift, s.scale) for name, s in file.standards.items()}
    idle_rule = IdleRule(
        running_shape_db=arrays["idle/running_shape_db"],
        quiet_shape_db=arrays.get("idle/quiet_shape_db"),
        **file.idle.model_dump(),
    )
    signal = file.signal
    plain = file.targets.plain if file.targets else file.calibration
    profile = Profile(
        monitor=file.monitor,
        bundle_sha256=file.bundle_sha256,
        bundle_label=file.bundle,
        created_at=file.created_at,
        source=file.source,
        enrolled_s=file.enrolled_s,
        gain_db=file.gain_db,
        detector=Detector.from_state(bundle.manifest, state, standards),
        idle_rule=idle_rule,
        persistence=Persistence(file.persistence.k, file.persistence.n),
        held_out=HeldOut(arrays["held_out/scores"], arrays["held_out/stretches"]),
        blocks=Blocks(arrays["blocks"], file.block_s),
        calibration=Calibration(**plain.model_dump()),
        signal=(
            SignalRule(**signal.model_dump()) if signal else SignalRule.from_idle_rule(idle_rule)
        ),
        microphone=file.microphone,
        few={
            name.removeprefix("few/"): Standard(float(values[0]), float(values[1]))
            for name, values in arrays.items()
            if name.startswith("few/")
        },
        changes=tuple(Change(**change.model_dump()) for change in file.changes),
    )
    recordings = recordings_of(file, arrays)
    return profile.with_recordings(recordings) if recordings else profile
