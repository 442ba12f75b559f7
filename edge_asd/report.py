"""What a monitor says, turned into messages, metrics and health checks: one place for all sinks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_asd.clock import boot_id, clock_synchronized, rfc3339
from edge_asd.errors import PublishError, StorageError
from edge_asd.health import Health, HealthBoard
from edge_asd.metrics import Metrics
from edge_asd.profile import Profile
from edge_asd.publish.jsonl import JsonlSink
from edge_asd.publish.messages import (
    Audio,
    Clock,
    EventMessage,
    ModelRef,
    ScoreMessage,
    Stamp,
    StateMessage,
)
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.store import EventStore
from edge_asd.publish.topics import Topics
from edge_asd.records import Event, EventType, Scored, Severity, State

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


class Reporter:
    """Hands everything to the sinks; called by the worker only.

    Args:
        device: Name of this device.
        store: Where events are kept.
        mqtt: The broker's sink, None without MQTT.
        jsonl: The line sink, None without one.
        metrics: Prometheus.
        health: The board of checks.
        model: What scores.
        clock: Wall time, seconds since 1970 UTC.
    """

    def __init__(
        self,
        device: str,
        store: EventStore,
        *,
        mqtt: MqttSink | None,
        jsonl: JsonlSink | None,
        metrics: Metrics,
        health: HealthBoard,
        model: ModelRef,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.device = device
        self.topics = Topics(device)
        self.metrics = metrics
        self.health = health
        self._store, self._mqtt, self._jsonl = store, mqtt, jsonl
        self._model = model
        self._clock = clock
        self._boot_id = boot_id()
        self._undelivered: list[tuple[str, EventMessage]] = []
        self._stored()

    def event(self, monitor: str, event: Event, profile: Profile, previous: Event | None) -> None:
        """Record a step of an alert: on disk first, then to whoever listens."""
        provisional = profile.calibration.provisional
        message = EventMessage.from_event(
            event,
            device=self.device,
            monitor=monitor,
            model=self._model,
            stamp=self._stamp(),
            threshold_kind="extrapolated" if provisional else "calibrated",
        )
        worse = previous is not None and previous.severity is not event.severity
        if event.type is EventType.NEW or worse:
            self.metrics.alert(monitor, event.severity)
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
        self._undelivered.append((monitor, message))
        self.retry()

    def retry(self) -> None:
        """Record events that the disk refused before, oldest first; they are never forgotten."""
        while self._undelivered:
            monitor, message = self._undelivered[0]
            topic = self.topics.event(monitor) if self._mqtt else None
            try:
                recorded = self._store.record(message, monitor=monitor, topic=topic)
            except StorageError as error:
                self.health.set("events", Health.CRITICAL, str(error))
                return
            self._undelivered.pop(0)
            self.metrics.outbox_dropped(recorded.dropped)
            self._stored()
            self._line(recorded.message)

    def _stored(self) -> None:
        aside = self._store.moved_aside
        if aside is None:
            self.health.set("events", Health.HEALTHY, "events are stored")
        else:
            text = f"the database was damaged and lies at {aside}; look into it, then restart"
            self.health.set("events", Health.WARNING, text)

    @property
    def unrecorded(self) -> int:
        """Events that wait for the disk."""
        return len(self._undelivered)

    def give_up(self) -> None:
        """Write to the log what the disk refuses to the last."""
        for monitor, message in self._undelivered:
            logger.error(
                "monitor=%s event not stored, only logged: %s", monitor, message.to_json().decode()
            )
        self._undelivered.clear()

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
            updated_at=rfc3339(self._clock()),
            event_id=standing.event.id if standing.event else None,
            **dict(self._stamp()),
        )
        if self._mqtt:
            alarm = b"ON" if standing.event else b"OFF"
            self._mqtt.set_retained(self.topics.state(monitor), message.to_json())
            self._mqtt.set_retained(self.topics.alarm(monitor), alarm)

    def score(self, monitor: str, scored: Scored, state: State, profile: Profile) -> None:
        """Publish one window's score; best effort."""
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
            at=rfc3339(scored.captured_at),
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

    def _line(self, message: EventMessage) -> None:
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
