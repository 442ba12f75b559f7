"""Another configuration for a daemon that goes on listening.

Everything that can fail happens in ``prepare``, which changes nothing. ``carry_out`` exchanges what
is different: the worker does its part between two blocks of audio, so that a monitor whose section
stays as it was misses nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from edge_asd.bundle import load_bundle
from edge_asd.bundle.store import forget_bundles
from edge_asd.capture import CaptureThread
from edge_asd.config import Config, MonitorConfig, engine_request
from edge_asd.enrolment.enrol import Progress
from edge_asd.enrolment.relearning import of_other_bundles
from edge_asd.errors import BundleError, ConfigError, PublishError
from edge_asd.memory import give_back
from edge_asd.monitor.monitor import Monitor
from edge_asd.operators.remote import settable
from edge_asd.parts import DAY_S, MQTT_S, Parts, broker_identity, spawn
from edge_asd.publish.jsonl import STDOUT, JsonlSink
from edge_asd.publish.mqtt import MqttSink
from edge_asd.reload.changes import Changes
from edge_asd.swap.returning import Returning
from edge_asd.swap.successor import Successor
from edge_asd.swap.swap import ToServe, label_of
from edge_asd.web.access import Token, listen_address, read_token
from edge_asd.web.server import HttpServer
from edge_asd.worker.feed import Feed
from edge_asd.worker.feeding import Past, Seating, Wanted, arrange

REMOVED = "monitor removed"
_FIXED = ("device", "worker")
_CLOSE_S = 2.5


@dataclass(slots=True)
class _Prepared:
    """What is ready to take the place of something else."""

    seating: Seating
    captures: list[tuple[CaptureThread, Wanted]] = field(default_factory=list)
    pasts: dict[str, Past] = field(default_factory=dict)
    """Of monitors that are added."""
    jsonl: JsonlSink | None = None
    http: HttpServer | None = None
    """None if it stays."""
    token: Token | None = None
    successor: Successor | Returning | None = None
    """None if the same networks go on, and nobody returns to them."""


class Reload:
    """One exchange; used by one thread, once.

    Args:
        parts: Of the daemon that goes on.
        config: What it goes on with.
    """

    def __init__(self, parts: Parts, config: Config) -> None:
        self._parts, self._old, self._new = parts, parts.config, config
        self._identity: object = None
        self._served = parts.serving.networks
        self._ready: _Prepared | None = None

    @property
    def changes(self) -> Changes:
        """What is different."""
        found = Changes.between(self._old, self._new)
        if "mqtt" not in found.sections and self._reconnects:
            # Another password, or another certificate.
            return replace(found, sections=(*found.sections, "mqtt"))
        return found

    def refuse_what_is_fixed(self) -> None:
        """Some things are what they are as long as the process lives.

        Raises:
            ConfigError: One of them would change.
        """
        for key in _FIXED:
            if getattr(self._old, key) != getattr(self._new, key):
                raise ConfigError(
                    f"{key}: cannot change while the daemon runs: needs a restart "
                    "(systemctl restart edge-asd); nothing was changed"
                )

    def prepare(self, progress: Progress) -> None:
        """Make everything that is new.

        Args:
            progress: Called with a fraction and what is being done; whatever it raises ends this.

        Raises:
            EdgeAsdError: The daemon cannot work like that; nothing has changed.
        """
        self._identity = broker_identity(self._new)
        successor = self._successor()
        if successor is not None:
            common = self._parts.common
            now = common.clock.wall(common.clock.now())
            successor.prepare(now=now, progress=progress)
        try:
            self._prepare(successor)
        except BaseException:
            if successor is not None:
                successor.drop()
            raise

    def _successor(self) -> Successor | Returning | None:
        """What takes the place of the networks that serve, or who returns to them."""
        parts, wanted = self._parts, self._wanted()
        folder = parts.common.state_dir
        same = wanted.bundle.sha256 == self._served.bundle.sha256
        if not same or wanted.engine != parts.engine:
            return Successor(parts.serving, parts.worker, folder, wanted, spawn=spawn)
        if wanted.returning:
            return Returning(parts.serving, folder, wanted, spawn=spawn)
        return None

    def _wanted(self) -> ToServe:
        """What shall serve, whom."""
        new, folder = self._new, self._parts.common.state_dir
        bundle = self._served.bundle
        try:
            if new.bundle is not None:
                bundle = load_bundle(new.bundle)
        except BundleError:
            if new.bundle != self._old.bundle:
                raise  # else its file is gone, and it is in use all the same
        sections = {section.name: section for section in new.monitors}
        here = {monitor.name for monitor in self._parts.worker.monitors}
        coming = [name for name in sections if name not in here]
        returning = of_other_bundles(folder, coming, bundle)
        return ToServe(bundle, engine_request(new, folder), sections, returning)

    def _prepare(self, successor: Successor | Returning | None) -> None:
        parts = self._parts
        feeds = parts.worker.feeds
        ready = _Prepared(arrange(feeds, self._new.monitors), successor=successor)
        bundle = successor.networks.bundle if successor is not None else None
        learned = successor.learned if successor is not None else {}
        old = {monitor.name: monitor for monitor in parts.worker.monitors}
        for section in self._new.monitors:
            if section.name not in old:
                known = learned.get(section.name)
                ready.pasts[section.name] = parts.feeding.past(section.name, bundle, known)
        taken = [feed.capture.name for feed in feeds]
        for wanted in ready.seating.opened:
            names = [section.name for section in wanted.monitors]
            profiles = [old[n].profile if n in old else ready.pasts[n].profile for n in names]
            thread = parts.feeding.capture(wanted, profiles, taken)
            taken.append(thread.name)
            ready.captures.append((thread, wanted))
        ready.token = read_token(self._new.http.token_file, os.environ)
        listen_address(self._new.http.listen, ready.token)
        ready.jsonl = self._prepared_jsonl()
        if self._new.http.listen != self._old.http.listen:
            try:
                ready.http = parts.make_http(self._new)
            except BaseException:
                self._drop_jsonl(ready)
                raise
        self._ready = ready

    def carry_out(self) -> Changes:
        """Exchange what is different.

        Raises:
            BusyError: A profile is being computed for a monitor that would go; nothing has changed.
            ConfigError: Rules of a monitor do not fit the bundle; nothing has changed.
        """
        ready, parts, changes = self._prepared, self._parts, self.changes
        before = parts.mqtt
        try:
            mqtt = parts.make_mqtt(self._new) if self._reconnects else before
            gone = parts.worker.between_rounds(lambda: self._exchange(ready, mqtt)).result()
        except BaseException:
            self._drop_jsonl(ready)
            if ready.http is not None:
                ready.http.close()
            if ready.successor is not None:
                ready.successor.drop()
            raise
        self._close(gone)
        parts.config = self._new
        if mqtt is not before:
            self._reconnect(before, mqtt)
        elif mqtt is not None:
            self._tell_who_is_there()
        if ready.jsonl is not parts.jsonl:
            parts.exchange_jsonl(ready.jsonl)
        if ready.http is None:
            parts.http.ask_for(ready.token)
        else:
            parts.exchange_http(ready.http)
        for thread, _ in ready.captures:
            parts.feeding.watch(thread)
            thread.start()
        for name in changes.removed:
            parts.common.registry.forget_monitor(name)
            parts.common.board.forget_monitor(name)
        parts.broker = self._identity
        return changes if ready.successor is None else self._served_by(changes, ready.successor)

    def _served_by(self, changes: Changes, successor: Successor | Returning) -> Changes:
        """The changes, with what became of the networks."""
        changes = replace(changes, relearned=tuple(successor.learned))
        if isinstance(successor, Returning):
            return changes
        self._parts.behind = False
        give_back()
        after = self._parts.serving.networks.bundle.sha256
        # The former one stays, too: it may be wanted again.
        forget_bundles(self._parts.common.state_dir, {after, self._served.bundle.sha256})
        now = label_of(self._parts.serving.networks)
        text = f"{now} instead of {label_of(self._served)}"
        return replace(changes, serving=text)

    # Preparation

    @property
    def _prepared(self) -> _Prepared:
        if self._ready is None:
            raise RuntimeError("prepare comes first")
        return self._ready

    @property
    def _reconnects(self) -> bool:
        return self._identity != self._parts.broker

    def _prepared_jsonl(self) -> JsonlSink | None:
        """Opened anew, because the file may have been moved away by a rotation."""
        wanted, present = self._new.jsonl, self._parts.jsonl
        if wanted is None:
            return None
        same = present is not None and present.path == wanted.path
        if same and wanted.path == STDOUT:
            return present
        try:
            return self._parts.make_jsonl(self._new)
        except PublishError:
            if same:
                return present
            raise

    def _drop_jsonl(self, ready: _Prepared) -> None:
        if ready.jsonl is not None and ready.jsonl is not self._parts.jsonl:
            ready.jsonl.close()

    # The worker's part

    def _exchange(self, ready: _Prepared, mqtt: MqttSink | None) -> list[Feed]:
        """Give every monitor its place; the sources that nobody listens to any more.

        Raises:
            BusyError: A profile is being computed for a monitor that would go.
            ConfigError: Rules of a monitor do not fit the bundle.
        """
        parts, worker = self._parts, self._parts.worker
        old = {monitor.name: monitor for monitor in worker.monitors}
        seated = dict(self._seated(ready.seating, old))
        leaving = [monitor for name, monitor in old.items() if seated.get(name) is not monitor]
        for monitor in leaving:
            worker.enrolments.refuse_while_computing(monitor.name)
        successor = ready.successor
        if successor is not None:
            successor.decide(seated.values())
        networks = successor.networks if successor is not None else None
        learned = successor.learned if successor is not None else {}
        made = {}
        for section in self._new.monitors:
            name = section.name
            if name not in seated:
                past = ready.pasts.get(name) or Past.of(old[name], learned.get(name))
                made[name] = parts.feeding.monitor(self._new, section, past, networks)
        # From here on nothing fails.
        for monitor in leaving:
            worker.enrolments.abandon(monitor.name)
            if monitor.name in made:
                monitor.stop()
            else:
                monitor.leave(REMOVED)
                parts.report.forget(monitor.name)
        if mqtt is not parts.mqtt and mqtt is not None and parts.mqtt is not None:
            mqtt.adopt_states(parts.mqtt)
        parts.report.connect(mqtt, ready.jsonl, settable(self._new))
        before, worker.feeds = worker.feeds, list(self._feeds(ready, seated | made))
        if successor is not None:
            parts.learn_on(successor.engine)
            successor.switch()
        self._retune(seated)
        return [feed for feed in before if feed not in worker.feeds]

    def _seated(self, seating: Seating, old: dict[str, Monitor]) -> Iterator[tuple[str, Monitor]]:
        """Monitors that go on as they are, by name: same source, same channel of it."""
        for feed, sections in seating.kept.items():
            for section in sections:
                monitor = old.get(section.name)
                here = monitor is not None and monitor in feed.monitors
                if monitor is not None and here and monitor.config.channel == section.channel:
                    yield section.name, monitor

    def _feeds(self, ready: _Prepared, monitors: dict[str, Monitor]) -> Iterator[Feed]:
        for feed, sections in ready.seating.kept.items():
            feed.monitors = [monitors[section.name] for section in sections]
            yield feed
        for thread, wanted in ready.captures:
            listening = [monitors[section.name] for section in wanted.monitors]
            yield Feed(thread, listening, thread.live, channels=wanted.channels)

    def _retune(self, seated: dict[str, Monitor]) -> None:
        """Have what goes on go by the new rules."""
        parts, new, old = self._parts, self._new, self._old
        sections: dict[str, MonitorConfig] = {s.name: s for s in new.monitors}
        for name, monitor in seated.items():
            if monitor.config != sections[name]:
                monitor.retune(sections[name])
            monitor.keep_evidence(new.evidence)
            monitor.hearing.notify_after(new.microphone.notify_after_s)
        books = parts.report.books
        if new.evidence != old.evidence:
            books.evidence.retune(new.evidence)
        books.history.keep(new.history.score_days * DAY_S)
        books.ledger.keep(new.history.ledger_days * DAY_S)
        outbox = parts.store.outbox
        outbox.max_bytes = int(new.outbox.max_mb * 2**20)
        outbox.max_age_s = new.outbox.max_days * DAY_S

    # Afterwards

    def _close(self, gone: list[Feed]) -> None:
        closing = [spawn(f"close-{feed.capture.name}", feed.capture.close) for feed in gone]
        for feed, thread in zip(gone, closing, strict=True):
            self._parts.common.watch.forget(feed.capture.name)
            thread.join(_CLOSE_S)

    def _reconnect(self, before: MqttSink | None, mqtt: MqttSink | None) -> None:
        """One connection after the other: they share the rows of the outbox and their name."""
        parts = self._parts
        parts.mqtt = mqtt
        if before is not None:
            parts.common.watch.forget("mqtt")
            before.close(MQTT_S)
        parts.tell_who_is_there()  # it was made before the networks that serve now
        parts.start_mqtt(self._new)

    def _tell_who_is_there(self) -> None:
        self._parts.tell_who_is_there()
        if self._parts.presence is not None:
            self._parts.presence.update(self._new)
