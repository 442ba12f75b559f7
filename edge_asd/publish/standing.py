"""Messages about how things stand: states, scores, the day, the daemon, its health."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator
from typing_extensions import Self

from edge_asd.books.ledger_timeline import Account
from edge_asd.books.ledger_view import Summary
from edge_asd.clock import rfc3339
from edge_asd.health import Check, Health
from edge_asd.publish.payload import (
    Audio,
    Count,
    Milli,
    ModelRef,
    Number,
    Payload,
    Stamp,
    Time,
    Versioned,
)
from edge_asd.records import Severity, State

HEARTBEAT_S = 30.0
"""A state is sent again after so long, changed or not: silence means that nobody is at work."""


class StateMessage(Stamp, Versioned):
    """What is known about a monitor right now."""

    source: str
    """Name of the monitor."""
    state: State
    """``unknown`` is not ``normal``: nobody can tell, and ``reason`` says why."""
    reason: str = ""
    """Why, for people; never empty in state ``unknown``."""
    score: Number = None
    """Of the newest window; null before the first."""
    threshold: Number = None
    """Null without a profile."""
    percentile: Milli = None
    """Share of the normal scores kept from enrolment that lie below the score, 0 to 100."""
    severity: Severity | None = None
    """Of the alert that is going on; null without one."""
    audio: Audio | None = None
    """The sound of the newest window; null before the first."""
    progress: Milli = None
    """Share of the baselining that is done, 0 to 1; null at other times."""
    provisional: bool = False
    """The threshold promises more than the audio so far can support."""
    rate_asked_per_week: Number = None
    """False alarms a week that the operator puts up with."""
    rate_supported_per_week: Number = None
    """The least that the audio so far can promise."""
    model: ModelRef | None = None
    """What scores."""
    updated_at: Time
    """When this was sent first."""
    event_id: str | None = None
    """Alert that is going on; null without one."""
    enabled: bool = True
    """False once an operator has switched the monitor off; its state is ``inhibited`` then."""
    inhibited_until: Time | None = None
    """End of the maintenance; null without one, and where it lasts until somebody ends it."""
    snoozed_until: Time | None = None
    """Until then no alert is raised; null while the monitor is not snoozed."""
    acked_by: str | None = None
    """Who has taken note of the alert that is going on."""
    acked_at: Time | None = None
    """When; null until then."""
    rehearsal: bool = False
    """Made by ``edge-asd simulate --fault`` to try the alerting chain; the machine is as before."""

    @model_validator(mode="after")
    def _unknown_has_a_reason(self) -> Self:
        if self.state is State.UNKNOWN and not self.reason:
            raise ValueError("state unknown needs a reason")
        return self


class ReportMessage(Versioned):
    """How well a monitor listened on one day, UTC, as far as that has passed; retained."""

    source: str
    """Name of the monitor."""
    period_from: Time
    """First second that is accounted for."""
    period_to: Time
    """End of the last one."""
    seconds: dict[Account, Count]
    """By account, all of them; a second is in one account only."""
    clock_steps_s: int
    """By how much the clock was set forward, less back: with the seconds it is the period."""
    coverage: Milli
    """Share of the seconds that were scored, 0 to 1."""
    updated_at: Time
    """When this was added up."""

    @classmethod
    def from_summary(
        cls, summary: Summary, *, device: str, monitor: str, updated_at: float
    ) -> Self:
        """Build it from what the ledger adds up; ``updated_at`` is wall time."""
        return cls(
            device=device,
            source=monitor,
            period_from=rfc3339(summary.begin_s),
            period_to=rfc3339(summary.end_s),
            seconds=dict(summary.seconds),
            clock_steps_s=summary.clock_steps_s,
            coverage=summary.coverage,
            updated_at=rfc3339(updated_at),
        )


class ScoreMessage(Versioned):
    """One score of the rate-limited stream."""

    source: str
    """Name of the monitor."""
    state: State
    """Of the monitor at this moment."""
    score: Number
    """Of one window; higher is more anomalous."""
    threshold: Number
    """At or above it a score counts."""
    audio: Audio
    """The sound of the window."""
    at: Time
    """When the window began."""


class MonitorInfo(Payload):
    """A monitor in the birth message."""

    name: str
    """As in ``source``."""
    topic_segment: str
    """As in topics."""


class InfoMessage(Versioned):
    """Birth certificate, published at every connection."""

    versions: dict[str, str]
    """``edge_asd``, ``python`` and whatever else explains a difference."""
    monitors: tuple[MonitorInfo, ...]
    """Every monitor of the device."""
    model: ModelRef | None
    """What scores."""
    started_at: Time
    """Start of the daemon."""
    boot_id: str
    """Of the computer; another one than the last time means that it was started again."""
    reason: str = ""
    """Why the daemon stops; empty while it runs."""


class CheckMessage(Payload):
    """One check of the health message."""

    status: Health
    """How it is."""
    text: str
    """The same for people, with what to do."""
    rehearsal: bool = False
    """Made by ``edge-asd simulate --fault``; all is well."""


class HealthMessage(Versioned):
    """Every check and the worst of them."""

    status: Health
    """The worst of the checks."""
    checks: dict[str, CheckMessage]
    """By name, for example ``capture/pump-1``."""
    updated_at: Time
    """When a check changed last."""

    @classmethod
    def from_checks(
        cls, status: Health, checks: Mapping[str, Check], *, device: str, updated_at: float
    ) -> Self:
        """Build it from what the health board shows."""
        return cls(
            device=device,
            status=status,
            checks={
                name: CheckMessage(status=check.status, text=check.text, rehearsal=check.rehearsal)
                for name, check in checks.items()
            },
            updated_at=rfc3339(updated_at),
        )
