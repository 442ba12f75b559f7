"""What the outbox holds, what it gives up, and how full it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class RowClass(str, Enum):
    """What a row is worth when space runs out."""

    EVENT_NEW = "event_new"
    EVENT_UPDATE = "event_update"
    EVENT_END = "event_end"
    REPORT = "report"

    @classmethod
    def of(cls, stored: str) -> RowClass:
        """What a row says, or, where its disk spoiled that, the class that is given up last."""
        return cls(stored) if stored in cls._value2member_map_ else cls.EVENT_NEW


class DropReason(str, Enum):
    """Why a row was given up."""

    SIZE = "size"
    AGE = "age"
    DISK = "disk"
    """It never reached the outbox: the disk refused for so long that memory was full."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is handed in; published with QoS 1, because an outbox needs an answer."""

    topic: str
    payload: bytes
    row_class: RowClass
    monitor: str
    seq: int
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A message that waits."""

    id: int
    """Grows with every message."""
    message: Message
    created_at: float
    """Wall time, seconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a list shows of a row."""

    id: int
    row_class: RowClass
    monitor: str
    seq: int
    topic: str
    created_at: float
    """Wall time, seconds since 1970 UTC."""
    bytes: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows that were given up."""

    row_class: RowClass
    reason: DropReason
    count: int


@dataclass(frozen=True, slots=True)
class Stats:
    """How full the outbox is."""

    messages: int
    bytes: int
    oldest_at: float | None
    """Wall time of the oldest row; None when empty."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What was given up since the start."""

    counts: Mapping[RowClass, int] = field(default_factory=dict)
    last_s: float | None = None
    """Monotonic time of the last loss."""
