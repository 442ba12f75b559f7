"""What goes over the wire, as frozen models: the schema is code, and fields are only ever added.

Times enter as seconds since 1970 UTC and leave as RFC 3339 with ``Z``; numbers are rounded to what
they mean; a number that is not finite leaves as ``null``, because JSON has no NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from typing_extensions import Self

from edge_asd.clock import parse_rfc3339, rfc3339
from edge_asd.health import Check, Health
from edge_asd.records import Event, EventType, Severity, State

SCHEMA: Literal[1] = 1
"""Version of the payloads; consumers ignore fields that they do not know."""


def _time(value: object) -> object:
    """Seconds to text; text passes, so that a stored message reads back."""
    if isinstance(value, (int, float)):
        return rfc3339(value) if math.isfinite(value) else None
    return value


def _significant(value: object) -> object:
    """Six significant digits: more than a float32 score means."""
    return _rounded(value, lambda number: float(f"{number:.6g}"))


def _milli(value: object) -> object:
    """Three decimals: milliseconds, thousandths of a percent, thousandths of a decibel."""
    return _rounded(value, lambda number: round(number, 3))


def _rounded(value: object, rounding: Callable[[float], float]) -> object:
    if isinstance(value, (int, float)):
        return rounding(float(value)) if math.isfinite(value) else None
    return value


def _or_nan(number: float | None) -> float:
    return math.nan if number is None else number


Time = Annotated[
    str, BeforeValidator(_time), Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
]
Number = Annotated["float | None", BeforeValidator(_significant)]
Milli = Annotated["float | None", BeforeValidator(_milli)]
Count = Annotated[int, Field(ge=0)]


class Payload(BaseModel):
    """Base of every message."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    def to_json(self) -> bytes:
        """Serialise in field order; UTF-8, one line."""
        return self.model_dump_json(by_alias=True).encode()


class Versioned(Payload):
    """Base of the messages that stand alone."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    device: str


class Windows(Payload):
    """What became of the audio of an alert."""

    scored: Count
    gapped: Count
    dropped: Count


class ModelRef(Payload):
    """The network that decided."""

    name: str
    version: str
    sha256: str
    backend: str
    """Runtime: ``onnxruntime``, ``tensorrt``."""


class Audio(Payload):
    """Signal facts."""

    dbfs: Milli
    """Level before the monitor's gain."""


class Clock(Payload):
    """Whether the times can be trusted."""

    synchronized: bool | None
    """None when it cannot be known."""


class Stamp(Payload):
    """Orders messages even when the wall clock steps."""

    clock: Clock
    monotonic_ns: Count
    boot_id: str
    """Monotonic times compare within one boot only."""


