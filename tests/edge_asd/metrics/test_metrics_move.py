"""Metrics move with what happens in the product, where a whole daemon would take too long."""

from __future__ import annotations

import numpy as np
import pytest
from support.reporting import reporting
from support.sound import RATE, blocks_of, machine

from edge_asd.capture.status import CaptureStatus
from edge_asd.config import AlertConfig, EvidenceConfig, MonitorConfig
from edge_asd.errors import EngineError
from edge_asd.monitor.monitor import Monitor
from edge_asd.publish.outbox import DropReason, Message, RowClass
from edge_asd.records import Block
from edge_asd.worker.worker import Feed, Worker

PUMP = {"monitor": "pump-1"}
QUICK = {"above_s": 1.5, "within_s": 2.0, "clear_s": 1.0, "update_s": 60.0}


@pytest.fixture
def bench(tmp_path, tiny_networks):
    with reporting(tmp_path, tiny_networks.bundle.manifest) as bench:
        bench.metrics.init_monitor("pump-1", queue_capacity=20)
        yield bench


def monitor_of(bench, networks, profile, tmp_path, **alert):
    config = MonitorConfig(
        name="pump-1", source="sim:pump", settle_s=0, alert=AlertConfig(**(QUICK | alert))
    )
    off = EvidenceConfig(enabled=False)
    return Monitor(
        config, networks, tmp_path, bench.report, profile=profile, open_event=None, evidence=off
    )


def hear(bench, monitor, samples, *, late_s=0.0, queued_s=0.0):
    """Half seconds of sound, each handed over so long after its last sample."""
    for block in blocks_of(samples, range(RATE // 2, len(samples), RATE // 2)):
        bench.passing.now_s = block.captured_at + len(block.samples) / RATE + late_s
        monitor.push(block, RATE, queued_s=queued_s, dropped=False)


def test_latency_runs_from_the_last_sample_to_the_score(
    bench, tiny_networks, pump_profile, tmp_path
):
    monitor = monitor_of(bench, tiny_networks, pump_profile, tmp_path)
    hear(bench, monitor, machine("pump", 90.0)[: 6 * RATE], late_s=3.0, queued_s=2.0)

    def latency(what, stage):
        return bench.metric(f"{'window_latency_seconds'}_{what}", stage=stage)

    assert bench.metric("window_latency_seconds_count", stage="total") > 10
    mean_s = {
        stage: latency("sum", stage) / latency("count", stage)
        for stage in ("total", "queue", "features", "inference")
    }
    # Late by three seconds, and up to half a second until a block is full; resampling is short.
    assert 3.0 <= mean_s["total"] <= 3.6
    assert mean_s["queue"] == 2.0
    assert 0 < mean_s["inference"] < mean_s["total"]


def test_latency_of_an_event_runs_from_its_windows_last_sample_until_the_broker_has_it(
    bench, tiny_networks, pump_profile, tmp_path
):
    monitor = monitor_of(bench, tiny_networks, pump_profile, tmp_path, clear_s=600.0)
    bench.report.log.publish_under(bench.report.topics)
    fault = machine("pump", 17.0, fault="bearing_outer", span=(5.0, 9.0))
    hear(bench, monitor, fault, late_s=3.0)
    monitor.acknowledge("somebody")  # an event, too, and no window caused it
    steps = [row.message.seq for row in bench.store.outbox.head(100)]
    assert len(steps) >= 2
    bench.passing.now_s += 100.0
    for seq in steps:
        bench.store.outbox.receipts.received("pump-1", seq)
    count = bench.metric("window_latency_seconds_count", stage="puback")
    assert 1 <= count < len(steps)
    # The whole of the sound lies between the first event and the receipt.
    assert 103.0 <= bench.metric("window_latency_seconds_sum", stage="puback") / count <= 121.0


def test_a_recording_ahead_of_time_has_no_latency(bench, tiny_networks, pump_profile, tmp_path):
    monitor = monitor_of(bench, tiny_networks, pump_profile, tmp_path)
    hear(bench, monitor, machine("pump", 90.0)[: 4 * RATE], late_s=-60.0)
    assert bench.metric("window_latency_seconds_count", stage="inference") > 5
    assert bench.metric("window_latency_seconds_count", stage="total") == 0


def test_an_alert_so_soon_after_the_last_is_counted_as_suppressed(
    bench, tiny_networks, pump_profile, tmp_path
):
    monitor = monitor_of(bench, tiny_networks, pump_profile, tmp_path, cooldown_s=600.0)
    sound = machine("pump", 17.0, fault="bearing_outer", span=(5.0, 9.0))
    hear(bench, monitor, np.concatenate([sound, sound[5 * RATE : 9 * RATE]]))
    raised = sum(bench.metric("alerts_total", **PUMP, severity=s) for s in ("warning", "alarm"))
    assert raised >= 1
    assert bench.metric("alerts_suppressed_total", **PUMP, reason="cooldown") == 1


def test_what_an_outbox_gives_up_is_counted_by_class_and_reason(tmp_path, tiny_networks):
    manifest = tiny_networks.bundle.manifest
    with reporting(tmp_path, manifest, max_bytes=4000) as bench:
        given_up = [
            loss
            for seq in range(20)
            for loss in bench.store.outbox.put(
                Message("t", bytes(500), RowClass.REPORT, "pump-1", seq)
            )
        ]
        bench.metrics.outbox_dropped(given_up)
        counted = bench.metric("outbox_dropped_total", **{"class": "report", "reason": "size"})
        assert counted >= 10
        assert {loss.reason for loss in given_up} == {DropReason.SIZE}


class Source:
    """A live source that delivers one block, and has so much more waiting."""

    live, spent, sample_rate = True, False, RATE

    def __init__(self, held_s=0.0):
        self.held_s = held_s
        self._block = Block(machine("pump", 90.0)[:RATE, None], 0, 1_790_000_000.0)

    def tell(self, announce):
        announce()

    def expect(self, _index):
        pass

    @property
    def due(self):
        return self._block is not None

    def take(self):
        block, self._block = self._block, None
        return block

    def status(self):
        return CaptureStatus(up=True, reason="")


def worker_of(bench, networks, tmp_path, source, monitor):
    return Worker(
        [Feed(source, [monitor], live=True)], networks.bundle, tmp_path, bench.report,
        spawn=lambda *_: None, drain_s=0.0, clock=bench.passing,
    )  # fmt: skip


def test_a_runtime_that_fails_is_counted(bench, tiny_networks, pump_profile, tmp_path):
    class Failing:
        bundle, backend, batch = tiny_networks.bundle, tiny_networks.backend, 1

        def embed(self, _features):
            raise EngineError("onnxruntime: out of memory; stop other programs")

    monitor = monitor_of(bench, Failing(), pump_profile, tmp_path)
    source = Source()
    source._block = Block(machine("pump", 90.0)[: 4 * RATE, None], 0, bench.clock.now())
    worker = worker_of(bench, tiny_networks, tmp_path, source, monitor)
    worker.run()
    assert isinstance(worker.failure, EngineError)
    assert bench.metric("inference_errors_total", backend="onnxruntime") == 1


def test_late_scoring_stretches_the_hop(bench, tiny_networks, pump_profile, tmp_path):
    monitor = monitor_of(bench, tiny_networks, pump_profile, tmp_path)
    worker = worker_of(bench, tiny_networks, tmp_path, Source(held_s=15.0), monitor)
    assert bench.metric("hop_stretch") == 1
    for _ in range(100):
        bench.passing.now_s += 1.0
        worker._keep_up()
    assert bench.metric("hop_stretch") > 1
