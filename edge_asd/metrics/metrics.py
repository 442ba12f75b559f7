"""Every metric under the name that operators see; all of them exist, at zero, from the start.

Times are exported as timestamps, not ages; 0 stands for *never* and for *nothing waits*.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from edge_asd.capture.status import CaptureStatus
from edge_asd.metrics.commands import CommandMetrics
from edge_asd.metrics.engine import EngineMetrics
from edge_asd.metrics.health import HealthMetrics
from edge_asd.metrics.hearing import HearingMetrics
from edge_asd.publish.messages import ModelRef
from edge_asd.publish.outbox import Dropped, DropReason, RowClass, Stats
from edge_asd.records import Severity, State

WINDOW_RESULTS = ("scored", "gapped", "dropped", "inhibited", "idle", "flawed", "skipped")
RESTART_REASONS = ("exited", "stalled", "open_failed")
SUPPRESS_REASONS = ("cooldown", "snoozed")
LATENCY_STAGES = ("queue", "features", "inference", "total", "puback")
"""``queue`` is the audio that waits behind a window, ``total`` the time from its last sample to its
score: both grow when scoring is late, the two between them do not. ``puback`` runs on until the
broker has the event that a window caused."""
CONNECT_RESULTS = ("accepted", "refused", "unreachable", "silent")
SESSION_CLASSES = ("state", "reply", "telemetry")
RECEIVED_RESULTS = ("handled", "failed", "too_large")

_SCORE_BUCKETS = (-2, -1, 0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50)
_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """All metrics of one daemon; safe to use from every thread.

    Args:
        registry: Where they are registered; a registry of its own, never the global one.
        version: Version of edge-asd.
        revision: Source revision it was built from; empty when unknown.
    """

    def __init__(self, registry: CollectorRegistry, *, version: str, revision: str = "") -> None:
        # The `_created` series double the output and carry nothing that is asked for here.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._registry = registry
        self._restarts_seen: dict[tuple[str, str], int] = {}
        self._init_process(version, revision)
        self._init_capture()
        self._init_scoring()
        self._init_delivery()
        self.hearing = HearingMetrics(registry)
        self.commands = CommandMetrics(registry)
        self.health = HealthMetrics(registry)
        self.engine = EngineMetrics(registry)

    def init_monitor(self, monitor: str, *, queue_capacity: int) -> None:
        """Export every series of a monitor as zero.

        Args:
            monitor: Its name.
            queue_capacity: Windows that may wait to be scored.
        """
        for metric in self._per_monitor:
            metric.labels(monitor)
        for metric, values in self._per_monitor_and:
            for value in values:
                metric.labels(monitor, value)
        self._window_queue_capacity.labels(monitor).set(queue_capacity)
        self.hearing.init_monitor(monitor)

    def set_ready(self, ready: bool, *, started_at: float) -> None:  # noqa: FBT001
        """Say whether the daemon is ready, and since when it runs (wall time)."""
        self._ready.set(ready)
        self._start_time.set(started_at)

    def set_model(self, model: ModelRef) -> None:
        """Name the network that scores now; the one before disappears."""
        self._model_info.clear()
        self._model_info.labels(model.name, model.version, model.sha256[:12], model.backend).set(1)

    def set_clock_synchronized(self, synchronized: bool | None) -> None:  # noqa: FBT001
        """1, 0, or NaN when it cannot be known."""
        self._clock_synchronized.set(math.nan if synchronized is None else synchronized)

    def clock_stepped(self) -> None:
        """Count a time at which the wall clock was set."""
        self._clock_steps.inc()

    # Capture

    def set_capture_up(self, monitor: str, *, up: bool) -> None:
        """Say whether audio arrives."""
        self._capture_up.labels(monitor).set(up)

    def captured(self, monitor: str, frames: int, *, at: float, level_dbfs: float) -> None:
        """Count a block: its sample frames, the wall time of its end and its level."""
        self._capture_frames.labels(monitor).inc(frames)
        self._capture_last_frame.labels(monitor).set(at)
        self._audio_level.labels(monitor).set(level_dbfs)

    def capture_overflowed(self, monitor: str) -> None:
        """Count a report of the driver that it lost audio."""
        self._capture_overflows.labels(monitor).inc()

    def capture_lost(self, monitor: str, seconds: float) -> None:
        """Count lost audio."""
        self._capture_lost.labels(monitor).inc(seconds)

    def set_capture_restarts(self, monitor: str, status: CaptureStatus) -> None:
        """Bring the restarts of a source up to what it counted."""
        for reason in RESTART_REASONS:
            before = self._restarts_seen.get((monitor, reason), 0)
            count = int(getattr(status, reason))
            self._capture_restarts.labels(monitor, reason).inc(
                count - before if count >= before else count
            )
            self._restarts_seen[monitor, reason] = count

    # Scoring

    def windows(self, monitor: str, result: str, count: int = 1) -> None:
        """Count windows; ``result`` is one of ``WINDOW_RESULTS``."""
        self._windows.labels(monitor, result).inc(count)

    def set_queue_length(self, monitor: str, length: int) -> None:
        """Windows that wait now."""
        self._window_queue_length.labels(monitor).set(length)

    def latency(self, stage: str, seconds: float) -> None:
        """Time a window spent; ``stage`` is one of ``LATENCY_STAGES``."""
        self._window_latency.labels(stage).observe(seconds)

    def init_backend(self, backend: str) -> None:
        """Export the errors of a runtime as zero."""
        self._inference_errors.labels(backend)

    def inference_error(self, backend: str) -> None:
        """Count a failure of a runtime."""
        self._inference_errors.labels(backend).inc()

    def scored(self, monitor: str, score: float) -> None:
        """Take in a score; one that is not finite leaves the histogram alone."""
        self._anomaly_score.labels(monitor).set(score)
        if math.isfinite(score):
            self._anomaly_scores.labels(monitor).observe(score)

    def set_threshold(self, monitor: str, severity: Severity, threshold: float) -> None:
        """Threshold in force."""
        self._anomaly_threshold.labels(monitor, severity.value).set(threshold)

    def set_state(self, monitor: str, state: State, severity: Severity | None) -> None:
        """State of a monitor, one of all is 1, and the severity of the alert that is going on."""
        for each in State:
            self._monitor_state.labels(monitor, each.value).set(each is state)
        for level in Severity:
            self._alert_active.labels(monitor, level.value).set(level is severity)

    def alert(self, monitor: str, severity: Severity) -> None:
        """Count a new alert, or one that became worse, under its severity."""
        self._alerts.labels(monitor, severity.value).inc()

    def alert_suppressed(self, monitor: str, reason: str) -> None:
        """Count an alert that was due but held back; one of ``SUPPRESS_REASONS``."""
        self._alerts_suppressed.labels(monitor, reason).inc()

    # Delivery

    def set_mqtt_connected(self, connected: bool) -> None:  # noqa: FBT001
        """Say whether the broker accepted the connection."""
        self._mqtt_connected.set(connected)

    def mqtt_connect(self, result: str) -> None:
        """Count an attempt; ``result`` is one of ``CONNECT_RESULTS``."""
        self._mqtt_connects.labels(result).inc()

    def mqtt_publish(self, message_class: str, result: str) -> None:
        """Count a message by its class (of the outbox, or ``SESSION_CLASSES``) and what became."""
        self._mqtt_publishes.labels(message_class, result).inc()

    def mqtt_received(self, result: str) -> None:
        """Count a message of somebody else; ``result`` is one of ``RECEIVED_RESULTS``."""
        self._mqtt_received.labels(result).inc()

    def mqtt_duplicate_client(self) -> None:
        """Count a sign of another daemon under our name."""
        self._mqtt_duplicates.inc()

    def set_outbox(self, stats: Stats) -> None:
        """How full the outbox is."""
        self._outbox_messages.set(stats.messages)
        self._outbox_bytes.set(stats.bytes)
        self._outbox_oldest.set(stats.oldest_at or 0)

    def outbox_dropped(self, dropped: Iterable[Dropped]) -> None:
        """Count what the outbox gave up."""
        for loss in dropped:
            self._outbox_dropped.labels(loss.row_class.value, loss.reason.value).inc(loss.count)

    # Construction

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"edge_asd_{name}", text, labels, registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"edge_asd_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, label: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(
            f"edge_asd_{name}", text, (label,), registry=self._registry, buckets=buckets
        )

    def _init_process(self, version: str, revision: str) -> None:
        build = self._gauge("build_info", "What runs.", "version", "revision", "python")
        build.labels(version, revision, platform.python_version()).set(1)
        self._model_info = self._gauge(
            "model_info", "The network that scores.", "model", "version", "sha256_12", "backend"
        )
        self._start_time = self._gauge("start_time_seconds", "Wall time of the start.")
        self._ready = self._gauge("ready", "1 once the daemon is ready.")
        self._clock_synchronized = self._gauge(
            "clock_synchronized", "1 while the wall clock follows a reference, NaN if unknown."
        )
        self._clock_steps = self._counter("clock_steps_total", "Times the wall clock was set.")

    def _init_capture(self) -> None:
        m = "monitor"
        self._capture_up = self._gauge("capture_up", "1 while audio arrives.", m)
        self._capture_frames = self._counter("capture_frames_total", "Sample frames captured.", m)
        self._capture_overflows = self._counter(
            "capture_overflows_total", "Times the driver lost audio.", m
        )
        self._capture_lost = self._counter("capture_lost_seconds_total", "Audio lost.", m)
        self._capture_restarts = self._counter(
            "capture_restarts_total", "Restarts of the source.", m, "reason"
        )
        self._capture_last_frame = self._gauge(
            "capture_last_frame_timestamp_seconds", "Wall time of the last sample, 0 for never.", m
        )
        self._audio_level = self._gauge("audio_level_dbfs", "Level before the gain.", m)

    def _init_scoring(self) -> None:
        m = "monitor"
        self._windows = self._counter(
            "windows_total", "Windows by what became of them.", m, "result"
        )
        self._window_queue_length = self._gauge("window_queue_length", "Windows that wait.", m)
        self._window_queue_capacity = self._gauge("window_queue_capacity", "Windows that may.", m)
        self._window_latency = self._histogram(
            "window_latency_seconds", "Until a window was scored.", "stage", _LATENCY_BUCKETS
        )
        self._inference_errors = self._counter(
            "inference_errors_total", "Failures of the inference runtime.", "backend"
        )
        self._anomaly_score = self._gauge("anomaly_score", "Latest score.", m)
        self._anomaly_threshold = self._gauge("anomaly_threshold", "In force.", m, "severity")
        self._anomaly_scores = self._histogram("anomaly_scores", "Scores.", m, _SCORE_BUCKETS)
        self._alert_active = self._gauge("alert_active", "1 during an alert.", m, "severity")
        self._alerts = self._counter("alerts_total", "Alerts raised.", m, "severity")
        self._alerts_suppressed = self._counter(
            "alerts_suppressed_total", "Alerts held back.", m, "reason"
        )
        self._monitor_state = self._gauge("monitor_state", "1 for the current state.", m, "state")
        for stage in LATENCY_STAGES:
            self._window_latency.labels(stage)
        self._per_monitor: tuple[Gauge | Counter | Histogram, ...] = (
            self._capture_up,
            self._capture_frames,
            self._capture_overflows,
            self._capture_lost,
            self._capture_last_frame,
            self._audio_level,
            self._window_queue_length,
            self._window_queue_capacity,
            self._anomaly_score,
            self._anomaly_scores,
        )
        severities = tuple(severity.value for severity in Severity)
        self._per_monitor_and: tuple[tuple[Gauge | Counter, tuple[str, ...]], ...] = (
            (self._capture_restarts, RESTART_REASONS),
            (self._windows, WINDOW_RESULTS),
            (self._anomaly_threshold, severities),
            (self._alert_active, severities),
            (self._alerts, severities),
            (self._alerts_suppressed, SUPPRESS_REASONS),
            (self._monitor_state, tuple(state.value for state in State)),
        )

    def _init_delivery(self) -> None:
        self._mqtt_connected = self._gauge("mqtt_connected", "1 while the broker accepts.")
        self._mqtt_connects = self._counter(
            "mqtt_connect_attempts_total", "Attempts to connect.", "result"
        )
        self._mqtt_publishes = self._counter(
            "mqtt_publish_total", "Messages by what became of them.", "class", "result"
        )
        self._mqtt_received = self._counter(
            "mqtt_received_total", "Messages of others by what became of them.", "result"
        )
        self._mqtt_duplicates = self._counter(
            "mqtt_duplicate_clients_total", "Signs of another daemon under our name."
        )
        self._outbox_messages = self._gauge("outbox_messages", "Messages that wait.")
        self._outbox_bytes = self._gauge("outbox_bytes", "Their size.")
        self._outbox_oldest = self._gauge(
            "outbox_oldest_timestamp_seconds", "Wall time of the oldest, 0 when none waits."
        )
        self._outbox_dropped = self._counter(
            "outbox_dropped_total", "Messages given up.", "class", "reason"
        )
        for result in CONNECT_RESULTS:
            self._mqtt_connects.labels(result)
        for row_class in RowClass:
            for reason in DropReason:
                self._outbox_dropped.labels(row_class.value, reason.value)
            for result in ("delivered", "no_subscribers", "refused"):
                self._mqtt_publishes.labels(row_class.value, result)
        for result in RECEIVED_RESULTS:
            self._mqtt_received.labels(result)
        for result in ("delivered", "no_subscribers", "refused"):
            self._mqtt_publishes.labels("state", result)
            self._mqtt_publishes.labels("reply", result)
        self._mqtt_publishes.labels("reply", "dropped")
        for result in ("sent", "dropped"):
            self._mqtt_publishes.labels("telemetry", result)
