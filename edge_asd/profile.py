"""What one monitor learned on the device, and how it is kept.

A folder a monitor: ``profile.json`` and the arrays it names. The arrays are written first, under a
name made of their hash; then ``profile.json`` is replaced in one step. A crash in between leaves
the old profile whole.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_asd.bundle import Bundle, npz_bytes, read_npz
from edge_asd.errors import BundleError, ProfileError, ScorerError
from edge_asd.files import replace_file
from edge_asd.manifest import Manifest
from edge_asd.operating import IdleRule
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
from edge_asd.signal_rule import SignalRule

PROFILE_SCHEMA = 1


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

    @property
    def key(self) -> str:
        """Scores of profiles with the same key can be compared: recalibration keeps it."""
        return f"{self.bundle_sha256[:12]}/{self.created_at}"

    def percentile(self, score: float) -> float:
        """Share of held-out normal scores below ``score``, 0 to 100."""
        return percentile(self.held_out.scores, score)

    def recalibrated(self, maxima: FloatArray) -> Profile:
        """With the largest statistics of later normal blocks taken in."""
        return self._calibrated(self.blocks.joined(maxima), self.calibration.asked_per_week)

    def retuned(
        self, persistence: Persistence, asked_per_week: float, manifest: Manifest
    ) -> Profile:
        """For another persistence or rate than it was enrolled for.

        Another persistence is another statistic: the blocks are made anew from the enrolled audio,
        and what live listening had added must be heard again.
        """
        same = persistence == self.persistence
        blocks = self.blocks if same else self.held_out.blocks(persistence, manifest)
        return replace(self._calibrated(blocks, asked_per_week), persistence=persistence)

    def _calibrated(self, blocks: Blocks, asked_per_week: float) -> Profile:
        calibration = calibrate(blocks.maxima, blocks.block_s, self.held_out.scores, asked_per_week)
        return replace(self, blocks=blocks, calibration=calibration)


class _Section(BaseModel):
    # A threshold that is not a number would never be reached: nobody would notice.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Standard(_Section):
    shift: float
    scale: float = Field(gt=0)


class _Persistence(_Section):
    k: int = Field(ge=1)
    n: int = Field(ge=1)


class _Calibration(_Section):
    method: Literal["block_maxima", "largest_plus_margin"]
    asked_per_week: float
    supported_per_week: float
    provisional: bool
    usual: float
    clear_below: float
    threshold: float
    alarm_threshold: float


class _Idle(_Section):
    quiet_below_dbfs: float
    silent_below_dbfs: float
    running_spread_db: float
    longest_pause_slots: int = Field(ge=0)


class _Signal(_Section):
    mean_dbfs: float
    floor_dbfs: float
    octaves_dbfs: tuple[float, ...]
    loudest_dbfs: float | None
    clipped_ratio: float = Field(ge=0, le=1)
    dc_low: float
    dc_high: float
    hold_s: float = Field(gt=0)


class _File(_Section):
    schema_version: int = Field(alias="schema", ge=1)
    monitor: str
    bundle: str
    bundle_sha256: str
    created_at: str
    source: str
    enrolled_s: float
    gain_db: float
    standards: dict[str, _Standard]
    persistence: _Persistence
    calibration: _Calibration
    block_s: float = Field(gt=0)
    idle: _Idle
    signal: _Signal | None = None
    """Absent from profiles of versions that did not learn it."""
    microphone: str = ""
    references: str = Field(pattern=r"^references-[0-9a-f]{16}\.npz$")
    references_sha256: str


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
    folder = profile_dir(state_dir, profile.monitor)
    data = npz_bytes(_arrays(profile))
    digest = hashlib.sha256(data).hexdigest()
    name = f"references-{digest[:16]}.npz"
    replace_file(folder / name, data)
    fields = {
        "schema": PROFILE_SCHEMA,
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
        "calibration": {
            key: getattr(profile.calibration, key) for key in _Calibration.model_fields
        },
        "block_s": profile.blocks.block_s,
        "idle": {key: getattr(profile.idle_rule, key) for key in _Idle.model_fields},
        "signal": {key: getattr(profile.signal, key) for key in _Signal.model_fields},
        "microphone": profile.microphone,
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
    file = _read_file(path, monitor)
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
    except ScorerError as error:
        raise ProfileError(f"{references}: {error}") from error


def _read_file(path: Path, monitor: str) -> _File:
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ProfileError(
            f"{path}: monitor {monitor} has no profile yet; run "
            f"'edge-asd enrol --monitor {monitor}' first"
        ) from error
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{path}: not JSON ({error}); enrol {monitor} again") from error
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, int) and schema > PROFILE_SCHEMA:
        raise ProfileError(f"{path}: schema {schema} is newer than this version; update edge-asd")
    try:
        return _File.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProfileError(f"{path}: {where}: {first['msg']}; enrol {monitor} again") from error


def _arrays(profile: Profile) -> dict[str, Any]:
    arrays = {f"scorer/{name}": array for name, array in profile.detector.state().items()}
    arrays["held_out/scores"] = profile.held_out.scores
    arrays["held_out/stretches"] = profile.held_out.stretches
    arrays["blocks"] = profile.blocks.maxima
    arrays["idle/running_shape_db"] = profile.idle_rule.running_shape_db
    if profile.idle_rule.quiet_shape_db is not None:
        arrays["idle/quiet_shape_db"] = profile.idle_rule.quiet_shape_db
    return arrays


def _restore(file: _File, bundle: Bundle, arrays: dict[str, Any]) -> Profile:
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
    return Profile(
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
        calibration=Calibration(**file.calibration.model_dump()),
        signal=(
            SignalRule(**signal.model_dump()) if signal else SignalRule.from_idle_rule(idle_rule)
        ),
        microphone=file.microphone,
    )
