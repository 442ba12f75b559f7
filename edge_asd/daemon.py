"""The daemon: wiring, threads, signals, drain.

Threads: one ``capture-…`` a source, ``worker`` (the pipeline of all monitors), ``mqtt-pump``,
``http``, ``control``, and ``enrol-…`` while a profile is computed. The main thread watches them and
feeds systemd's watchdog only while all of them make progress.
"""

from __future__ import annotations

import logging
import os
import platform
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from prometheus_client import CollectorRegistry

from edge_asd import __version__
from edge_asd.bundle import Bundle
from edge_asd.bundle_store import choose_bundle
from edge_asd.capture import capture, parse_source
from edge_asd.clock import boot_id, clock_synchronized, rfc3339
from edge_asd.config import Config
from edge_asd.control import ControlServer, Reply
from edge_asd.engine import NetworkSet, open_networks
from edge_asd.health import Health, HealthBoard, ProgressWatch
from edge_asd.metrics import Metrics
from edge_asd.monitor import Monitor
from edge_asd.notify import Notifier
from edge_asd.profile import has_profile, load_profile
from edge_asd.publish.jsonl import JsonlSink
from edge_asd.publish.messages import HealthMessage, InfoMessage, ModelRef, MonitorInfo
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.mqtt_settings import MqttSettings, client_id_for
from edge_asd.publish.store import EventStore
from edge_asd.publish.topics import Topics, topic_segment
from edge_asd.records import State
from edge_asd.report import Reporter
from edge_asd.secrets import read_secret
from edge_asd.state_dir import StateLock, socket_path
from edge_asd.web.server import HttpServer
from edge_asd.worker import Feed, Worker

logger = logging.getLogger(__name__)

_TICK_S = 0.5
_PATIENCE_S = 30.0
"""A worker that does not move for so long is stuck."""
_DRAIN_S = 3.0
_WINDOWS_QUEUED = 20
"""Windows that the capture queue can hold, about (20 s of audio at a hop of a second)."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run, beside the operator's file."""

    state_dir: Path
    once: bool = False
    """Leave when finite sources are spent and everything is delivered."""


