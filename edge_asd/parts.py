"""The parts of a daemon: how they are put together, and in which order they end.

``Parts`` makes them at the start; `reload` exchanges some of them while the others go on.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from edge_asd.books.books import Books
from edge_asd.books.history import History
from edge_asd.books.ledger import Ledger
from edge_asd.bundle import Bundle
from edge_asd.bundle.store import bundle_to_start_with, choose_bundle
from edge_asd.common import Common
from edge_asd.config import Config, OutboxConfig, engine_request
from edge_asd.engine import NetworkSet, open_networks
from edge_asd.engine_request import EngineRequest
from edge_asd.enrolment.enrol import Progress
from edge_asd.enrolment.relearning import of_other_bundles
from edge_asd.errors import ConfigError
from edge_asd.evidence.desk import EvidenceDesk
from edge_asd.normal.normals import Normals
from edge_asd.operators.answers import engine_answer
from edge_asd.operators.commands import Commands
from edge_asd.operators.redelivery import replay_verb
from edge_asd.operators.rehearsal import Rehearsals
from edge_asd.operators.remote import RemoteCommands, settable
from edge_asd.operators.switches import Switchboard
from edge_asd.profile.profile_set import commit, settle
from edge_asd.publish.connect import birth, broker_settings, open_mqtt
from edge_asd.publish.jsonl import JsonlSink
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.presence import Presence
from edge_asd.publish.store import EventStore
from edge_asd.publish.topics import Topics
from edge_asd.report.report import Reporter
from edge_asd.swap.returning import learn_returning
from edge_asd.swap.swap import Serving, ToServe, model_of
from edge_asd.web.access import read_token
from edge_asd.web.server import HttpServer
from edge_asd.worker.feeding import Feeding
from edge_asd.worker.scheduling import schedule_this_thread
from edge_asd.worker.worker import Worker

logger = logging.getLogger(__name__)

DAY_S = 86400.0
# Together with the broker's goodbye (2 s) the end stays below 5 s, whatever hangs.
_DRAIN_S = 1.0
_WORKER_S = 2.0
MQTT_S = 0.8


class Parts:
    """See the module.

    Args:
        config: The operator's file.
        common: What they share.
        closers: Gets what ends them, so that a start that fails half way leaves nothing behind.
        progress: Told how far it is, where monitors that return have to learn first; whatever it
            raises ends that.

    Raises:
        EdgeAsdError: One of them cannot be made.
    """

    def __init__(
        self, config: Config, common: Common, closers: ExitStack, progress: Progress
    ) -> None:
        self.config, self.common = config, common
        names = [monitor.name for monitor in config.monitors]
        settle(common.state_dir)
        wanted = choose_bundle(common.state_dir, config.bundle, names)
        bundle = wanted if common.once else bundle_to_start_with(common.state_dir, wanted, names)
        self.behind = bundle.sha256 != wanted.sha256
        """Whether the operator wants another bundle, which has yet to be learned with."""
        self.engine = engine_request(config, common.state_dir)
        """What networks run on."""
        if not common.once:
            self._take_back(bundle, progress)
        self.serving = Serving(open_networks(bundle, self.engine))
        """The networks that score."""
        closers.callback(self.serving.close)
        self._show_model(self.serving.networks)
        self.store = self._open_store(config.outbox)
        closers.callback(self.store.close)
        self.broker = broker_identity(config)
        """How the broker was reached when it was last asked."""
        self.mqtt = self.make_mqtt(config)
        self.jsonl = self.make_jsonl(config)
        closers.callback(self._close_jsonl)
        self.report = Reporter(
            config.device,
            self.store,
            self._open_books(config, closers),
            mqtt=self.mqtt,
            jsonl=self.jsonl,
            metrics=common.metrics,
            health=common.board,
            model=self.serving.model,
            clock=common.clock,
            things=settable(config),
        )
        self.http = self.make_http(config)
        closers.callback(self._close_http)
        self.http.start()
        switchboard = Switchboard(self.store.switches, common.clock)
        networks = self.serving.networks
        self.feeding = Feeding(common, networks, self.store, self.report, switchboard)
        self.worker = Worker(
            self.feeding.open(config),
            bundle,
            common.state_dir,
            self.report,
            spawn=spawn,
            drain_s=_DRAIN_S,
            engine=self.engine,
        )
        self.worker.at_start.append(lambda: schedule_this_thread(config.worker))
        Commands(self.worker, switchboard, self.report)
        normals = Normals(self.worker, bundle, common.state_dir, spawn=spawn, engine=self.engine)
        self._normals = normals
        closers.callback(normals.stop)
        Rehearsals(self.worker, self.report, common.board, self.store, mqtt=lambda: self.mqtt)
        replay = replay_verb(self.store, lambda: self.report.topics if self.mqtt else None)
        self.worker.learn_verb("replay", replay)
        self.presence: Presence | None = None
        """What the broker keeps of this device."""
        self.start_mqtt(config)
        closers.callback(self._close_mqtt)
        self.serving.begin(self.worker)
        self.worker.about["engine"] = lambda: engine_answer(self.serving.networks)
        self.serving.followers += [
            self.feeding.follow,
            lambda networks: self.worker.follow(networks.bundle),
            lambda networks: normals.follow(networks.bundle),
            lambda networks: self.report.books.evidence.follow(networks.bundle.manifest),
            lambda networks: self.report.follow(model_of(networks)),
            self._show_model,
            lambda _networks: self.tell_who_is_there(),
        ]
        common.watch.watch("worker", lambda: self.worker.progress)
        runner = spawn("worker", self.worker.run)
        closers.callback(lambda: self._close_worker(runner))
        for feed in self.worker.feeds:
            feed.capture.start()

    def _take_back(self, bundle: Bundle, progress: Progress) -> None:
        """Have monitors that were away while the bundle came learn with it, before they listen."""
        clock, folder = self.common.clock, self.common.state_dir
        sections = {section.name: section for section in self.config.monitors}
        returning = of_other_bundles(folder, sections, bundle)
        if returning:
            wanted = ToServe(bundle, self.engine, sections, returning)
            now = clock.wall(clock.now())
            learned = learn_returning(wanted, folder, now=now, progress=progress, spawn=spawn)
            commit(folder, learned)
            logger.info("learned again bundle=%s monitors=%s", bundle.label, ",".join(learned))

    def learn_on(self, engine: EngineRequest) -> None:
        """Have networks run on this from now on; by the worker."""
        self.engine = engine
        self.worker.enrolments.learn_on(engine)
        self._normals.learn_on(engine)

    # Made anew by a reload

    def make_mqtt(self, config: Config) -> MqttSink | None:
        """The broker's sink, not yet started.

        Raises:
            ConfigError: Its address, password or certificates cannot be used.
        """
        common = self.common
        return open_mqtt(
            config,
            self.store.outbox,
            self.serving.model,
            common.metrics,
            started_at=common.started_at,
        )

    def make_jsonl(self, config: Config) -> JsonlSink | None:
        """The sink of lines.

        Raises:
            PublishError: It cannot be opened.
        """
        return JsonlSink(config.jsonl.path) if config.jsonl else None

    def make_http(self, config: Config) -> HttpServer:
        """The HTTP endpoint; it has its address, and does not answer yet.

        Raises:
            ConfigError: The address is wrong, in use, or needs a token that is not there.
        """
        return HttpServer(
            config.http.listen,
            board=self.common.board,
            registry=self.common.registry,
            stalled=self.common.watch.stalled,
            ready=self.common.ready,
            token=read_token(config.http.token_file, os.environ),
        )

    def start_mqtt(self, config: Config) -> None:
        """Connect to the broker, if there is one."""
        mqtt, self.presence = self.mqtt, None
        if mqtt is None:
            return
        folder, rng = self.common.state_dir, random.SystemRandom()
        self.presence = Presence(mqtt, config, folder, rng=rng)
        RemoteCommands(config.device, mqtt, self.worker.submit, self.worker.audit).listen(config)
        mqtt.start()
        self.common.watch.watch("mqtt", lambda: mqtt.progress)

    def tell_who_is_there(self) -> None:
        """Have the broker know what this device is by the configuration in force."""
        if self.mqtt is None:
            return
        message = birth(self.config, self.serving.model, self.common.started_at)
        self.mqtt.set_retained(Topics(self.config.device).info, message.to_json())

    def exchange_jsonl(self, jsonl: JsonlSink | None) -> None:
        """Close the present sink of lines; the reporter has the other one already."""
        before, self.jsonl = self.jsonl, jsonl
        if before is not None:
            before.close()

    def exchange_http(self, http: HttpServer) -> None:
        """Answer at another address."""
        before, self.http = self.http, http
        http.start()
        before.close()

    # Made once

    def _show_model(self, networks: NetworkSet) -> None:
        self.common.metrics.init_backend(networks.backend)
        self.common.metrics.set_model(model_of(networks))

    def _open_store(self, outbox: OutboxConfig) -> EventStore:
        return EventStore(
            self.common.state_dir,
            max_bytes=int(outbox.max_mb * 2**20),
            max_age_s=outbox.max_days * DAY_S,
        )

    def _open_books(self, config: Config, closers: ExitStack) -> Books:
        folder, clock = self.common.state_dir, self.common.clock
        days = config.history
        ledger = Ledger(folder, clock, keep_s=days.ledger_days * DAY_S)
        closers.callback(ledger.close)
        history = History(folder, clock, keep_s=days.score_days * DAY_S)
        closers.callback(history.close)
        evidence = EvidenceDesk(
            config.evidence,
            config.device,
            folder,
            self.serving.networks.bundle.manifest,
            clock=clock,
            count=self.common.metrics.hearing.evidence,
        )
        closers.callback(evidence.close)
        evidence.start()
        return Books(
            ledger,
            history,
            evidence,
            clock=clock,
            metrics=self.common.metrics,
            health=self.common.board,
        )

    # The end

    def _close_jsonl(self) -> None:
        if self.jsonl:
            self.jsonl.close()

    def _close_http(self) -> None:
        self.http.close()

    def _close_mqtt(self) -> None:
        if self.mqtt:
            self.mqtt.close(MQTT_S)

    def _close_worker(self, runner: threading.Thread) -> None:
        """End the sources, and let the worker take in what they had delivered."""
        until = time.monotonic() + _WORKER_S
        self.worker.stop()  # first: the end of a source that we close ourselves means nothing
        closing = [
            spawn(f"close-{feed.capture.name}", feed.capture.close) for feed in self.worker.feeds
        ]
        for thread in (*closing, runner):
            thread.join(max(0.0, until - time.monotonic()))
        self.worker.stop_enrolments(max(0.1, until - time.monotonic()))
        if runner.is_alive():
            logger.warning("worker does not stop, left behind")


def broker_identity(config: Config) -> object:
    """What the connection rests on: equal if and only if the present one may go on.

    Raises:
        ConfigError: Its address, password or certificates cannot be used.
    """
    settings = broker_settings(config, os.environ)
    if settings is None:
        return None
    files = (settings.ca_file, settings.cert_file, settings.key_file)
    try:
        contents = [Path(file).read_bytes() for file in files if file]
    except OSError as error:
        raise ConfigError(f"mqtt: {error.filename}: {error.strerror}") from error
    return config.mqtt, settings, contents


def spawn(name: str, body: Callable[[], None]) -> threading.Thread:
    """Start a thread that does not keep the process alive."""
    thread = threading.Thread(target=body, name=name, daemon=True)
    thread.start()
    return thread