class EventMessage(Stamp, Versioned):
    """One step in the life of an alert, as published and as stored."""

    id: str
    """UUIDv7, the same from new to end."""
    seq: Count = 0
    """Counts the messages of this monitor; given by the store."""
    type: EventType
    source: str
    """Name of the monitor."""
    severity: Severity
    state: State
    score: Number
    threshold: Number
    threshold_kind: str
    """How the threshold came about, for example ``calibrated`` or ``extrapolated``."""
    percentile: Milli
    started_at: Time
    updated_at: Time
    ended_at: Time | None
    duration_s: Milli
    windows: Windows
    coverage: Milli
    """Share of the windows since the start that were scored, 0 to 1; null before the first."""
    nearest_center: str
    model: ModelRef
    audio: Audio
    reason: str

    @classmethod
    def from_event(
        cls,
        event: Event,
        *,
        device: str,
        monitor: str,
        model: ModelRef,
        stamp: Stamp,
        threshold_kind: str,
        windows_dropped: int = 0,
    ) -> Self:
        """Complete a record of the pipeline with what only the daemon knows.

        Args:
            event: The step.
            device: Name of the device.
            monitor: Name of the monitor.
            model: The network that decided.
            stamp: When it was decided.
            threshold_kind: How the threshold came about.
            windows_dropped: Windows lost to overload since the alert began.
        """
        windows = Windows(
            scored=event.windows_scored, gapped=event.windows_gapped, dropped=windows_dropped
        )
        total = windows.scored + windows.gapped + windows.dropped
        return cls(
            device=device,
            id=event.id,
            type=event.type,
            source=monitor,
            severity=event.severity,
            state=event.state,
            score=event.score,
            threshold=event.threshold,
            threshold_kind=threshold_kind,
            percentile=event.percentile,
            started_at=rfc3339(event.started_at),
            updated_at=rfc3339(event.updated_at),
            ended_at=None if event.ended_at is None else rfc3339(event.ended_at),
            duration_s=event.duration_s,
            windows=windows,
            coverage=windows.scored / total if total else None,
            nearest_center=event.nearest,
            model=model,
            audio=Audio(dbfs=event.level_dbfs),
            reason=event.reason,
            **dict(stamp),
        )

    def to_event(self) -> Event:
        """Back to the record of the pipeline, so that a restarted daemon goes on with the alert.

        A number that was not finite comes back as NaN.
        """
        return Event(
            id=self.id,
            type=self.type,
            severity=self.severity,
            state=self.state,
            score=_or_nan(self.score),
            threshold=_or_nan(self.threshold),
            percentile=_or_nan(self.percentile),
            started_at=parse_rfc3339(self.started_at),
            updated_at=parse_rfc3339(self.updated_at),
            duration_s=_or_nan(self.duration_s),
            windows_scored=self.windows.scored,
            windows_gapped=self.windows.gapped,
            nearest=self.nearest_center,
            level_dbfs=_or_nan(self.audio.dbfs),
            ended_at=None if self.ended_at is None else parse_rfc3339(self.ended_at),
            reason=self.reason,
        )


class StateMessage(Stamp, Versioned):
    """What is known about a monitor right now."""

    source: str
    state: State
    reason: str = ""
    score: Number = None
    threshold: Number = None
    percentile: Milli = None
    severity: Severity | None = None
    progress: Milli = None
    """Share of the baselining that is done, 0 to 1; null at other times."""
    provisional: bool = False
    """The threshold promises more than the audio so far can support."""
    rate_asked_per_week: Number = None
    rate_supported_per_week: Number = None
    model: ModelRef | None = None
    updated_at: Time
    event_id: str | None = None
    """Alert that is going on."""

    @model_validator(mode="after")
    def _unknown_has_a_reason(self) -> Self:
        if self.state is State.UNKNOWN and not self.reason:
            raise ValueError("state unknown needs a reason")
        return self


class ScoreMessage(Versioned):
    """One score of the rate-limited stream."""

    source: str
    state: State
    score: Number
    threshold: Number
    audio: Audio
    at: Time


class MonitorInfo(Payload):
    """A monitor in the birth message."""

    name: str
    topic_segment: str


class InfoMessage(Versioned):
    """Birth certificate, published at every connection."""

    versions: dict[str, str]
    """``edge_asd``, ``python`` and whatever else explains a difference."""
    monitors: tuple[MonitorInfo, ...]
    model: ModelRef | None
    started_at: Time
    boot_id: str
    reason: str = ""
    """Why the daemon stops; empty while it runs."""


class CheckMessage(Payload):
    """One check of the health message."""

    status: Health
    text: str


class HealthMessage(Versioned):
    """Every check and the worst of them."""

    status: Health
    checks: dict[str, CheckMessage]
    updated_at: Time

    @classmethod
    def from_checks(
        cls, status: Health, checks: Mapping[str, Check], *, device: str, updated_at: float
    ) -> Self:
        """Build it from what the health board shows."""
        return cls(
            device=device,
            status=status,
            checks={n: CheckMessage(status=c.status, text=c.text) for n, c in checks.items()},
            updated_at=rfc3339(updated_at),
        )
