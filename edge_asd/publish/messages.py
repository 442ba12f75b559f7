"""What goes over the wire, as frozen models: the schema is code, and fields are only ever added.

Here are those that tell of something that happened; `standing` tells how things stand, `payload`
how times and numbers leave.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import Self

from edge_asd.clock import parse_rfc3339, rfc3339
from edge_asd.publish.payload import (
    SCHEMA,
    Audio,
    Clock,
    Count,
    Milli,
    ModelRef,
    Number,
    Payload,
    Stamp,
    Time,
    Versioned,
    or_nan,
)
from edge_asd.publish.standing import (
    CheckMessage,
    HealthMessage,
    InfoMessage,
    MonitorInfo,
    ReportMessage,
    ScoreMessage,
    StateMessage,
)
from edge_asd.records import Event, EventType, MicrophoneNotice, Severity, State

__all__ = [
    "SCHEMA",
    "Audio",
    "CheckMessage",
    "Clock",
    "Count",
    "EventMessage",
    "EvidenceRef",
    "HealthMessage",
    "InfoMessage",
    "MicrophoneMessage",
    "Milli",
    "ModelRef",
    "MonitorInfo",
    "Number",
    "Payload",
    "ReportMessage",
    "ScoreMessage",
    "Stamp",
    "StateMessage",
    "Time",
    "Versioned",
    "Windows",
]


class Windows(Payload):
    """What became of the audio of an alert."""

    scored: Count
    """Windows that were scored since the alert began."""
    gapped: Count
    """Not scored, because audio was missing or of no use."""
    dropped: Count
    """Not scored, because the device was too slow."""


class EvidenceRef(Payload):
    """What was kept of an alert; names of files in the evidence directory."""

    clip: str
    """The sound, FLAC."""
    spectrogram: str | None = None
    """A picture of it beside normal sound, PNG."""
    details: str | None = None
    """Why it is different, JSON."""
    sha256: str
    """Of the clip."""
    bytes: Count
    """Of the clip."""


class EventMessage(Stamp, Versioned):
    """One step in the life of an alert, as published and as stored."""

    id: str
    """UUIDv7, the same from new to end."""
    seq: Count = 0
    """Counts the messages of this monitor; given by the store. 0 of a step that is held back."""
    type: EventType
    """``new``, then an ``update`` now and then and at every change, at last ``end``."""
    source: str
    """Name of the monitor."""
    severity: Severity
    """How sure the alert is."""
    state: State
    """Of the monitor at this moment."""
    score: Number
    """What was decided on: high in enough windows; higher is more anomalous."""
    threshold: Number
    """At or above it a score counts."""
    threshold_kind: str
    """How the threshold came about, for example ``calibrated`` or ``extrapolated``."""
    percentile: Milli
    """Share of the normal scores kept from enrolment that lie below the score, 0 to 100."""
    started_at: Time
    """Begin of the alert."""
    updated_at: Time
    """When this step was decided."""
    ended_at: Time | None
    """End of the alert; null before the ``end``."""
    duration_s: Milli
    """Since the alert began, by the audio's own clock."""
    windows: Windows
    """What became of the audio since the alert began."""
    coverage: Milli
    """Share of the seconds since the start that were scored, 0 to 1; null if nobody knows."""
    nearest_center: str
    """Which scorer decided, and the normal sound nearest to this one."""
    model: ModelRef
    """What decided."""
    audio: Audio
    """The sound at this moment."""
    reason: str
    """Why the alert ended, for people; empty before that."""
    evidence: EvidenceRef | None = None
    """Null until it is on the disk, and where none was kept."""
    acked_by: str | None = None
    """Who has taken note of the alert; null until somebody has."""
    acked_at: Time | None = None
    """When; null until then."""
    snoozed_until: Time | None = None
    """Until then the monitor is silent; null while it is not snoozed."""
    held: bool = False
    """Only recorded, because the alert began while the monitor was snoozed. Never true in what is
    published: an alert that outlasts the snooze is published as ``new`` when that is over."""
    rehearsal: bool = False
    """Made by ``edge-asd simulate --fault`` to try the alerting chain; nothing was heard."""

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
        coverage: float | None = None,
        evidence: EvidenceRef | None = None,
        snoozed_until: float | None = None,
        rehearsal: bool = False,
    ) -> Self:
        """Complete a record of the pipeline with what only the daemon knows.

        Args:
            event: The step; its times are wall time here, seconds since 1970 UTC.
            device: Name of the device.
            monitor: Name of the monitor.
            model: The network that decided.
            stamp: When it was decided.
            threshold_kind: How the threshold came about.
            windows_dropped: Windows lost to overload since the alert began.
            coverage: Share of the seconds since the alert began that were scored.
            evidence: What was kept of it so far.
            snoozed_until: Wall time at which the monitor's snooze ends.
            rehearsal: It did not happen.
        """
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
            windows=Windows(
                scored=event.windows_scored, gapped=event.windows_gapped, dropped=windows_dropped
            ),
            coverage=coverage,
            nearest_center=event.nearest,
            model=model,
            audio=Audio(dbfs=event.level_dbfs),
            reason=event.reason,
            evidence=evidence,
            acked_by=event.acked_by,
            acked_at=None if event.acked_at is None else rfc3339(event.acked_at),
            snoozed_until=None if snoozed_until is None else rfc3339(snoozed_until),
            held=event.held,
            rehearsal=rehearsal,
            **dict(stamp),
        )

    def to_event(self) -> Event:
        """Back to a record, so that a restarted daemon goes on with the alert.

        Its times are wall time. A number that was not finite comes back as NaN.
        """
        return Event(
            id=self.id,
            type=self.type,
            severity=self.severity,
            state=self.state,
            score=or_nan(self.score),
            threshold=or_nan(self.threshold),
            percentile=or_nan(self.percentile),
            started_at=parse_rfc3339(self.started_at),
            updated_at=parse_rfc3339(self.updated_at),
            duration_s=or_nan(self.duration_s),
            windows_scored=self.windows.scored,
            windows_gapped=self.windows.gapped,
            nearest=self.nearest_center,
            level_dbfs=or_nan(self.audio.dbfs),
            ended_at=None if self.ended_at is None else parse_rfc3339(self.ended_at),
            reason=self.reason,
            acked_by=self.acked_by,
            acked_at=None if self.acked_at is None else parse_rfc3339(self.acked_at),
            held=self.held,
        )


