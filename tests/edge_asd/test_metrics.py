"""Every metric exists from the start, can be moved, and pleases Prometheus' own linter."""

from __future__ import annotations

import math
import re
import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from edge_asd.capture.status import CaptureStatus
from edge_asd.ledger import Account
from edge_asd.metrics import RESTART_REASONS, Metrics
from edge_asd.publish.messages import ModelRef
from edge_asd.publish.outbox import Dropped, DropReason, RowClass, Stats
from edge_asd.records import Severity, State
from edge_asd.signal_health import Flaw

M = "pump-1"
NAMES = [
    "build_info",
    "start_time_seconds",
    "ready",
    "clock_synchronized",
    "capture_up",
    "capture_frames_total",
    "capture_overflows_total",
    "capture_lost_seconds_total",
    "capture_restarts_total",
    "capture_last_frame_timestamp_seconds",
    "audio_level_dbfs",
    "windows_total",
    "window_queue_length",
    "window_queue_capacity",
    "window_latency_seconds_count",
    "inference_errors_total",
    "anomaly_score",
    "anomaly_threshold",
    "anomaly_scores_count",
    "alert_active",
    "alerts_total",
    "alerts_suppressed_total",
    "monitor_state",
    "mqtt_connected",
    "mqtt_connect_attempts_total",
    "mqtt_publish_total",
    "outbox_messages",
    "outbox_bytes",
    "outbox_oldest_timestamp_seconds",
    "outbox_dropped_total",
    "microphone_fault",
    "signal_flawed_seconds_total",
    "audio_clipped_ratio",
    "audio_dc_ratio",
    "capture_drift_ratio",
    "capture_surplus_seconds",
    "ledger_seconds",
    "hop_stretch",
    "evidence_total",
    "evidence_bytes",
    "evidence_quota_bytes",
]


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    made = Metrics(registry, version="0.1.0", revision="abc")
    made.init_monitor(M, queue_capacity=16)
    made.init_backend("onnxruntime")
    return made


def samples(registry):
    """Value of every sample of ours by its whole name."""
    lines = generate_latest(registry).decode().splitlines()
    found = (re.fullmatch(r"(edge_asd_\S+?(?:\{.*\})?) (\S+)", line) for line in lines)
    return {match[1]: float(match[2]) for match in found if match}


@pytest.mark.usefixtures("metrics")
def test_every_name_is_there_at_zero_before_anything_happens(registry):
    shown = samples(registry)
    assert {re.split(r"[{]", name)[0] for name in shown} >= {f"edge_asd_{n}" for n in NAMES}
    not_zero = {name.split("{")[0] for name, value in shown.items() if value}
    assert not_zero == {
        "edge_asd_build_info",
        "edge_asd_window_queue_capacity",
        "edge_asd_hop_stretch",  # 1 is normal
        "edge_asd_capture_drift_ratio",  # NaN: unknown
    }


def everything(metrics):
    """Move every metric."""
    metrics.set_ready(True, started_at=5.0)
    metrics.set_model(ModelRef(name="n", version="1", sha256="ab" * 32, backend="onnxruntime"))
    metrics.set_clock_synchronized(True)
    metrics.set_capture_up(M, up=True)
    metrics.captured(M, 160, at=9.0, level_dbfs=-30.0)
    metrics.capture_overflowed(M)
    metrics.capture_lost(M, 0.5)
    metrics.set_capture_restarts(M, CaptureStatus(stalled=1))
    metrics.windows(M, "gapped", 3)
    metrics.set_queue_length(M, 2)
    metrics.latency("inference", 0.02)
    metrics.inference_error("onnxruntime")
    metrics.scored(M, 3.5)
    metrics.set_threshold(M, Severity.ALARM, 6.0)
    metrics.set_state(M, State.ALARM, Severity.ALARM)
    metrics.alert(M, Severity.ALARM)
    metrics.alert_suppressed(M, "cooldown")
    metrics.set_mqtt_connected(True)
    metrics.mqtt_connect("accepted")
    metrics.mqtt_publish("event_new", "delivered")
    metrics.set_outbox(Stats(2, 300, 7.0))
    metrics.outbox_dropped([Dropped(RowClass.REPORT, DropReason.SIZE, 4)])
    hearing = metrics.hearing
    hearing.set_fault(M, "no_audio")
    hearing.block(M, clipped_ratio=0.1, dc=0.2)
    hearing.flawed(M, Flaw.STUCK, 0.1)
    hearing.set_capture(M, CaptureStatus(drift_ppm=20.0, surplus_s=1.0))
    hearing.set_ledger(M, {Account.SCORED: 9.0})
    hearing.set_stretch(4)
    hearing.evidence("kept")
    hearing.set_evidence_usage(3, 4)


