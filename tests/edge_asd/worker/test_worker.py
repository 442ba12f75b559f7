"""More windows than can be scored: less often, for all monitors alike, and nothing unheard."""

from __future__ import annotations

import contextlib
import itertools
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from support.sound import RATE, machine
from support.tiny import HOP, WINDOW

from edge_asd.books.books import Books
from edge_asd.books.history import History
from edge_asd.books.ledger import Account, Ledger
from edge_asd.capture.status import CaptureStatus
from edge_asd.capture.supervise import QUEUE_S
from edge_asd.config import AlertConfig, EvidenceConfig, MonitorConfig
from edge_asd.evidence.desk import EvidenceDesk
from edge_asd.health import Health, HealthBoard
from edge_asd.metrics.metrics import Metrics
from edge_asd.monitor.monitor import Monitor
from edge_asd.publish.payload import ModelRef
from edge_asd.publish.store import EventStore
from edge_asd.records import Block
from edge_asd.report.report import Reporter
from edge_asd.steady import SteadyClock
from edge_asd.worker import overload
from edge_asd.worker.arrivals import Arrivals
from edge_asd.worker.feed import Feed
from edge_asd.worker.worker import Worker

BLOCK = 1600
HOP_S = HOP / RATE
MODEL = ModelRef(name="tiny", version="1", sha256="ab" * 32, backend="onnxruntime")


class Time:
    """Time that passes only where something waits or computes: this machine may be slow."""

    def __init__(self):
        self.now_s = 1_790_000_000.0

    def __call__(self):
        return self.now_s


class Live:
    """A live source whose queue is endless, so that nothing is ever dropped."""

    live, spent = True, False

    def __init__(self, samples, passing):
        self.samples, self.sample_rate = samples, RATE
        self.passing, self.began_s = passing, passing()
        self.taken = 0

    @property
    def held_s(self):
        """Audio that has come and waits."""
        return self.passing() - self.began_s - self.taken * BLOCK / RATE

    def tell(self, _announce):
        """It never says: the worker has to look."""

    def expect(self, _index):
        """Its blocks come as they come."""

    @property
    def due(self):
        """Whether a block has come."""
        return self.held_s >= BLOCK / RATE

    def take(self):
        """The next block, once it has come."""
        if self.held_s < BLOCK / RATE:
            return None
        start, self.taken = self.taken * BLOCK, self.taken + 1
        at = start % (len(self.samples) - BLOCK)
        at -= at % BLOCK
        samples = self.samples[at : at + BLOCK, None]
        return Block(samples, start, self.began_s + start / RATE)

    def status(self):
        """Always well."""
        return CaptureStatus(up=True, reason="", frames=1)


class Passing(Arrivals):
    """Waiting passes time."""

    def __init__(self, passing):
        super().__init__()
        self.passing = passing

    def take(self, timeout_s):
        """Those who are here; time passes if nobody is."""
        here = super().take(0.0)
        if not here:
            self.passing.now_s += timeout_s
        return here


class Regular(Passing):
    """Every half second all have something; counts how often that was waited for."""

    def __init__(self, passing, feeds):
        super().__init__(passing)
        self.feeds, self.waits, self.next_s = feeds, 0, passing() + 0.5

    def take(self, timeout_s):
        """Those who are here, those who come next, or nobody."""
        here = Arrivals.take(self, 0.0)
        if here:
            return here
        self.waits += 1
        until_s = self.passing() + timeout_s
        if self.next_s > until_s:
            self.passing.now_s = until_s
            return []
        self.passing.now_s, self.next_s = self.next_s, self.next_s + 0.5
        return list(self.feeds)


class Slow:
    """Networks that need a while for every window."""

    batch = 1

    def __init__(self, networks, passing):
        self.networks, self.passing, self.cost_s = networks, passing, 0.0
        self.bundle, self.backend = networks.bundle, networks.backend

    def embed(self, features):
        """As the others, later."""
        self.passing.now_s += self.cost_s
        return self.networks.embed(features)


