"""The operator and every subscriber are told what the outbox gave up, and before it must."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from publish_samples import WALL_S

from edge_asd.database import Database
from edge_asd.health import Health
from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.outbox import Message, Outbox, RowClass
from edge_asd.publish.outbox_watch import OutboxWatch
from edge_asd.publish.tables import SCHEMA

DAY_S = 86400.0


class Bench:
    def __init__(self, folder, max_bytes=1000):
        self.now_s = WALL_S
        self.registry = CollectorRegistry()
        database = Database(folder / "events.db", SCHEMA, clock=self.clock)
        self.outbox = Outbox(database, max_bytes=max_bytes, max_age_s=10 * DAY_S, clock=self.clock)
        metrics = Metrics(self.registry, version="0")
        self.watch = OutboxWatch(self.outbox, metrics, clock=self.clock, wall=self.clock)

    def clock(self):
        return self.now_s

    def put(self, row_class, size):
        self.outbox.put(Message("t", b"x" * (size - 1), RowClass(row_class), "pump-1", 1))

    def health(self):
        self.now_s += 2
        self.watch.look()
        return self.watch.health()


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_it_is_unknown_until_it_was_looked_at_and_healthy_while_there_is_room(bench):
    assert bench.watch.health()[0] is Health.UNKNOWN
    bench.put("event_new", 700)
    status, text = bench.health()
    assert status is Health.HEALTHY
    assert "1 messages wait" in text
    assert bench.registry.get_sample_value("edge_asd_outbox_bytes") == 700


def test_a_warning_comes_before_something_must_be_given_up(bench):
    bench.put("event_new", 800)
    status, text = bench.health()
    assert status is Health.WARNING
    assert "outbox.max_mb" in text


def test_what_is_nearly_too_old_is_a_warning_too(bench):
    bench.put("event_new", 10)
    bench.now_s += 8.1 * DAY_S
    assert bench.health()[0] is Health.WARNING


@pytest.mark.parametrize(
    ("row_class", "status"),
    [
        ("report", Health.WARNING),
        ("event_update", Health.WARNING),
        ("event_new", Health.CRITICAL),
        ("event_end", Health.CRITICAL),
    ],
)
def test_what_was_given_up_is_told_with_its_number(bench, monkeypatch, row_class, status):
    monkeypatch.setattr("edge_asd.publish.outbox.time.monotonic", bench.clock)
    for _ in range(3):
        bench.put(row_class, 600)
    found, text = bench.health()
    assert found is status
    assert f"2 {row_class}" in text
    bench.now_s += DAY_S - 10
    assert bench.health()[0] is status
    bench.outbox.ack(bench.outbox.head(1)[0].id)
    bench.now_s += 20
    assert bench.health()[0] is Health.HEALTHY
