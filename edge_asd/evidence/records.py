"""What is kept of an alert, and how much of it there is: frozen records.

Times are wall time, seconds since 1970 UTC: evidence outlives the run that made it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from edge_asd.records import Severity

CLIP, SPECTROGRAM, DETAILS = "clip.flac", "spectrogram.png", "details.json"
"""What the files of an alert are called; the last two may be missing."""

_EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MONITOR = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Refusal(str, Enum):
    """Why evidence was not kept."""

    QUOTA = "quota"
    """It does not fit beside what is pinned, or not at all."""
    FREE_SPACE = "free_space"
    """The file system would have less free space than is to stay free."""
    DISK = "disk"
    """The disk refused: full, read-only, broken."""
    TWICE = "twice"
    """The alert has evidence already."""
    LOST = "lost"
    """It never reached the disk: too many alerts at once, or it could not be made."""


class Cause(str, Enum):
    """Why evidence was deleted."""

    QUOTA = "quota"
    FREE_SPACE = "free_space"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """Which alert the evidence belongs to, and what retention goes by.

    Raises:
        ValueError: The id or the name cannot be part of a path.
    """

    event_id: str
    """UUIDv7 of the alert."""
    monitor: str
    device: str
    started_at: float
    """When the alert began."""
    created_at: float
    """When the evidence was made; its age counts from here."""
    severity: Severity
    score: float
    """Decision statistic; the highest of a monitor are kept longest. NaN counts as lowest."""
    provisional: bool = False
    """The threshold promised more than the audio behind it could support."""

    def __post_init__(self) -> None:
        if not _EVENT_ID.fullmatch(self.event_id):
            raise ValueError(f"event id {self.event_id!r} is no UUID")
        if not _MONITOR.fullmatch(self.monitor):
            raise ValueError(f"monitor {self.monitor!r} cannot be the name of a folder")


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One file of the evidence."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Evidence that is on the disk."""

    record: EvidenceRecord
    folder: Path
    files: Mapping[str, KeptFile]
    """By name, such as ``clip.flac``."""
    bytes: int
    """Disk space it takes, which is what the quota counts."""
    pinned: bool = False
    """An operator asked for it to stay."""

    def path(self, name: str) -> Path:
        """Where one of its files lies."""
        return self.folder / name


@dataclass(frozen=True, slots=True)
class Absence:
    """An alert whose evidence is not, or not any more, there."""

    event_id: str
    at: float
    text: str
    """For people."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much evidence there is, for metrics and health."""

    quota_bytes: int
    used_bytes: int = 0
    """Kept, being written and left over from deleting."""
    pinned_bytes: int = 0
    free_floor_bytes: int = 0
    free_bytes: int | None = None
    """What the file system has left for us; None where it cannot be asked."""
    kept: int = 0
    pinned: int = 0
    written: int = 0
    """Since the start, as are the next two."""
    refused: Mapping[Refusal, int] = field(default_factory=dict)
    deleted: Mapping[Cause, int] = field(default_factory=dict)
    stuck: int = 0
    """Evidence that should go and cannot be deleted."""
    foreign: int = 0
    """Files and folders among the evidence that edge-asd did not put there."""
    failure: str = ""
    """Why the last piece of evidence was not kept, or the store cannot be used; empty when well."""