@pytest.fixture
def plant(tmp_path, tiny_networks, pump_profile):
    passing = Time()
    with contextlib.ExitStack() as closers:
        clock = SteadyClock(passing, passing)
        metrics = Metrics(CollectorRegistry(), version="test")
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
        networks = Slow(tiny_networks, passing)
        alert = AlertConfig(above_s=1.5, within_s=2.0)
        feeds = []
        for name in ("one", "two"):
            config = MonitorConfig(name=name, source="sim:pump", alert=alert, settle_s=0)
            monitor = Monitor(
                config, networks, tmp_path, report, profile=pump_profile, open_event=None
            )
            feeds.append(Feed(Live(machine("pump", 90.0), passing), [monitor], live=True))
        worker = Worker(
            feeds,
            tiny_networks.bundle,
            tmp_path,
            report,
            spawn=lambda *_: None,
            drain_s=0.0,
            clock=passing,
            arrivals=Passing(passing),
        )
        yield SimpleNamespace(
            worker=worker, networks=networks, board=board, ledger=ledger, metrics=metrics,
            feeds=feeds, passing=passing,
        )  # fmt: skip


def work(plant, seconds):
    """Let the worker work for so long."""
    until_s = plant.passing() + seconds
    while plant.passing() < until_s:
        plant.worker._round()


def windows(plant, result):
    return [plant.metrics._windows.labels(name, result)._value.get() for name in ("one", "two")]


def waiting(plant):
    return max(feed.capture.held_s for feed in plant.feeds)


def test_late_scoring_is_stretched_for_all_alike_told_and_taken_back(plant):
    work(plant, 20.0)
    assert min(windows(plant, "scored")) > 50
    assert windows(plant, "skipped") == [0, 0]
    assert plant.board.snapshot()["overload"].status is Health.HEALTHY

    plant.networks.cost_s = 1.4 * HOP_S  # two monitors: nearly three times what there is time for
    work(plant, 60.0)
    assert plant.board.snapshot()["overload"].status is Health.WARNING
    assert waiting(plant) < 2.0 * overload.LATE_S
    one, two = windows(plant, "skipped")
    assert one == pytest.approx(two, rel=0.05)
    assert one > 50

    plant.networks.cost_s = 0.0
    work(plant, 120.0)
    assert plant.board.snapshot()["overload"].status is Health.HEALTHY
    assert waiting(plant) < 1.0


def test_every_second_stays_scored_while_the_hop_is_stretched(plant):
    plant.networks.cost_s = 1.4 * HOP_S
    work(plant, 90.0)
    assert min(windows(plant, "skipped")) > 50
    begin_s = plant.feeds[0].capture.began_s
    heard_s = plant.feeds[0].capture.taken * BLOCK / RATE - WINDOW / RATE - 2.0
    totals = plant.ledger.totals("one", begin_s + 1.0, begin_s + heard_s)
    assert totals[Account.SCORED] >= sum(totals.values()) - 1.0 > 50.0


def test_audio_never_piles_up_to_what_the_queue_can_hold(plant):
    plant.networks.cost_s = 1.8 * HOP_S
    for _ in range(120):
        work(plant, 1.0)
        assert waiting(plant) < QUEUE_S


def test_what_has_to_be_looked_at_waits_for_audio_and_no_longer_than_it_may(plant):
    arrivals, looks = Regular(plant.passing, plant.feeds), []
    plant.worker._arrivals = arrivals
    plant.worker.each_look.append(lambda: looks.append(plant.passing()))
    work(plant, 20.0)
    assert arrivals.waits <= 2 * 20 + 1  # never for a look alone
    arrivals.feeds = []  # audio comes no more
    arrivals.next_s = float("inf")
    work(plant, 20.0)
    between_s = [after - before for before, after in itertools.pairwise(looks)]
    assert max(between_s) <= 0.7
