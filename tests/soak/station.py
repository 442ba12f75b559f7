"""The daemon's parts wired as `edge_asd.daemon` wires them, on a clock and sources of the soak."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from prometheus_client import CollectorRegistry

from edge_asd.books.books import Books
from edge_asd.books.history import History
from edge_asd.books.ledger import Ledger
from edge_asd.books.ledger_timeline import whole
from edge_asd.bundle import Bundle
from edge_asd.config import Config
from edge_asd.engine import open_networks
from edge_asd.evidence.desk import EvidenceDesk
from edge_asd.health import HealthBoard, ProgressWatch
from edge_asd.metrics.metrics import Metrics
from edge_asd.monitor.monitor import Monitor
from edge_asd.notify import Notifier
from edge_asd.observe import WINDOWS_QUEUED, Observer
from edge_asd.profile import has_profile, load_profile
from edge_asd.protocols import AudioSource
from edge_asd.publish.connect import open_mqtt
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.payload import ModelRef
from edge_asd.publish.store import EventStore
from edge_asd.report.report import Reporter
from edge_asd.state_dir import StateLock
from edge_asd.steady import SteadyClock
from edge_asd.web.server import HttpServer
from edge_asd.worker import worker as worker_module
from edge_asd.worker.worker import Feed, Worker
from soak.pace import Pace, until
from soak.sources import Place, QuickArrivals, QuickCapture

HISTORY_KEEP_S = 3 * 3600.0
_DAY_S = 86400.0
_PATIENCE_S = 600.0  # this machine may be busy; whether threads stand still, the pace says
_CLOSE_S = 60.0

OpenSource = Callable[[Place, SteadyClock], AudioSource]


@dataclass(frozen=True, slots=True)
class Ground:
    """What outlives a restart."""

    config: Config
    bundle: Bundle
    state_dir: Path
    pace: Pace
    places: tuple[Place, ...]
    open_source: OpenSource


class ScoredSeconds(Reporter):
    """A reporter that counts for itself which seconds were scored: the ledger must agree."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.scored_s: Counter[str] = Counter()
        self.late_s: Counter[str] = Counter()
        self._until_s: dict[str, int] = {}

    def end(self) -> None:
        """What was scored and not spent before the end is no second yet."""
        for monitor, timeline in self.books.ledger._timelines.items():
            beyond_s = self._until_s.get(monitor, 0) - timeline._spent_s
            self.scored_s[monitor] -= max(0, beyond_s)
            self.late_s[monitor] = timeline.late_s

    def score(self, monitor, scored, state, profile, window) -> None:
        super().score(monitor, scored, state, profile, window)
        began_s = max(whole(scored.captured_at), self._until_s.get(monitor, 0))
        until_s = max(began_s, whole(scored.captured_at + window.length_s))
        self.scored_s[monitor] += until_s - began_s
        self._until_s[monitor] = until_s


