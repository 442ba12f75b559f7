"""What the daemon shows of itself every second: metrics, checks, and systemd's status line."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from edge_asd.clock import clock_synchronized
from edge_asd.health import Health, HealthBoard, ProgressWatch
from edge_asd.metrics.metrics import Metrics
from edge_asd.notify import Notifier
from edge_asd.publish.messages import HealthMessage
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.topics import Topics
from edge_asd.records import State
from edge_asd.steady import SteadyClock
from edge_asd.worker.feed import Feed
from edge_asd.worker.worker import Worker

logger = logging.getLogger(__name__)

WINDOWS_QUEUED = 20
"""Windows that the capture queue can hold, about (20 s of audio at a hop of a second)."""


class Observer:
    """Brings everything that is shown up to date; used by the main thread.

    Args:
        device: Name of this device.
        worker: Whose sources and monitors are shown.
        mqtt: The broker's sink, None without MQTT.
        metrics: Prometheus.
        board: The checks.
        watch: Which threads move.
        notifier: The service manager.
        clock: Steady time; looked at here, so that messages show the wall clock as it is.
    """

    def __init__(
        self,
        device: str,
        worker: Worker,
        mqtt: MqttSink | None,
        *,
        metrics: Metrics,
        board: HealthBoard,
        watch: ProgressWatch,
        notifier: Notifier,
        clock: SteadyClock,
    ) -> None:
        self._clock = clock
        self._device, self._worker, self._mqtt = device, worker, mqtt
        self._metrics, self._board, self._watch = metrics, board, watch
        self._notifier = notifier
        self._published: list[tuple[str, str]] = []
        self._status = ""
        self._fed_at = -float("inf")

    def connect(self, mqtt: MqttSink | None) -> None:
        """Show this connection from now on."""
        self._mqtt, self._published = mqtt, []
        if mqtt is None:
            self._board.remove("mqtt")
            self._board.remove("outbox")
            self._metrics.set_mqtt_connected(False)

    def look(self) -> None:
        """Look at everything once."""
        step = self._clock.look()
        if step is not None:
            logger.warning("wall clock was set by %+.1f s", step.by_s)
            self._metrics.clock_stepped()
        for feed in self._worker.feeds:
            self._look_at(feed)
        stalled = self._watch.stalled()
        text = "all workers make progress"
        if stalled:
            text = f"stalled: {', '.join(stalled)}; systemd restarts what stands still, else do so"
        self._board.set("workers", Health.CRITICAL if stalled else Health.HEALTHY, text)
        self._metrics.set_clock_synchronized(clock_synchronized())
        if self._mqtt:
            self._board.set("mqtt", *self._mqtt.health())
            self._board.set("outbox", *self._mqtt.outbox_health())
            self._publish_health(self._mqtt)
        self._metrics.health.set(check.status for check in self._board.snapshot().values())
        self._tell_service_manager(stalled)

    def _look_at(self, feed: Feed) -> None:
        status = feed.capture.status()
        health = Health.CRITICAL
        if status.starting:
            health = Health.UNKNOWN
        elif status.up or (status.finished and status.error is None):
            health = Health.WARNING if status.warning else Health.HEALTHY
        text = status.reason or status.warning or "audio arrives"
        for monitor in feed.monitors:
            name = monitor.name
            self._metrics.set_capture_up(name, up=status.up)
            self._metrics.set_capture_restarts(name, status)
            self._metrics.hearing.set_capture(name, status)
            self._metrics.set_queue_length(name, min(WINDOWS_QUEUED, round(feed.capture.held_s)))
            # Whoever does maintenance may unplug the microphone.
            inhibited = monitor.standing.state is State.INHIBITED
            shown = Health.SKIPPED if inhibited else health
            self._board.set(f"capture/{name}", shown, text)

    def _publish_health(self, mqtt: MqttSink) -> None:
        """Publish the checks when one of them changed its mind."""
        checks = self._board.snapshot()
        shown = [(name, check.status.value) for name, check in checks.items()]
        if shown == self._published:
            return
        self._published = shown
        message = HealthMessage.from_checks(
            self._board.worst(), checks, device=self._device, updated_at=time.time()
        )
        mqtt.set_retained(Topics(self._device).health, message.to_json())

    def _tell_service_manager(self, stalled: Sequence[str]) -> None:
        status = self._status_line()
        if status != self._status:
            self._status = status
            self._notifier.status(status)
        interval, now = self._notifier.watchdog_interval_s, time.monotonic()
        # Half of the interval, because this is asked only now and then.
        if interval is not None and not stalled and now - self._fed_at >= interval / 2:
            self._fed_at = now
            self._notifier.watchdog()

    def _status_line(self) -> str:
        feeds, monitors = self._worker.feeds, self._worker.monitors
        states = [monitor.standing.state for monitor in monitors]
        up = sum(feed.capture.status().up for feed in feeds)
        broker = "none" if self._mqtt is None else "up" if self._mqtt.connected else "down"
        counts = ", ".join(
            f"{state.value} {states.count(state)}" for state in State if state in states
        )
        return f"{up}/{len(feeds)} sources, {counts}, broker {broker}"