def test_every_name_can_be_moved_without_new_series(metrics, registry):
    before = samples(registry)
    everything(metrics)
    after = samples(registry)
    moved = {
        re.split(r"[{]", name)[0] for name, value in after.items() if value != before.get(name)
    }
    assert moved >= {f"edge_asd_{n}" for n in NAMES} - {
        "edge_asd_build_info",
        "edge_asd_window_queue_capacity",
    }
    new = {name.split("{")[0] for name in set(after) - set(before)}
    assert new == {"edge_asd_model_info"}
    assert after['edge_asd_windows_total{monitor="pump-1",result="gapped"}'] == 3
    assert after['edge_asd_outbox_dropped_total{class="report",reason="size"}'] == 4


def test_restarts_follow_the_counts_of_the_source(metrics, registry):
    for stalled, exited in ((1, 0), (1, 0), (3, 1)):
        metrics.set_capture_restarts(M, CaptureStatus(stalled=stalled, exited=exited))
    counts = {
        reason: registry.get_sample_value(
            "edge_asd_capture_restarts_total", {"monitor": M, "reason": reason}
        )
        for reason in RESTART_REASONS
    }
    assert counts == {"exited": 1, "stalled": 3, "open_failed": 0}


def test_exactly_one_state_is_current(metrics, registry):
    for state in (State.NORMAL, State.UNKNOWN):
        metrics.set_state(M, state, None)
        shown = samples(registry)
        on = [name for name in shown if name.startswith("edge_asd_monitor_state") and shown[name]]
        assert on == [f'edge_asd_monitor_state{{monitor="pump-1",state="{state.value}"}}']
    assert not shown['edge_asd_alert_active{monitor="pump-1",severity="alarm"}']


def test_a_new_model_replaces_the_one_before(metrics, registry):
    for version in ("1", "2"):
        metrics.set_model(ModelRef(name="n", version=version, sha256="0f" * 32, backend="b"))
    infos = [name for name in samples(registry) if "model_info" in name]
    assert infos == [
        'edge_asd_model_info{backend="b",model="n",sha256_12="0f0f0f0f0f0f",version="2"}'
    ]


def test_a_score_that_is_not_finite_does_not_spoil_the_histogram(metrics, registry):
    metrics.scored(M, math.nan)
    metrics.scored(M, 2.0)
    assert registry.get_sample_value("edge_asd_anomaly_scores_count", {"monitor": M}) == 1


def test_an_unknown_clock_is_not_a_wrong_one(metrics, registry):
    metrics.set_clock_synchronized(None)
    assert math.isnan(registry.get_sample_value("edge_asd_clock_synchronized"))


@pytest.mark.usefixtures("metrics")
def test_process_metrics_are_there(registry):
    text = generate_latest(registry).decode()
    assert "process_resident_memory_bytes" in text
    assert "python_gc_collections_total" in text


def test_promtool_has_no_complaint(metrics, registry):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (package prometheus) is not installed")
    everything(metrics)
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=generate_latest(registry),
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr.decode(), checked.stdout.decode()) == (0, "", "")
