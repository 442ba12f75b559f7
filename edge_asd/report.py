"""What a monitor says, turned into messages, metrics, checks and books: one place for all sinks.

Steady time comes in, wall time goes out.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

from edge_asd.books import Books
from edge_asd.clock import boot_id, clock_synchronized, rfc3339
from edge_asd.errors import PublishError
from edge_asd.event_log import EventLog
from edge_asd.evidence.desk import Settled
from edge_asd.health import Health, HealthBoard
from edge_asd.metrics import Metrics
from edge_asd.profile import Profile
from edge_asd.publish.jsonl import JsonlSink
from edge_asd.publish.messages import EventMessage, EvidenceRef, MicrophoneMessage
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.payload import Audio, Clock, ModelRef, Stamp
from edge_asd.publish.standing import ReportMessage, ScoreMessage, StateMessage
from edge_asd.publish.store import EventStore, Recorded
from edge_asd.publish.topics import Topics
from edge_asd.records import Event, EventType, MicrophoneNotice, Scored, Severity, State
from edge_asd.steady import SteadyClock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about a monitor right now."""

    state: State
    reason: str = ""
    score: float | None = None
    percentile: float | None = None
    progress: float | None = None
    """Share of the baselining that is done, 0 to 1."""
    event: Event | None = None
    """Alert that is going on."""


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """What a score stands for."""

    length_s: float
    """Audio in the window."""
    hop_s: float
    """From the window scored before; longer under overload."""


