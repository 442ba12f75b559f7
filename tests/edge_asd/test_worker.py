"""More windows than can be scored: less often, for all monitors alike, and nothing unheard."""

from __future__ import annotations

import contextlib
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from brokers import eventually
from prometheus_client import CollectorRegistry
from support.sound import RATE, machine
from support.tiny import HOP, WINDOW

from edge_asd import overload
from edge_asd.books import Books
from edge_asd.capture.status import CaptureStatus
from edge_asd.config import AlertConfig, EvidenceConfig, MonitorConfig
from edge_asd.evidence.desk import EvidenceDesk
from edge_asd.health import Health, HealthBoard
from edge_asd.history import History
from edge_asd.ledger import Account, Ledger
from edge_asd.metrics import Metrics
from edge_asd.monitor import Monitor
from edge_asd.publish.payload import ModelRef
from edge_asd.publish.store import EventStore
from edge_asd.records import Block
from edge_asd.report import Reporter
from edge_asd.steady import SteadyClock
from edge_asd.worker import Feed, Worker

SPEED = 4.0
BLOCK = 1600
MODEL = ModelRef(name="tiny", version="1", sha256="ab" * 32, backend="onnxruntime")


class Live:
    """A live source whose seconds pass four times as fast; nothing is ever dropped here."""

    live, spent = True, False

    def __init__(self, samples, clock):
        self.samples, self.sample_rate = samples, RATE
        self.began_s, self.begun = clock.now(), time.monotonic()
        self.taken = 0

    @property
    def held_s(self):
        """Audio that has come and waits."""
        return (time.monotonic() - self.begun) * SPEED - self.taken * BLOCK / RATE

    def get(self, timeout_s):
        """The next block, once it has come."""
        if self.held_s < BLOCK / RATE:
            time.sleep(min(timeout_s, 0.005))
            return None
        start, self.taken = self.taken * BLOCK, self.taken + 1
        at = start % (len(self.samples) - BLOCK)
        at -= at % BLOCK
        samples = self.samples[at : at + BLOCK, None]
        return Block(samples, start, self.began_s + start / RATE)

    def status(self):
        """Always well."""
        return CaptureStatus(up=True, reason="", frames=1)


class Slow:
    """Networks that need a while for every window."""

    def __init__(self, networks):
        self.networks, self.cost_s = networks, 0.0
        self.bundle, self.backend = networks.bundle, networks.backend

    def embed(self, features):
        """As the others, later."""
        time.sleep(self.cost_s)
        return self.networks.embed(features)


@pytest.fixture
def plant(tmp_path, tiny_networks, pump_profile, monkeypatch):
    monkeypatch.setattr(overload, "RAISE_EVERY_S", 0.2)
    monkeypatch.setattr(overload, "FIRST_PATIENCE_S", 0.5)
    with contextlib.ExitStack() as closers:
        clock, metrics = SteadyClock(), Metrics(CollectorRegistry(), version="test")
        board = HealthBoard()
        store, ledger = EventStore(tmp_path), Ledger(tmp_path, clock)
        history = History(tmp_path, clock)
        desk = EvidenceDesk(
            EvidenceConfig(enabled=False), "d", tmp_path, tiny_networks.bundle.manifest,
            clock=clock, count=metrics.hearing.evidence,
        )  # fmt: skip
        for closing in (store, ledger, history, desk):
            closers.callback(closing.close)
        books = Books(ledger, history, desk, clock=clock, metrics=metrics, health=board)
        report = Reporter(
            "d", store, books, mqtt=None, jsonl=None, metrics=metrics, health=board, model=MODEL,
            clock=clock,
        )  # fmt: skip
        networks = Slow(tiny_networks)
        alert = AlertConfig(above_s=1.5, within_s=2.0)
        feeds = []
        for name in ("one", "two"):
            config = MonitorConfig(name=name, source="sim:pump", alert=alert, settle_s=0)
            monitor = Monitor(
                config, networks, tmp_path, report, profile=pump_profile, open_event=None
            )
            feeds.append(Feed(Live(machine("pump", 90.0), clock), [monitor], live=True))
        worker = Worker(
            feeds, tiny_networks.bundle, tmp_path, report, spawn=lambda *_: None, drain_s=0.0
        )
        thread = threading.Thread(target=worker.run, daemon=True)
        closers.callback(thread.join, 60.0)
        closers.callback(worker.stop)
        thread.start()
        yield SimpleNamespace(
            worker=worker, networks=networks, board=board, metrics=metrics, ledger=ledger,
            feeds=feeds,
        )  # fmt: skip


def windows(plant, result):
    return [plant.metrics._windows.labels(name, result)._value.get() for name in ("one", "two")]


def waiting(plant):
    return max(feed.capture.held_s for feed in plant.feeds)


def test_late_scoring_is_stretched_for_all_alike_told_and_taken_back(plant):
    hop_s = HOP / RATE / SPEED
    eventually(lambda: min(windows(plant, "scored")) > 20)
    assert windows(plant, "skipped") == [0, 0]
    assert plant.board.snapshot()["overload"].status is Health.HEALTHY

    plant.networks.cost_s = hop_s  # two monitors: twice what there is time for
    eventually(lambda: plant.board.snapshot()["overload"].status is Health.WARNING)
    eventually(lambda: waiting(plant) < overload.LATE_S)
    one, two = windows(plant, "skipped")
    assert min(one, two) > 0.7 * max(one, two) > 0.0

    plant.networks.cost_s = 0.0
    eventually(lambda: plant.board.snapshot()["overload"].status is Health.HEALTHY)
    assert plant.worker.failure is None


def test_every_second_stays_scored_while_the_hop_is_stretched(plant):
    plant.networks.cost_s = HOP / RATE / SPEED
    eventually(lambda: min(windows(plant, "skipped")) > 20)
    eventually(lambda: waiting(plant) < overload.LATE_S)
    plant.worker.stop()
    begin_s = plant.feeds[0].capture.began_s
    heard_s = plant.feeds[0].capture.taken * BLOCK / RATE - WINDOW / RATE - 2.0
    eventually(lambda: plant.worker.stopped)
    totals = plant.ledger.totals("one", begin_s + 1.0, begin_s + heard_s)
    assert totals[Account.SCORED] >= sum(totals.values()) - 1.0 > 5.0
    assert np.isfinite(plant.ledger.coverage("one", begin_s, begin_s + heard_s))
