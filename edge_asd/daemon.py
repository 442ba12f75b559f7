"""The daemon: wiring, threads, signals, drain.

Threads: one ``capture-…`` a source, ``worker`` (the pipeline of all monitors), ``mqtt-pump``,
``http``, ``control``, and ``enrol-…`` while a profile is computed. The main thread watches them and
feeds systemd's watchdog only while all of them make progress.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from prometheus_client import CollectorRegistry

from edge_asd import __version__
from edge_asd.books import Books
from edge_asd.bundle import Bundle
from edge_asd.bundle_store import choose_bundle
from edge_asd.capture import capture
from edge_asd.config import Config
from edge_asd.control import ControlServer, Reply
from edge_asd.engine import NetworkSet, open_networks
from edge_asd.evidence.desk import EvidenceDesk
from edge_asd.health import HealthBoard, ProgressWatch
from edge_asd.history import History
from edge_asd.ledger import Ledger
from edge_asd.manifest import Manifest
from edge_asd.metrics import Metrics
from edge_asd.monitor import Monitor
from edge_asd.notify import Notifier
from edge_asd.observe import WINDOWS_QUEUED, Observer
from edge_asd.profile import has_profile, load_profile
from edge_asd.publish.connect import open_mqtt
from edge_asd.publish.jsonl import JsonlSink
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.payload import ModelRef
from edge_asd.publish.store import EventStore
from edge_asd.report import Reporter
from edge_asd.state_dir import StateLock, socket_path
from edge_asd.steady import SteadyClock
from edge_asd.web.server import HttpServer
from edge_asd.worker import Feed, Worker

logger = logging.getLogger(__name__)

_TICK_S = 0.5
_DAY_S = 86400.0
_PATIENCE_S = 30.0
"""A worker that does not move for so long is stuck."""
# Together with the broker's goodbye (2 s) the end stays below 5 s, whatever hangs.
_DRAIN_S = 1.0
_WORKER_S = 2.0
_MQTT_S = 0.8


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
        self.clock = SteadyClock()
        self.ready = False
        self._started_at = self.clock.now()
        self._stop = threading.Event()
        self._closers: list[Callable[[], object]] = []  # called last to first

    def run(self) -> int:
        """Run until a signal, or with ``once`` until everything is done.

        Returns:
            The exit code.

        Raises:
            EdgeAsdError: It cannot start.
        """
        with StateLock(self.options.state_dir):
            self._install_signals()
            try:
                worker, mqtt = self._start()
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
        outbox = self.config.outbox
        store = EventStore(
            self.options.state_dir,
            max_bytes=int(outbox.max_mb * 2**20),
            max_age_s=outbox.max_days * _DAY_S,
        )
        self._closers.append(store.close)
        mqtt = open_mqtt(
            self.config, store.outbox, model, self.metrics, started_at=self._started_at
        )
        jsonl = JsonlSink(self.config.jsonl.path) if self.config.jsonl else None
        if jsonl:
            self._closers.append(jsonl.close)
        report = Reporter(
            self.config.device,
            store,
            self._open_books(bundle.manifest),
            mqtt=mqtt,
            jsonl=jsonl,
            metrics=self.metrics,
            health=self.board,
            model=model,
            clock=self.clock,
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
            self._closers.append(lambda: mqtt.close(_MQTT_S))
            self.watch.watch("mqtt", lambda: mqtt.progress)
        monitors = self._monitors(networks, bundle, report, store)
        return self._start_worker(monitors, bundle, report), mqtt

    def _open_books(self, manifest: Manifest) -> Books:
        days = self.config.history
        ledger = Ledger(self.options.state_dir, self.clock, keep_s=days.ledger_days * _DAY_S)
        self._closers.append(ledger.close)
        history = History(self.options.state_dir, self.clock, keep_s=days.score_days * _DAY_S)
        self._closers.append(history.close)
        evidence = EvidenceDesk(
            self.config.evidence,
            self.config.device,
            self.options.state_dir,
            manifest,
            clock=self.clock,
            count=self.metrics.hearing.evidence,
        )
        self._closers.append(evidence.close)
        evidence.start()
        return Books(
            ledger,
            history,
            evidence,
            clock=self.clock,
            metrics=self.metrics,
            health=self.board,
        )

    def _monitors(
        self, networks: NetworkSet, bundle: Bundle, report: Reporter, store: EventStore
    ) -> list[Monitor]:
        monitors = []
        for config in self.config.monitors:
            self.metrics.init_monitor(config.name, queue_capacity=WINDOWS_QUEUED)
            profile = None
            if has_profile(self.options.state_dir, config.name):
                profile = load_profile(self.options.state_dir, config.name, bundle)
            open_message, open_notice = (
                store.open_event(config.name),
                store.open_notice(config.name),
            )
            monitors.append(
                Monitor(
                    config,
                    networks,
                    self.options.state_dir,
                    report,
                    profile=profile,
                    open_event=open_message.to_event() if open_message else None,
                    open_notice=open_notice.to_notice() if open_notice else None,
                    microphone=self.config.microphone,
                    evidence=self.config.evidence,
                )
            )
        return monitors

    def _start_worker(self, monitors: list[Monitor], bundle: Bundle, report: Reporter) -> Worker:
        by_source: dict[str, list[Monitor]] = defaultdict(list)
        for monitor in monitors:
            by_source[monitor.config.source].append(monitor)
        feeds = []
        for source, listening in by_source.items():
            thread = capture(
                listening[0].name,
                source,
                once=self.options.once,
                channels=1 + max(monitor.config.channel for monitor in listening),
                clock=self.clock,
                expected_identity=_enrolled_with(listening),
            )
            self.watch.watch(thread.name, lambda thread=thread: thread.progress)  # type: ignore[misc]
            feeds.append(Feed(thread, listening, thread.live))
        worker = Worker(
            feeds, bundle, self.options.state_dir, report, spawn=_spawn, drain_s=_DRAIN_S
        )
        self.watch.watch("worker", lambda: worker.progress)
        server = ControlServer(
            socket_path(self.options.state_dir, os.environ),
            lambda request, progress: _wait_for(worker, request, progress),
        )
        _spawn("control", server.serve_forever)
        runner = _spawn("worker", worker.run)
        self._closers.append(lambda: self._close_worker(worker, runner, server))
        for feed in feeds:
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
        observer = Observer(
            self.config.device,
            worker,
            mqtt,
            metrics=self.metrics,
            board=self.board,
            watch=self.watch,
            notifier=self.notifier,
            clock=self.clock,
        )
        while not self._stop.is_set():
            if worker.failure is not None:
                raise worker.failure
            observer.look()
            if not self.ready:
                # A missing microphone is a state, not a reason to hold up the boot.
                self.ready = True
                self.metrics.set_ready(True, started_at=self._started_at)
                self.notifier.ready()
                logger.info("ready monitors=%d device=%s", len(worker.monitors), self.config.device)
            if self._done(worker, mqtt):
                if worker.errors:
                    raise worker.errors[0]
                return 0
            self._stop.wait(_TICK_S)
        return 0

    def _done(self, worker: Worker, mqtt: MqttSink | None) -> bool:
        """Whether nothing is left to do: with ``once``, or because no source can be used."""
        if not worker.finished:
            return False
        if self.options.once:
            return mqtt is None or mqtt.idle
        return all(feed.capture.status().error is not None for feed in worker.feeds)

    def _close_worker(
        self, worker: Worker, runner: threading.Thread, server: ControlServer
    ) -> None:
        """End sources and commands, and let the worker take in what they had delivered."""
        until = time.monotonic() + _WORKER_S
        worker.stop()  # first: the end of a source that we close ourselves means nothing
        closing = [
            _spawn(f"close-{feed.capture.name}", feed.capture.close) for feed in worker.feeds
        ]
        closing.append(_spawn("close-control", server.close))
        for thread in (*closing, runner):
            thread.join(max(0.0, until - time.monotonic()))
        worker.stop_enrolments(max(0.1, until - time.monotonic()))
        if runner.is_alive():
            logger.warning("worker does not stop, left behind")


def _enrolled_with(monitors: Sequence[Monitor]) -> str:
    """The microphone that the profiles of a source were enrolled with, as far as they know."""
    profiles = [monitor.profile for monitor in monitors if monitor.profile]
    return next((profile.microphone for profile in profiles if profile.microphone), "")


def _spawn(name: str, body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body, name=name, daemon=True)
    thread.start()
    return thread


def _wait_for(worker: Worker, request: dict[str, Any], progress: Reply) -> dict[str, Any]:
    """Carry a request to the worker and wait; called in a thread of the control socket."""
    return worker.submit(request, progress).result()