class MicrophoneMessage(Stamp, Versioned):
    """The machine cannot be heard, or can be heard again; as published and as stored."""

    id: str
    """UUIDv7, the same for new and end."""
    seq: Count = 0
    """Counts the messages of this monitor, those of alerts included; given by the store."""
    type: Literal[EventType.NEW, EventType.END]
    """``new`` when it stopped working, ``end`` when it works again."""
    source: str
    """Name of the monitor."""
    fault: str
    """What is wrong: ``no_audio``, or a flaw of the signal such as ``digital_zero``."""
    reason: str
    """The same for people, with what to look at."""
    started_at: Time
    """First sound that is missing."""
    updated_at: Time
    """When this step was decided."""
    ended_at: Time | None
    """When it worked again; null before the ``end``."""
    duration_s: Milli
    """From the first sound that is missing until now."""
    rehearsal: bool = False
    """Made by ``edge-asd simulate --fault`` to try the alerting chain; the microphone is well."""

    @classmethod
    def from_notice(
        cls,
        notice: MicrophoneNotice,
        *,
        device: str,
        monitor: str,
        stamp: Stamp,
        rehearsal: bool = False,
    ) -> Self:
        """Complete a record with what only the daemon knows.

        Args:
            notice: The step; its times are wall time here, seconds since 1970 UTC.
            device: Name of the device.
            monitor: Name of the monitor.
            stamp: When it was decided.
            rehearsal: It did not happen.

        Raises:
            ValueError: It is an update, which this message does not have.
        """
        return cls(
            device=device,
            id=notice.id,
            type=notice.type,
            source=monitor,
            fault=notice.fault,
            reason=notice.reason,
            started_at=rfc3339(notice.started_at),
            updated_at=rfc3339(notice.updated_at),
            ended_at=None if notice.ended_at is None else rfc3339(notice.ended_at),
            duration_s=notice.duration_s,
            rehearsal=rehearsal,
            **dict(stamp),
        )

    def to_notice(self) -> MicrophoneNotice:
        """Back to a record, its times wall time, so that a restarted daemon can end it."""
        return MicrophoneNotice(
            id=self.id,
            type=self.type,
            fault=self.fault,
            reason=self.reason,
            started_at=parse_rfc3339(self.started_at),
            updated_at=parse_rfc3339(self.updated_at),
            duration_s=or_nan(self.duration_s),
            ended_at=None if self.ended_at is None else parse_rfc3339(self.ended_at),
        )
