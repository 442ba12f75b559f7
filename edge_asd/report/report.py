"""What a monitor says, turned into messages, metrics, checks and books: one place for all sinks.

Steady time comes in, wall time goes out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import replace
from functools import partial

from edge_asd.books.books import Books
from edge_asd.clock import boot_id, clock_synchronized, rfc3339
from edge_asd.errors import PublishError
from edge_asd.evidence.desk import Settled
from edge_asd.health import Health, HealthBoard
from edge_asd.metrics.metrics import Metrics
from edge_asd.operators.switches import Switches
from edge_asd.profile import Profile
from edge_asd.publish.jsonl import JsonlSink
from edge_asd.publish.messages import EventMessage, EvidenceRef, MicrophoneMessage
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.payload import Audio, Clock, ModelRef, Stamp
from edge_asd.publish.standing import ReportMessage, ScoreMessage
from edge_asd.publish.store import EventStore, Recorded
from edge_asd.publish.topics import Topics
from edge_asd.records import Event, EventType, MicrophoneNotice, Scored, Severity, State
from edge_asd.report.event_log import EventLog
from edge_asd.report.standing import Standing, WindowSpan
from edge_asd.report.state_board import StateBoard
from edge_asd.steady import SteadyClock

logger = logging.getLogger(__name__)


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
        things: Switches that can be set over MQTT.
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
        things: Collection[str] = (),
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
        self.states = StateBoard(device, model, metrics=metrics, clock=clock, stamp=self._stamp)
        self.states.connect(mqtt, things)

    def connect(
        self, mqtt: MqttSink | None, jsonl: JsonlSink | None, things: Collection[str] = ()
    ) -> None:
        """Hand everything to these sinks from now on; ``things`` can be set over MQTT."""
        self._mqtt, self._jsonl = mqtt, jsonl
        self.states.connect(mqtt, things)
        self.log.publish_under(self.topics if mqtt else None)

    def follow(self, model: ModelRef) -> None:
        """Another model scores from now on."""
        self._model = model
        self.states.follow(model)

    def forget(self, monitor: str) -> None:
        """A monitor is gone: nothing more is written down of it."""
        self.books.leave(monitor)
        self._evidence.pop(monitor, None)
        self.states.forget(monitor)

    def look(self) -> None:
        """Bring the books up to date, and events that the disk refused; cheap."""
        if self.log.waiting:
            self.log.retry()
        self.states.look()
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

    def event(
        self,
        monitor: str,
        event: Event,
        profile: Profile,
        previous: Event | None,
        *,
        of_window: bool = False,
    ) -> None:
        """Record a step of an alert: on disk first, then to whoever listens.

        Args:
            monitor: Whose alert it is.
            event: The step.
            profile: In force.
            previous: The step before it.
            of_window: A window caused it, which ended when the step is dated.
        """
        self._count(monitor, event, previous)
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
            snoozed_until=self.states.snoozed_until(monitor),
        )
        received = partial(self._received, monitor, event) if of_window else None
        self.log.add(monitor, message, received)
        level = logging.INFO if event.held else logging.WARNING
        logger.log(
            level,
            "monitor=%s event=%s type=%s severity=%s score=%.2f threshold=%.2f nearest=%s",
            monitor,
            event.id,
            event.type.value,
            event.severity.value,
            event.score,
            event.threshold,
            event.nearest,
        )

    def _received(self, monitor: str, event: Event) -> None:
        """The broker has it; called by the pump thread."""
        since_s = self.clock.now() - event.updated_at
        if since_s >= 0:  # a recording that is played faster than it lasts is ahead of time
            self.metrics.latency("puback", since_s)
            logger.debug("monitor=%s event=%s puback_s=%.6f", monitor, event.id, since_s)

    def _count(self, monitor: str, event: Event, previous: Event | None) -> None:
        """Count what is raised, and what a snooze keeps from being raised."""
        new = event.type is EventType.NEW
        worse = previous is not None and previous.severity is not event.severity
        if event.held and new:
            self.metrics.alert_suppressed(monitor, "snoozed")
        elif not event.held and (new or worse):
            self.metrics.alert(monitor, event.severity)

    def evidence(self, settled: Settled, going_on: Event | None, profile: Profile) -> None:
        """What was kept of an alert; told as an update while it goes on, and with its end."""
        monitor = settled.monitor
        if settled.evidence is None:
            return
        self._evidence[monitor] = (settled.event_id, settled.evidence)
        secret = going_on is not None and going_on.held
        if settled.picture is not None and self._mqtt and not secret:
            self._mqtt.set_retained(self.topics.picture(monitor), settled.picture)
        if going_on is not None and going_on.id == settled.event_id:
            self.event(monitor, replace(going_on, type=EventType.UPDATE), profile, going_on)

    def rehearsed_event(self, monitor: str, event: Event) -> None:
        """Record a step of an alert that is only rehearsed, marked as such; nothing counts it."""
        message = EventMessage.from_event(
            self._dated(event),
            device=self.device,
            monitor=monitor,
            model=self._model,
            stamp=self._stamp(),
            threshold_kind="rehearsal",
            rehearsal=True,
        )
        self.log.add(monitor, message)
        logger.warning("monitor=%s rehearsal=%s type=%s", monitor, event.id, event.type.value)

    def rehearsed_notice(self, monitor: str, notice: MicrophoneNotice) -> None:
        """Record a microphone's fault that is only rehearsed, marked as such."""
        self.notice(monitor, notice, rehearsal=True)

    def notice(self, monitor: str, notice: MicrophoneNotice, *, rehearsal: bool = False) -> None:
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
            rehearsal=rehearsal,
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
            acked_at=None if event.acked_at is None else wall(event.acked_at),
        )

    def _recorded(self, recorded: Recorded[EventMessage] | Recorded[MicrophoneMessage]) -> None:
        self.metrics.outbox_dropped(recorded.dropped)
        message = recorded.message
        if not (isinstance(message, EventMessage) and message.held):
            self._line(message)

    def state(self, monitor: str, standing: Standing, profile: Profile | None) -> None:
        """Publish a monitor's state, retained."""
        self.states.show(monitor, standing, profile)

    def switched(self, monitor: str, switches: Switches) -> None:
        """Take note of how the switches of a monitor stand; published with its next state."""
        self.states.switched(monitor, switches)

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
        self.states.heard(monitor, scored, profile.percentile(scored.score))
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