class Station:
    """One run of the daemon from start to end.

    Args:
        ground: Where it stands.

    Raises:
        EdgeAsdError: It cannot start; everything is closed again.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground, self._pace = ground, ground.pace
        self.clock = SteadyClock(ground.pace.wall, ground.pace.counter)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, version="soak")
        self.board = HealthBoard()
        self._closers = contextlib.ExitStack()
        try:
            self._open()
        except BaseException:
            self._closers.close()
            raise

    # Wiring

    def _open(self) -> None:
        ground, config, closers = self._ground, self._ground.config, self._closers
        closers.enter_context(StateLock(ground.state_dir))
        networks = open_networks(ground.bundle)
        closers.callback(networks.close)
        model = ModelRef(
            name=ground.bundle.manifest.name,
            version=ground.bundle.manifest.version,
            sha256=ground.bundle.sha256,
            backend=networks.backend,
        )
        self.store = EventStore(ground.state_dir, clock=ground.pace.wall)
        closers.callback(self.store.close)
        self.mqtt = open_mqtt(
            config, self.store.outbox, model, self.metrics, started_at=self.clock.now()
        )
        self.report = ScoredSeconds(
            config.device,
            self.store,
            self._open_books(),
            mqtt=self.mqtt,
            jsonl=None,
            metrics=self.metrics,
            health=self.board,
            model=model,
            clock=self.clock,
        )
        closers.callback(self.report.end)  # once the worker has ended, and before the ledger does
        self.watch = ProgressWatch(_PATIENCE_S)
        self.http = HttpServer(
            "127.0.0.1:0",
            board=self.board,
            registry=self.registry,
            stalled=self.watch.stalled,
            ready=lambda: True,
        )
        closers.callback(self.http.close)
        self.http.start()
        if self.mqtt is not None:
            self.mqtt.start()
            closers.callback(self.mqtt.close, 2.0)
        feeds = [self._feed(place, networks) for place in ground.places]
        self._start(feeds)

    def _open_books(self) -> Books:
        ground, config, closers = self._ground, self._ground.config, self._closers
        self.ledger = Ledger(ground.state_dir, self.clock)
        closers.callback(self.ledger.close)
        self.history = History(ground.state_dir, self.clock, keep_s=HISTORY_KEEP_S)
        closers.callback(self.history.close)
        self.evidence = EvidenceDesk(
            config.evidence,
            config.device,
            ground.state_dir,
            ground.bundle.manifest,
            clock=self.clock,
            count=self.metrics.hearing.evidence,
        )
        closers.callback(self.evidence.close)
        self.evidence.start()
        return Books(
            self.ledger,
            self.history,
            self.evidence,
            clock=self.clock,
            metrics=self.metrics,
            health=self.board,
        )

    def _feed(self, place: Place, networks) -> Feed:
        ground = self._ground
        monitors = []
        for config in ground.config.monitors:
            if config.source != source_of(place):
                continue
            self.metrics.init_monitor(config.name, queue_capacity=WINDOWS_QUEUED)
            profile = None
            if has_profile(ground.state_dir, config.name):
                profile = load_profile(ground.state_dir, config.name, ground.bundle)
            event = self.store.open_event(config.name)
            notice = self.store.open_notice(config.name)
            monitors.append(
                Monitor(
                    config,
                    networks,
                    ground.state_dir,
                    self.report,
                    profile=profile,
                    open_event=event.to_event() if event else None,
                    open_notice=notice.to_notice() if notice else None,
                    microphone=ground.config.microphone,
                    evidence=ground.config.evidence,
                    rng=random.Random(f"{config.name} {ground.pace.counter()}"),
                )
            )
        capture = QuickCapture(place, ground.pace, lambda: ground.open_source(place, self.clock))
        return Feed(capture, monitors, capture.live)

    def _start(self, feeds: list[Feed]) -> None:
        ground = self._ground
        # It naps where it would wait, and drains as long as there is something.
        hurried = SimpleNamespace(monotonic=ground.pace.counter, sleep=lambda _s: _nap())
        self._closers.enter_context(mock.patch.object(worker_module, "time", hurried))
        self.worker = Worker(
            feeds,
            ground.bundle,
            ground.state_dir,
            self.report,
            spawn=_spawn,
            drain_s=1.0,
            clock=ground.pace.counter,
            arrivals=QuickArrivals(),
        )
        self.observer = Observer(
            ground.config.device,
            self.worker,
            self.mqtt,
            metrics=self.metrics,
            board=self.board,
            watch=self.watch,
            notifier=Notifier(),
            clock=self.clock,
        )
        self.watch.watch("worker", lambda: self.worker.progress)
        ground.pace.begin(*(feed.capture.name for feed in feeds))
        runner = _spawn("worker", self.worker.run)
        self._closers.callback(self._stop, runner)
        for feed in feeds:
            feed.capture.start()

    def _stop(self, runner: threading.Thread) -> None:
        """As the daemon does, with more patience: nothing here is to be cut short by a busy CPU."""
        self._pace.end()
        self._pace.gate.set()
        self.worker.stop()
        for feed in self.worker.feeds:
            feed.capture.close()
        runner.join(_CLOSE_S)
        self.worker.stop_enrolments(_CLOSE_S)
        if runner.is_alive():
            raise RuntimeError("the worker does not stop")

    # Use

    @property
    def mqtt_idle(self) -> bool:
        """Whether everything is delivered."""
        sink: MqttSink | None = self.mqtt
        return sink is None or sink.idle

    def rest(self) -> None:
        """Wait until sources wait and the worker has taken in all that there is.

        Raises:
            EdgeAsdError: The worker has stopped.
            StuckError: Somebody stands still.
        """
        self._pace.settle()
        if not self._pace.gate.is_set():
            return
        until(self._all_taken, "the worker takes in what there is")
        seen = self.worker.progress
        until(lambda: self._failed() or self.worker.progress > seen, "the worker goes on")

    def windows(self) -> Iterator[tuple[str, str, int]]:
        """(monitor, what became of them, how many), since the start."""
        for sample in next(iter(self.metrics._windows.collect())).samples:
            if sample.name.endswith("_total"):
                yield sample.labels["monitor"], sample.labels["result"], int(sample.value)

    def close(self) -> dict[tuple[str, int], tuple[int, int]]:
        """End it; everything is given back.

        Returns:
            Seconds that were scored, at least and at most, by monitor and number of the run in the
            ledger. Those that were settled before a window came stay what they were, which may be
            scored, by a window before.
        """
        self._closers.close()
        scored_s, run = self.report.scored_s, self.ledger._run.number
        names, late_s = [monitor.name for monitor in self.worker.monitors], self.report.late_s
        return {(n, run): (scored_s[n] - late_s[n], scored_s[n]) for n in names}

    def _all_taken(self) -> bool:
        if not self._failed() and any(feed.capture.due for feed in self.worker.feeds):
            return False
        # Profiles are computed in no time: how long that takes depends on the machine.
        return not any(one.computing for one in list(self.worker._enrolments._under_way.values()))

    def _failed(self) -> bool:
        if self.worker.failure is not None:
            raise self.worker.failure
        return False


def source_of(place: Place) -> str:
    """What the operator's file says; nothing opens it."""
    return f"exec:{place.name}"


def _spawn(name: str, body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body, name=name, daemon=True)
    thread.start()
    return thread


def _nap() -> None:
    threading.Event().wait(0.0005)