class Reporter:
    """Hands everything to the sinks; called by the worker only.

    Args:
        device: Name of this device.
        store: Where events are kept.
        books: What is written down.
        mqtt: The broker's sink, None without MQTT.
        jsonl: The line sink, None without one.
        metrics: Prometheus.
        health: The board of checks.
        model: What scores.
        clock: Steady time, and what wall time it is.
    """

    def __init__(
        self,
        device: str,
        store: EventStore,
        books: Books,
        *,
        mqtt: MqttSink | None,
        jsonl: JsonlSink | None,
        metrics: Metrics,
        health: HealthBoard,
        model: ModelRef,
        clock: SteadyClock,
    ) -> None:
        self.device = device
        self.topics = Topics(device)
        self.metrics = metrics
        self.health = health
        self.clock = clock
        self.books = books
        topics = self.topics if mqtt else None
        self.log = EventLog(store, topics, health, self._recorded, metrics.outbox_dropped)
        self._mqtt, self._jsonl = mqtt, jsonl
        self._model = model
        self._boot_id = boot_id()
        self._evidence: dict[str, tuple[str, EvidenceRef]] = {}  # of the last alert, by monitor

    def look(self) -> None:
        """Bring the books up to date, and events that the disk refused; cheap."""
        if self.log.waiting:
            self.log.retry()
        day = self.books.look()
        if day is None or self._mqtt is None:
            return
        for monitor, summary in self.books.reports(day):
            message = ReportMessage.from_summary(
                summary,
                device=self.device,
                monitor=monitor,
                updated_at=self.clock.wall(self.clock.now()),
            )
            self._mqtt.set_retained(self.topics.report(monitor), message.to_json())

    def event(self, monitor: str, event: Event, profile: Profile, previous: Event | None) -> None:
        """Record a step of an alert: on disk first, then to whoever listens."""
        worse = previous is not None and previous.severity is not event.severity
        if event.type is EventType.NEW or worse:
            self.metrics.alert(monitor, event.severity)
        provisional = profile.calibration.provisional
        event_id, evidence = self._evidence.get(monitor, ("", None))
        message = EventMessage.from_event(
            self._dated(event),
            device=self.device,
            monitor=monitor,
            model=self._model,
            stamp=self._stamp(),
            threshold_kind="extrapolated" if provisional else "calibrated",
            coverage=self.books.ledger.coverage(monitor, event.started_at, event.updated_at),
            evidence=evidence if event_id == event.id else None,
        )
        self.log.add(monitor, message)
        logger.warning(
            "monitor=%s event=%s type=%s severity=%s score=%.2f threshold=%.2f nearest=%s",
            monitor,
            event.id,
            event.type.value,
            event.severity.value,
            event.score,
            event.threshold,
            event.nearest,
        )

    def evidence(self, settled: Settled, going_on: Event | None, profile: Profile) -> None:
        """What was kept of an alert; told as an update while it goes on, and with its end."""
        monitor = settled.monitor
        if settled.evidence is None:
            return
        self._evidence[monitor] = (settled.event_id, settled.evidence)
        if settled.picture is not None and self._mqtt:
            self._mqtt.set_retained(self.topics.picture(monitor), settled.picture)
        if going_on is not None and going_on.id == settled.event_id:
            self.event(monitor, replace(going_on, type=EventType.UPDATE), profile, going_on)

    def notice(self, monitor: str, notice: MicrophoneNotice) -> None:
        """Record that a microphone does not work, or works again."""
        wall = self.clock.wall
        message = MicrophoneMessage.from_notice(
            replace(
                notice,
                started_at=wall(notice.started_at),
                updated_at=wall(notice.updated_at),
                ended_at=None if notice.ended_at is None else wall(notice.ended_at),
            ),
            device=self.device,
            monitor=monitor,
            stamp=self._stamp(),
        )
        self.log.add(monitor, message)
        logger.warning(
            "monitor=%s microphone=%s type=%s fault=%s reason=%r",
            monitor,
            notice.id,
            notice.type.value,
            notice.fault,
            notice.reason,
        )

    def _dated(self, event: Event) -> Event:
        """The same event in wall time."""
        wall = self.clock.wall
        return replace(
            event,
            started_at=wall(event.started_at),
            updated_at=wall(event.updated_at),
            ended_at=None if event.ended_at is None else wall(event.ended_at),
        )

    def _recorded(self, recorded: Recorded[EventMessage] | Recorded[MicrophoneMessage]) -> None:
        self.metrics.outbox_dropped(recorded.dropped)
        self._line(recorded.message)

    def state(self, monitor: str, standing: Standing, profile: Profile | None) -> None:
        """Publish a monitor's state, retained."""
        severity = standing.event.severity if standing.event else None
        self.metrics.set_state(monitor, standing.state, severity)
        calibration = profile.calibration if profile else None
        message = StateMessage(
            device=self.device,
            source=monitor,
            state=standing.state,
            reason=standing.reason,
            score=standing.score,
            percentile=standing.percentile,
            threshold=calibration.threshold if calibration else None,
            severity=severity,
            progress=standing.progress,
            provisional=bool(calibration and calibration.provisional),
            rate_asked_per_week=calibration.asked_per_week if calibration else None,
            rate_supported_per_week=calibration.supported_per_week if calibration else None,
            model=self._model,
            updated_at=rfc3339(self.clock.wall(self.clock.now())),
            event_id=standing.event.id if standing.event else None,
            **dict(self._stamp()),
        )
        if self._mqtt:
            alarm = b"ON" if standing.event else b"OFF"
            self._mqtt.set_retained(self.topics.state(monitor), message.to_json())
            self._mqtt.set_retained(self.topics.alarm(monitor), alarm)

    def score(
        self, monitor: str, scored: Scored, state: State, profile: Profile, window: WindowSpan
    ) -> None:
        """Enter one window's score into the books and publish it; the latter is best effort."""
        end_s = scored.captured_at + window.length_s
        self.books.ledger.scored(monitor, scored.captured_at, end_s)
        self.books.history.add(
            monitor, profile_key=profile.key, hop_s=window.hop_s, end_s=end_s, score=scored.score
        )
        self.metrics.scored(monitor, scored.score)
        logger.debug(
            "monitor=%s score=%.3f level_dbfs=%.1f nearest=%s",
            monitor,
            scored.score,
            scored.level_dbfs,
            scored.nearest,
        )
        message = ScoreMessage(
            device=self.device,
            source=monitor,
            state=state,
            score=scored.score,
            threshold=profile.calibration.threshold,
            audio=Audio(dbfs=scored.level_dbfs),
            at=rfc3339(self.clock.wall(scored.captured_at)),
        )
        if self._mqtt:
            self._mqtt.telemetry(self.topics.score(monitor), message.to_json())

    def inference_failed(self) -> None:
        """Count a failure of the runtime."""
        self.metrics.inference_error(self._model.backend)

    def thresholds(self, monitor: str, profile: Profile) -> None:
        """Export the thresholds in force."""
        calibration = profile.calibration
        self.metrics.set_threshold(monitor, Severity.WARNING, calibration.threshold)
        self.metrics.set_threshold(monitor, Severity.ALARM, calibration.alarm_threshold)

    def _line(self, message: EventMessage | MicrophoneMessage) -> None:
        if self._jsonl is None:
            return
        try:
            self._jsonl.event(message)
        except PublishError as error:
            self.health.set("jsonl", Health.WARNING, str(error))
        else:
            self.health.set("jsonl", Health.HEALTHY, "lines are written")

    def _stamp(self) -> Stamp:
        return Stamp(
            clock=Clock(synchronized=clock_synchronized()),
            monotonic_ns=time.monotonic_ns(),
            boot_id=self._boot_id,
        )
