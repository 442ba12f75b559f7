"""The retained topics of monitors: what is known, whether there is an alarm, what is switched.

What a snooze silences shows in the state, whose words stay true, and nowhere else: ``alarm`` stays
``OFF`` and the metric of active alerts 0. A rehearsal lies over what is known, marked as one, until
something real happens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from edge_asd.clock import rfc3339
from edge_asd.metrics.metrics import Metrics
from edge_asd.operators.switches import Switches
from edge_asd.profile import Profile
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.payload import Audio, ModelRef, Stamp
from edge_asd.publish.standing import HEARTBEAT_S, StateMessage
from edge_asd.publish.topics import Topics
from edge_asd.records import Scored
from edge_asd.report.standing import Standing
from edge_asd.steady import SteadyClock

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Shown:
    """Everything that is shown of one monitor."""

    standing: Standing | None = None
    profile: Profile | None = None
    switches: Switches = field(default_factory=Switches)
    rehearsed: Standing | None = None
    """Lies over ``standing``."""
    level_dbfs: float | None = None
    """Of the newest window."""
    sent_s: float = 0.0
    """Steady time."""


class StateBoard:
    """Publishes how monitors stand; called by the worker only.

    Args:
        device: Name of this device.
        model: What scores.
        metrics: Prometheus.
        clock: Steady time, and what wall time it is.
        stamp: What orders messages.
    """

    def __init__(
        self,
        device: str,
        model: ModelRef,
        *,
        metrics: Metrics,
        clock: SteadyClock,
        stamp: Callable[[], Stamp],
    ) -> None:
        self._device, self._model = device, model
        self._topics = Topics(device)
        self._metrics, self._clock, self._stamp = metrics, clock, stamp
        self._mqtt: MqttSink | None = None
        self._things: frozenset[str] = frozenset()
        self._monitors: dict[str, _Shown] = {}

    def connect(self, mqtt: MqttSink | None, things: Collection[str]) -> None:
        """Publish there from now on, and everything once more.

        Args:
            mqtt: The broker's sink, None without MQTT.
            things: Switches that can be set over MQTT; only those have a topic of their own.
        """
        self._mqtt, self._things = mqtt, frozenset(things)
        for monitor, shown in self._monitors.items():
            self._publish(monitor, shown)

    def follow(self, model: ModelRef) -> None:
        """Another model scores from now on: everything is published once more."""
        self._model = model
        for monitor, shown in self._monitors.items():
            self._publish(monitor, shown)

    def show(self, monitor: str, standing: Standing, profile: Profile | None) -> None:
        """Say what is known of a monitor."""
        self._publish(monitor, replace(self._of(monitor), standing=standing, profile=profile))

    def heard(self, monitor: str, scored: Scored, percentile: float) -> None:
        """Take note of a window; it is shown with whatever is sent next."""
        shown = self._of(monitor)
        if shown.standing is not None:
            standing = replace(shown.standing, score=scored.score, percentile=percentile)
            shown = replace(shown, standing=standing, level_dbfs=scored.level_dbfs)
            self._monitors[monitor] = shown

    def look(self) -> None:
        """Send again what was last sent a heartbeat ago."""
        now_s = self._clock.now()
        for monitor, shown in self._monitors.items():
            if now_s - shown.sent_s >= HEARTBEAT_S:
                self._publish(monitor, shown)

    def switched(self, monitor: str, switches: Switches) -> None:
        """Take note of how the switches of a monitor stand; ``show`` says it."""
        self._monitors[monitor] = replace(self._of(monitor), switches=switches)

    def rehearse(self, monitor: str, standing: Standing | None) -> None:
        """Say something that is not so, marked as such; None for the truth again."""
        self._publish(monitor, replace(self._of(monitor), rehearsed=standing))

    def snoozed_until(self, monitor: str) -> float | None:
        """Wall time at which the snooze of a monitor ends; None without one."""
        return self._wall(self._of(monitor).switches.snoozed_until)

    def forget(self, monitor: str) -> None:
        """A monitor is gone."""
        self._monitors.pop(monitor, None)

    # Inside

    def _of(self, monitor: str) -> _Shown:
        return self._monitors.get(monitor, _Shown())

    def _wall(self, steady_s: float | None) -> float | None:
        return None if steady_s is None else self._clock.wall(steady_s)

    def _publish(self, monitor: str, shown: _Shown) -> None:
        self._monitors[monitor] = replace(shown, sent_s=self._clock.now())
        if shown.standing is None:
            return
        event = shown.standing.event
        raised = None if event is None or event.held or shown.switches.snoozed else event.severity
        self._metrics.set_state(monitor, shown.standing.state, raised)
        if self._mqtt is None:
            return
        rehearsed = shown.rehearsed if event is None else None  # what is real comes first
        standing = rehearsed or shown.standing
        alarm = bool(rehearsed.event) if rehearsed else bool(raised)
        message = self._message(monitor, shown, standing, rehearsal=rehearsed is not None)
        self._mqtt.set_retained(self._topics.state(monitor), message.to_json())
        self._mqtt.set_retained(self._topics.alarm(monitor), _on(alarm))
        for thing, payload in self._switch_payloads(shown).items():
            if thing in self._things:
                self._mqtt.set_retained(self._topics.thing_state(monitor, thing), payload)

    @staticmethod
    def _switch_payloads(shown: _Shown) -> dict[str, bytes]:
        switches, event = shown.switches, shown.standing.event if shown.standing else None
        asked_s = (switches.snooze.asked_s or 0.0) if switches.snooze else 0.0
        minutes = f"{math.ceil(asked_s / _MINUTE_S * 1000) / 1000:g}"
        return {
            "enabled": _on(switches.enabled),
            "inhibit": _on(switches.inhibited),
            "snooze": minutes.encode(),
            "ack": _on(event is not None and event.acked_by is not None),
        }

    def _message(
        self, monitor: str, shown: _Shown, standing: Standing, *, rehearsal: bool
    ) -> StateMessage:
        calibration = shown.profile.calibration if shown.profile else None
        event, switches = standing.event, shown.switches
        if event is not None and event.held:
            event = None  # nobody was told of it: its id would lead nowhere
        inhibited_until = self._wall(switches.inhibited_until)
        snoozed_until = self._wall(switches.snoozed_until)
        acked_at = self._wall(event.acked_at) if event else None
        return StateMessage(
            device=self._device,
            source=monitor,
            state=standing.state,
            reason=standing.reason,
            score=standing.score,
            percentile=standing.percentile,
            threshold=calibration.threshold if calibration else None,
            severity=event.severity if event else None,
            audio=None if shown.level_dbfs is None else Audio(dbfs=shown.level_dbfs),
            progress=standing.progress,
            provisional=bool(calibration and calibration.provisional),
            rate_asked_per_week=calibration.asked_per_week if calibration else None,
            rate_supported_per_week=calibration.supported_per_week if calibration else None,
            model=self._model,
            updated_at=rfc3339(self._clock.wall(self._clock.now())),
            event_id=event.id if event else None,
            enabled=switches.enabled,
            inhibited_until=None if inhibited_until is None else rfc3339(inhibited_until),
            snoozed_until=None if snoozed_until is None else rfc3339(snoozed_until),
            acked_by=event.acked_by if event else None,
            acked_at=None if acked_at is None else rfc3339(acked_at),
            rehearsal=rehearsal,
            **dict(self._stamp()),
        )


def _on(condition: bool) -> bytes:  # noqa: FBT001 - this is all it does
    return b"ON" if condition else b"OFF"
