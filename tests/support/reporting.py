"""The sinks of a daemon without the daemon: a reporter whose time stands still until it is set."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

from prometheus_client import CollectorRegistry

from edge_asd.books.books import Books
from edge_asd.books.history import History
from edge_asd.books.ledger import Ledger
from edge_asd.config import EvidenceConfig
from edge_asd.evidence.desk import EvidenceDesk
from edge_asd.health import HealthBoard
from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.payload import ModelRef
from edge_asd.publish.store import EventStore
from edge_asd.report.report import Reporter
from edge_asd.steady import SteadyClock
from support.sound import WALL_S

MODEL = ModelRef(name="tiny", version="1", sha256="ab" * 32, backend="onnxruntime")


class Time:
    """Seconds since 1970 that pass only where a test says so."""

    def __init__(self, now_s=WALL_S):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


@contextlib.contextmanager
def reporting(folder, manifest, **outbox):
    """A reporter, its metrics, and the time that it lives in.

    Args:
        folder: The state directory.
        manifest: Of the bundle.
        outbox: Bounds of the outbox.
    """
    passing, registry, board = Time(), CollectorRegistry(), HealthBoard()
    clock = SteadyClock(passing, passing)
    metrics = Metrics(registry, version="test")
    metrics.init_backend(MODEL.backend)
    with contextlib.ExitStack() as closers:

        def kept(thing):
            closers.callback(thing.close)
            return thing

        desk = kept(
            EvidenceDesk(
                EvidenceConfig(enabled=False),
                "hall",
                folder,
                manifest,
                clock=clock,
                count=metrics.hearing.evidence,
            )
        )
        books = Books(
            kept(Ledger(folder, clock)), kept(History(folder, clock)), desk,
            clock=clock, metrics=metrics, health=board,
        )  # fmt: skip
        store = kept(EventStore(folder, **outbox))
        report = Reporter(
            "hall", store, books, mqtt=None, jsonl=None, metrics=metrics, health=board,
            model=MODEL, clock=clock,
        )  # fmt: skip

        def metric(name, **labels):
            return registry.get_sample_value(f"edge_asd_{name}", labels)

        yield SimpleNamespace(
            report=report, metric=metric, passing=passing, clock=clock, metrics=metrics,
            health=board, store=store,
        )  # fmt: skip