class Daemon:
    """One run of the daemon; see the module.

    Args:
        config: The operator's file.
        options: How to run.
        notifier: The service manager.
    """

    def __init__(self, config: Config, options: RunOptions, notifier: Notifier) -> None:
        self.config, self.options, self.notifier = config, options, notifier
        self.board = HealthBoard()
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, version=__version__)
        self.watch = ProgressWatch(_PATIENCE_S)
        self.topics = Topics(config.device)
        self.ready = False
        self._started_at = time.time()
        self._stop = threading.Event()
        self._closers: list[Callable[[], object]] = []  # called last to first
        self._published_health = b""

    def run(self) -> int:
        """Run until a signal, or with ``once`` until everything is done.

        Returns:
            The exit code.

        Raises:
            EdgeAsdError: It cannot start.
        """
        with StateLock(self.options.state_dir):
            try:
                worker, mqtt = self._start()
                self._install_signals()
                return self._supervise(worker, mqtt)
            finally:
                self.notifier.stopping()
                for close in reversed(self._closers):
                    close()

    # Start

    def _start(self) -> tuple[Worker, MqttSink | None]:
        names = [monitor.name for monitor in self.config.monitors]
        bundle = choose_bundle(self.options.state_dir, self.config.bundle, names)
        networks = open_networks(bundle)
        self._closers.append(networks.close)
        self.metrics.init_backend(networks.backend)
        model = ModelRef(
            name=bundle.manifest.name,
            version=bundle.manifest.version,
            sha256=bundle.sha256,
            backend=networks.backend,
        )
        self.metrics.set_model(model)
        store = EventStore(self.options.state_dir)
        self._closers.append(store.close)
        if store.moved_aside:
            text = f"the event database was damaged and lies at {store.moved_aside}"
            self.board.set("events", Health.WARNING, text)
        mqtt = self._open_mqtt(store, model)
        jsonl = JsonlSink(self.config.jsonl.path) if self.config.jsonl else None
        if jsonl:
            self._closers.append(jsonl.close)
        report = Reporter(
            self.config.device,
            store,
            mqtt=mqtt,
            jsonl=jsonl,
            metrics=self.metrics,
            health=self.board,
            model=model,
        )
        http = HttpServer(
            self.config.http.listen,
            board=self.board,
            registry=self.registry,
            stalled=self.watch.stalled,
            ready=lambda: self.ready,
        )
        self._closers.append(http.close)
        http.start()
        if mqtt:
            mqtt.start()
            self._closers.append(lambda: mqtt.close(_DRAIN_S))
            self.watch.watch("mqtt", lambda: mqtt.progress)
        monitors = self._monitors(networks, bundle, report, store)
        return self._start_worker(monitors, bundle, report), mqtt

    def _open_mqtt(self, store: EventStore, model: ModelRef) -> MqttSink | None:
        wanted = self.config.mqtt
        if wanted is None:
            return None
        settings = MqttSettings(
            url=wanted.url,
            client_id=client_id_for(self.config.device),
            username=wanted.username,
            password=read_secret(wanted.password_file, os.environ),
            ca_file=wanted.ca_file,
            cert_file=wanted.cert_file,
            key_file=wanted.key_file,
            protocol=wanted.protocol,
        )
        return MqttSink(
            settings,
            topics=self.topics,
            outbox=store.outbox,
            birth=self._birth(model).to_json(),
            metrics=self.metrics,
            rng=random.SystemRandom(),
        )

    def _birth(self, model: ModelRef) -> InfoMessage:
        names = [monitor.name for monitor in self.config.monitors]
        return InfoMessage(
            device=self.config.device,
            versions={"edge_asd": __version__, "python": platform.python_version()},
            monitors=tuple(MonitorInfo(name=n, topic_segment=topic_segment(n)) for n in names),
            model=model,
            started_at=rfc3339(self._started_at),
            boot_id=boot_id(),
        )

    def _monitors(
        self, networks: NetworkSet, bundle: Bundle, report: Reporter, store: EventStore
    ) -> list[Monitor]:
        monitors = []
        for config in self.config.monitors:
            self.metrics.init_monitor(config.name, queue_capacity=_WINDOWS_QUEUED)
            profile = None
            if has_profile(self.options.state_dir, config.name):
                profile = load_profile(self.options.state_dir, config.name, bundle)
            open_message = store.open_event(config.name)
            monitors.append(
                Monitor(
                    config,
                    networks,
                    self.options.state_dir,
                    report,
                    profile=profile,
                    open_event=open_message.to_event() if open_message else None,
                )
            )
        return monitors

    def _start_worker(self, monitors: list[Monitor], bundle: Bundle, report: Reporter) -> Worker:
        by_source: dict[str, list[Monitor]] = defaultdict(list)
        for monitor in monitors:
            by_source[monitor.config.source].append(monitor)
        feeds = []
        for source, listening in by_source.items():
            thread = capture(listening[0].name, source, once=self.options.once)
            self.watch.watch(thread.name, lambda thread=thread: thread.progress)  # type: ignore[misc]
            live = parse_source(source).live and not self.options.once
            feeds.append(Feed(thread, listening, live))
        worker = Worker(feeds, bundle, self.options.state_dir, report, _spawn)
        self.watch.watch("worker", lambda: worker.progress)
        runner = _spawn("worker", worker.run)
        self._closers.append(lambda: runner.join(_DRAIN_S))
        self._closers.append(worker.stop)
        server = ControlServer(
            socket_path(self.options.state_dir, os.environ),
            lambda request, progress: _wait_for(worker, request, progress),
        )
        _spawn("control", server.serve_forever)
        self._closers.append(server.close)
        for feed in feeds:
            # Closed before the worker stops, so that what it drains has an end.
            self._closers.append(feed.capture.close)
            feed.capture.start()
        return worker

    # Run

    def _install_signals(self) -> None:
        def stop(number: int, _frame: FrameType | None) -> None:
            logger.info("signal=%s stopping", signal.Signals(number).name)
            self._stop.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def _supervise(self, worker: Worker, mqtt: MqttSink | None) -> int:
        fed_at = 0.0
        interval = self.notifier.watchdog_interval_s
        while not self._stop.wait(_TICK_S):
            if worker.failure is not None:
                raise worker.failure
            self._observe(worker, mqtt)
            if not self.ready:
                # A missing microphone is a state, not a reason to hold up the boot.
                self.ready = True
                self.metrics.set_ready(True, started_at=self._started_at)
                self.notifier.ready()
                logger.info("ready monitors=%d device=%s", len(worker.monitors), self.config.device)
            stalled = self.watch.stalled()
            if interval is not None and not stalled and time.monotonic() - fed_at >= interval / 2:
                fed_at = time.monotonic()
                self.notifier.watchdog()
            if self.options.once and worker.finished and (mqtt is None or mqtt.idle):
                return _exit_code(worker)
        return 0

    def _observe(self, worker: Worker, mqtt: MqttSink | None) -> None:
        """Bring metrics, checks and the status line up to date."""
        for feed in worker.feeds:
            status = feed.capture.status()
            for monitor in feed.monitors:
                name = monitor.name
                self.metrics.set_capture_up(name, up=status.up)
                self.metrics.set_capture_restarts(name, status)
                queued = min(_WINDOWS_QUEUED, round(feed.capture.held_s))
                self.metrics.set_queue_length(name, queued)
                up = status.up or (status.finished and status.error is None)
                health = Health.HEALTHY if up else Health.CRITICAL
                self.board.set(f"capture/{name}", health, status.reason or "audio arrives")
        stalled = self.watch.stalled()
        text = "stalled: " + ", ".join(stalled) if stalled else "all workers make progress"
        self.board.set("workers", Health.CRITICAL if stalled else Health.HEALTHY, text)
        self.metrics.set_clock_synchronized(clock_synchronized())
        if mqtt:
            self.board.set("mqtt", *mqtt.health())
            self._publish_health(mqtt)
        self.notifier.status(self._status_line(worker, mqtt))

    def _publish_health(self, mqtt: MqttSink) -> None:
        checks = self.board.snapshot()
        shown = repr(sorted((n, c.status.value) for n, c in checks.items())).encode()
        if shown == self._published_health:
            return
        self._published_health = shown
        message = HealthMessage.from_checks(
            self.board.worst(), checks, device=self.config.device, updated_at=time.time()
        )
        mqtt.set_retained(self.topics.health, message.to_json())

    @staticmethod
    def _status_line(worker: Worker, mqtt: MqttSink | None) -> str:
        states = [monitor.standing.state for monitor in worker.monitors]
        up = sum(feed.capture.status().up for feed in worker.feeds)
        broker = "none" if mqtt is None else "up" if mqtt.connected else "down"
        counts = ", ".join(
            f"{state.value} {states.count(state)}" for state in State if state in states
        )
        return f"{up}/{len(worker.feeds)} sources, {counts}, broker {broker}"


def _spawn(name: str, body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body, name=name, daemon=True)
    thread.start()
    return thread


def _wait_for(worker: Worker, request: dict[str, Any], progress: Reply) -> dict[str, Any]:
    """Carry a request to the worker and wait; called in a thread of the control socket."""
    return worker.submit(request, progress).result()


def _exit_code(worker: Worker) -> int:
    errors = [feed.capture.status().error for feed in worker.feeds]
    failed = [error for error in errors if error is not None]
    return failed[0].exit_code if failed else 0
