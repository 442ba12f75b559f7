"""The text of a profile: ``profile.json`` as frozen sections."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_asd.errors import ProfileError

PLAIN_SCHEMA = 1
"""A profile as enrolment makes it."""
SCHEMA = 2
"""The same with sound confirmed as normal later, or a history of that."""


class Section(BaseModel):
    """Base of all: unknown keys are errors."""

    # A threshold that is not a number would never be reached: nobody would notice.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StandardSection(Section):
    """Of one scorer."""

    shift: float
    scale: float = Field(gt=0)


class PersistenceSection(Section):
    """Scores that count."""

    k: int = Field(ge=1)
    n: int = Field(ge=1)


class CalibrationSection(Section):
    """Thresholds and what they rest on."""

    method: Literal["block_maxima", "largest_plus_margin"]
    asked_per_week: float
    supported_per_week: float
    provisional: bool
    usual: float
    clear_below: float
    threshold: float
    alarm_threshold: float


class IdleSection(Section):
    """When the machine is off."""

    quiet_below_dbfs: float
    silent_below_dbfs: float
    running_spread_db: float
    longest_pause_slots: int = Field(ge=0)


class SignalSection(Section):
    """What the microphone heard."""

    mean_dbfs: float
    floor_dbfs: float
    octaves_dbfs: tuple[float, ...]
    loudest_dbfs: float | None
    clipped_ratio: float = Field(ge=0, le=1)
    dc_low: float
    dc_high: float
    hold_s: float = Field(gt=0)


class RecordingSection(Section):
    """Sound of an alert that was confirmed as normal; its windows are among the arrays."""

    event_id: str
    by: str
    at: str
    expires_at: str | None
    began_at: str
    severity: str
    audio: str = Field(pattern=r"^[0-9a-f-]{36}\.flac$")
    rests_s: float = Field(gt=0)
    chosen: tuple[int, ...] = Field(min_length=1)


class TargetsSection(Section):
    """What was confirmed, and the thresholds without it."""

    plain: CalibrationSection
    recordings: tuple[RecordingSection, ...] = Field(min_length=1)


class ChangeSection(Section):
    """One entry of the history of targets."""

    at: str
    what: str
    event_id: str
    by: str
    windows: int


class ProfileFile(Section):
    """The whole file."""

    schema_version: int = Field(alias="schema", ge=1)
    monitor: str
    bundle: str
    bundle_sha256: str
    created_at: str
    source: str
    enrolled_s: float
    gain_db: float
    standards: dict[str, StandardSection]
    persistence: PersistenceSection
    calibration: CalibrationSection
    block_s: float = Field(gt=0)
    idle: IdleSection
    signal: SignalSection | None = None
    """Absent from profiles of versions that did not learn it."""
    microphone: str = ""
    targets: TargetsSection | None = None
    changes: tuple[ChangeSection, ...] = ()
    references: str = Field(pattern=r"^references-[0-9a-f]{16}\.npz$")
    references_sha256: str


def read_profile_file(path: Path, monitor: str) -> ProfileFile:
    """Read and check the text of a monitor's profile.

    Raises:
        ProfileError: It is missing, damaged or of a newer schema.
    """
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
    if isinstance(schema, int) and schema > SCHEMA:
        raise ProfileError(f"{path}: schema {schema} is newer than this version; update edge-asd")
    try:
        return ProfileFile.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProfileError(f"{path}: {where}: {first['msg']}; enrol {monitor} again") from error


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What was confirmed as normal for one monitor, without the windows."""

    recordings: tuple[RecordingSection, ...] = ()
    changes: tuple[ChangeSection, ...] = ()

    def of(self, event_id: str) -> RecordingSection | None:
        """What is known of the confirmation of an alert that is in force."""
        return next((one for one in self.recordings if one.event_id == event_id), None)


def confirmed_in(state_dir: Path) -> dict[str, Confirmed]:
    """What was confirmed, by monitor; profiles that cannot be read have nothing to say."""
    found = {}
    for path in sorted(state_dir.glob("profiles/*/profile.json")):
        name = path.parent.name
        try:
            file = read_profile_file(path, name)
        except ProfileError:
            found[name] = Confirmed()
        else:
            recordings = file.targets.recordings if file.targets else ()
            found[name] = Confirmed(recordings, file.changes)
    return found
