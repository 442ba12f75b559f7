"""What the main thread sees every second is shown: sources, clocks, workers that stand still."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from support.reporting import Time

from edge_asd import observe
from edge_asd.capture.status import CaptureStatus
from edge_asd.health import Health, HealthBoard, ProgressWatch
from edge_asd.metrics.metrics import Metrics
from edge_asd.observe import Observer
from edge_asd.records import State
from edge_asd.steady import SteadyClock


class Notifier:
    """The service manager that listens."""

    watchdog_interval_s = 10.0

    def __init__(self):
        self.said = []

    def status(self, text):
        self.said.append(text)

    def watchdog(self):
        self.said.append("ping")


class Bench:
    def __init__(self, status):
        self.status, self.held_s = status, 0.0
        self.registry, self.board = CollectorRegistry(), HealthBoard()
        self.metrics = Metrics(self.registry, version="0")
        self.metrics.init_monitor("pump", queue_capacity=observe.WINDOWS_QUEUED)
        self.wall, self.counter = Time(), Time(50.0)
        self.watch = ProgressWatch(30.0, self.counter)
        self.notifier = Notifier()
        monitor = SimpleNamespace(name="pump", standing=SimpleNamespace(state=State.NORMAL))
        bench = self

        class Capture:
            held_s = property(lambda _self: bench.held_s)

            def status(self):
                return bench.status

        feed = SimpleNamespace(capture=Capture(), monitors=[monitor])
        self.observer = Observer(
            "hall",
            SimpleNamespace(feeds=[feed], monitors=[monitor]),
            None,
            metrics=self.metrics,
            board=self.board,
            watch=self.watch,
            notifier=self.notifier,
            clock=SteadyClock(self.wall, self.counter),
        )

    def pass_s(self, seconds):
        self.wall.now_s += seconds
        self.counter.now_s += seconds
        self.observer.look()

    def metric(self, name, **labels):
        return self.registry.get_sample_value(f"edge_asd_{name}", labels)


def test_what_sources_and_clocks_say_is_shown(monkeypatch):
    monkeypatch.setattr(observe, "clock_synchronized", lambda: True)
    bench = Bench(CaptureStatus(up=True, reason="", drift_ppm=25.0, surplus_s=1.5))
    bench.held_s = 7.0
    bench.pass_s(1.0)
    pump = {"monitor": "pump"}
    assert bench.metric("window_queue_length", **pump) == 7
    assert bench.metric("capture_drift_ratio", **pump) == pytest.approx(25e-6)
    assert bench.metric("capture_surplus_seconds", **pump) == 1.5
    assert bench.metric("clock_synchronized") == 1
    assert bench.metric("clock_steps_total") == 0
    assert bench.metric("health_checks", status="healthy") == 2
    bench.wall.now_s += 3600.0
    bench.pass_s(1.0)
    bench.pass_s(1.0)
    assert bench.metric("clock_steps_total") == 1
    monkeypatch.setattr(observe, "clock_synchronized", lambda: None)
    bench.pass_s(1.0)
    assert math.isnan(bench.metric("clock_synchronized"))


@pytest.mark.parametrize(
    ("status", "health", "words"),
    [
        (CaptureStatus(up=True, reason=""), Health.HEALTHY, "audio arrives"),
        (CaptureStatus(), Health.UNKNOWN, "starting"),
        (CaptureStatus(reason="no such card; plug it in"), Health.CRITICAL, "plug it in"),
        (CaptureStatus(up=True, reason="", drift_ppm=2e5), Health.WARNING, "check rate="),
    ],
)
def test_a_source_is_as_well_as_it_says(status, health, words):
    bench = Bench(status)
    bench.pass_s(1.0)
    check = bench.board.snapshot()["capture/pump"]
    assert check.status is health
    assert words in check.text
    assert bench.metric("capture_up", monitor="pump") == status.up


def test_a_worker_that_stands_still_starves_the_watchdog_and_the_check_says_what_to_do():
    bench = Bench(CaptureStatus(up=True, reason=""))
    count = [0]
    bench.watch.watch("worker", lambda: count[0])
    for _ in range(10):
        count[0] += 1
        bench.pass_s(5.0)
    assert bench.board.snapshot()["workers"].status is Health.HEALTHY
    pings = bench.notifier.said.count("ping")
    bench.pass_s(31.0)
    check = bench.board.snapshot()["workers"]
    assert check.status is Health.CRITICAL
    assert "worker" in check.text
    assert "restart" in check.text
    assert bench.notifier.said.count("ping") == pings
    assert json.dumps(check.text).isascii()
