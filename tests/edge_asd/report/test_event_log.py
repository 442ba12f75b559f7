"""Messages on their way to the disk: in order, none forgotten, told only once they are stored."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.alerts import alert

from edge_asd.errors import StorageError
from edge_asd.health import Health, HealthBoard
from edge_asd.publish.messages import Clock, EventMessage, MicrophoneMessage, ModelRef, Stamp
from edge_asd.publish.outbox import Dropped, DropReason, RowClass
from edge_asd.publish.store import EventStore
from edge_asd.publish.topics import Topics
from edge_asd.records import EventType, MicrophoneNotice
from edge_asd.report import event_log
from edge_asd.report.event_log import EventLog

WALL_S = 1_790_000_000.0
NAME = "pump-1"
STAMP = Stamp(clock=Clock(synchronized=True), monotonic_ns=1, boot_id="b")
MODEL = ModelRef(name="tiny", version="1", sha256="0" * 64, backend="onnx")


def event(kind="new"):
    step = replace(alert(), type=EventType(kind))
    return EventMessage.from_event(
        step, device="hall", monitor=NAME, model=MODEL, stamp=STAMP, threshold_kind="calibrated"
    )


def notice(kind="new"):
    step = MicrophoneNotice(
        id="0192f0a0-0000-7000-8000-000000000002",
        type=EventType(kind),
        fault="no_audio",
        reason="unplugged",
        started_at=WALL_S,
        updated_at=WALL_S + 10.0,
        duration_s=10.0,
        ended_at=WALL_S + 10.0 if kind == "end" else None,
    )
    return MicrophoneMessage.from_notice(step, device="hall", monitor=NAME, stamp=STAMP)


class Disk:
    """An event store that refuses while it is full."""

    moved_aside = None

    def __init__(self, store) -> None:
        self.full, self._store = False, store

    def record(self, message, **where):
        self._refuse()
        return self._store.record(message, **where)

    def record_notice(self, message, **where):
        self._refuse()
        return self._store.record_notice(message, **where)

    def _refuse(self):
        if self.full:
            raise StorageError("the disk is full; make space")


class Bench:
    def __init__(self, folder, topics=None) -> None:
        self.store = EventStore(folder)
        self.disk, self.health = Disk(self.store), HealthBoard()
        self.told, self.lost = [], []
        self.log = EventLog(self.disk, topics, self.health, self.told.append, self.lost.extend)

    @property
    def check(self):
        return self.health.snapshot()["events"]

    def stored(self):
        return [message.type.value for message in self.store.events()]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, Topics("hall"))
    yield bench
    bench.store.close()


def test_what_the_disk_takes_is_stored_and_told_at_once(bench):
    bench.log.add(NAME, event())
    bench.log.add(NAME, notice())
    assert [recorded.message.seq for recorded in bench.told] == [1, 2]
    assert bench.stored() == ["new", "new"]
    assert (bench.log.waiting, bench.check.status) == (0, Health.HEALTHY)


def test_alerts_and_notices_have_a_topic_each_and_none_without_mqtt(bench, tmp_path):
    bench.log.add(NAME, event())
    bench.log.add(NAME, notice())
    head = bench.store.outbox.head(10)
    assert [row.message.topic for row in head] == [
        "edge-asd/hall/pump-1/event",
        "edge-asd/hall/pump-1/microphone",
    ]
    (tmp_path / "mute").mkdir()
    mute = Bench(tmp_path / "mute")
    mute.log.add(NAME, event())
    assert mute.store.outbox.head(10) == []
    assert mute.stored() == ["new"]
    mute.store.close()


def test_what_a_full_disk_refuses_waits_in_order_and_is_not_told(bench):
    bench.disk.full = True
    for message in (event(), notice(), event("end"), notice("end")):
        bench.log.add(NAME, message)
    assert (bench.told, bench.stored(), bench.log.waiting) == ([], [], 4)
    assert bench.check.status is Health.CRITICAL
    assert "make space" in bench.check.text
    bench.disk.full = False
    bench.log.retry()
    assert [recorded.message.type.value for recorded in bench.told] == ["new", "new", "end", "end"]
    assert [recorded.message.seq for recorded in bench.told] == [1, 2, 3, 4]
    assert (bench.log.waiting, bench.check.status) == (0, Health.HEALTHY)


def test_a_new_message_never_overtakes_one_that_waits(bench):
    bench.disk.full = True
    bench.log.add(NAME, event())
    bench.disk.full = False
    bench.log.add(NAME, event("end"))
    assert bench.stored() == ["new", "end"]


def test_what_is_given_up_at_the_end_is_whole_in_the_log(bench, caplog):
    bench.disk.full = True
    bench.log.add(NAME, event())
    bench.log.add(NAME, notice())
    with caplog.at_level(logging.ERROR):
        bench.log.give_up()
    logged = [record.getMessage().partition("only logged: ")[2] for record in caplog.records]
    assert [json.loads(text)["source"] for text in logged] == [NAME, NAME]
    assert json.loads(logged[1])["fault"] == "no_audio"
    assert bench.log.waiting == 0


def test_a_damaged_database_that_was_moved_aside_stays_a_warning(tmp_path):
    health = HealthBoard()
    store = SimpleNamespace(moved_aside=tmp_path / "events.db.damaged")
    EventLog(store, None, health, lambda _: None, lambda _: None)
    check = health.snapshot()["events"]
    assert check.status is Health.WARNING
    assert "events.db.damaged" in check.text


@settings(max_examples=25)
@given(st.lists(st.booleans(), max_size=12))
def test_whenever_the_disk_is_full_everything_is_stored_once_and_in_order(
    tmp_path_factory, refusals
):
    bench = Bench(tmp_path_factory.mktemp("log"))
    kinds = []
    for at, full in enumerate(refusals):
        bench.disk.full = full
        kinds.append(("new", "update", "end")[at % 3])
        bench.log.add(NAME, event(kinds[-1]))
    bench.disk.full = False
    bench.log.retry()
    assert bench.stored() == kinds
    assert [recorded.message.seq for recorded in bench.told] == list(range(1, len(kinds) + 1))
    bench.store.close()


def test_too_many_that_wait_cost_the_oldest_updates_first(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(event_log, "MAX_WAITING", 3)
    bench = Bench(tmp_path)
    bench.disk.full = True
    for kind in ("new", "update", "update", "end", "new"):
        bench.log.add(NAME, event(kind))
    assert (bench.log.waiting, bench.log.dropped) == (3, 2)
    assert caplog.text.count("only logged") == 2
    assert bench.lost == [Dropped(RowClass.EVENT_UPDATE, DropReason.DISK, 1)] * 2
    bench.disk.full = False
    bench.log.retry()
    kinds = [recorded.message.type for recorded in bench.told]
    assert kinds == [EventType.NEW, EventType.END, EventType.NEW]
