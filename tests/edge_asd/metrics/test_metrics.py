"""Every metric exists from the start, can be moved, and pleases Prometheus' own linter."""

from __future__ import annotations

import ast
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.moved import MOVED_BY, NAMES, TESTS

import edge_asd
from edge_asd.books.ledger import Account
from edge_asd.capture.status import CaptureStatus
from edge_asd.evidence.records import Cause, Usage
from edge_asd.health import Health
from edge_asd.hearing.signal_health import Flaw
from edge_asd.metrics.metrics import RESTART_REASONS, SUPPRESS_REASONS, Metrics
from edge_asd.metrics.reload import ReloadMetrics
from edge_asd.publish.messages import ModelRef
from edge_asd.publish.outbox import Dropped, DropReason, RowClass, Stats
from edge_asd.records import Severity, State

M = "pump-1"


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    made = Metrics(registry, version="0.1.0", revision="abc")
    made.init_monitor(M, queue_capacity=16)
    made.init_backend("onnxruntime")
    ReloadMetrics(registry, 0.0)
    return made


def samples(registry):
    """Value of every sample of ours by its whole name."""
    lines = generate_latest(registry).decode().splitlines()
    found = (re.fullmatch(r"(edge_asd_\S+?(?:\{.*\})?) (\S+)", line) for line in lines)
    return {match[1]: float(match[2]) for match in found if match}


def families(registry):
    """Names of ours, counters with their ``_total``."""
    return {
        family.name.removeprefix("edge_asd_") + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
        if family.name.startswith("edge_asd_")
    }


@pytest.mark.usefixtures("metrics")
def test_every_metric_there_is_names_the_test_that_moves_it(registry):
    listed = sorted(NAMES)
    assert listed == sorted(set(listed))
    assert families(registry) - set(listed) == set(), "write a test that moves it, and list it"
    assert set(listed) - families(registry) == set()


@pytest.mark.parametrize("test", MOVED_BY)
def test_the_test_that_moves_a_metric_is_there_and_asks_for_it(test):
    file, _, function = test.partition("::")
    text = (TESTS / file).read_text()
    bodies = {
        node.name: ast.get_source_segment(text, node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    assert function in bodies
    for name in MOVED_BY[test]:
        assert f'"{name}"' in bodies[function] or f'"{name}_count"' in bodies[function], name


@pytest.mark.usefixtures("metrics")
def test_every_name_is_there_at_zero_before_anything_happens(registry):
    shown = samples(registry)
    not_zero = {name.split("{")[0] for name, value in shown.items() if value}
    assert not_zero == {
        "edge_asd_build_info",
        "edge_asd_window_queue_capacity",
        "edge_asd_hop_stretch",  # 1 is normal
        "edge_asd_config_last_reload_successful",  # the first one was
        "edge_asd_capture_drift_ratio",  # NaN: unknown
        "edge_asd_audio_noise_floor_dbfs",  # NaN: unknown
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
    metrics.mqtt_received("handled")
    metrics.mqtt_duplicate_client()
    metrics.commands.command("ack", "accepted")
    metrics.commands.rehearsal("mic")
    metrics.health.set([Health.WARNING])
    metrics.engine.built(2.5)
    metrics.engine.fell_back()
    metrics.set_outbox(Stats(2, 300, 7.0))
    metrics.outbox_dropped([Dropped(RowClass.REPORT, DropReason.SIZE, 4)])
    hearing = metrics.hearing
    hearing.set_fault(M, "no_audio")
    hearing.block(M, 10, clipped_ratio=0.1, dc=0.2)
    hearing.flawed(M, Flaw.DIGITAL_ZERO, 0.1)
    hearing.set_noise_floor(M, -60.0)
    hearing.set_capture(M, CaptureStatus(drift_ppm=20.0, surplus_s=1.0))
    hearing.set_ledger(M, {Account.SCORED: 9.0})
    hearing.set_stretch(4)
    hearing.evidence("kept")
    hearing.set_evidence_usage(Usage(3, 4, stuck=1, deleted={Cause.AGE: 1}))
    hearing.set_history_dropped(2)
    metrics.clock_stepped()


def test_every_name_can_be_moved_without_new_series(metrics, registry):
    before = samples(registry)
    everything(metrics)
    after = samples(registry)
    moved = {
        re.split(r"[{]", name)[0] for name, value in after.items() if value != before.get(name)
    }
    still = {re.sub(r"_count$", "", name) for name in moved}
    reloads = {f"edge_asd_{name}" for name in NAMES if name.startswith("config_")}
    assert still >= {f"edge_asd_{name}" for name in NAMES} - reloads - {
        "edge_asd_build_info",
        "edge_asd_window_queue_capacity",
    }
    new = {name.split("{")[0] for name in set(after) - set(before)}
    assert new == {"edge_asd_model_info"}
    assert after['edge_asd_windows_total{monitor="pump-1",result="gapped"}'] == 3
    assert after['edge_asd_outbox_dropped_total{class="report",reason="size"}'] == 4


def test_alerts_are_held_back_for_the_reasons_that_are_exported_and_no_other():
    calls = re.compile(r'alert_suppressed\([^)]*"(\w+)"\)')
    sources = Path(edge_asd.__file__).parent.rglob("*.py")
    given = {reason for path in sources for reason in calls.findall(path.read_text())}
    assert given == set(SUPPRESS_REASONS)


def test_counts_of_others_are_followed_also_where_they_begin_again(metrics, registry):
    for count in (2, 5, 0, 1):
        metrics.hearing.set_history_dropped(count)
    assert registry.get_sample_value("edge_asd_history_dropped_scores_total") == 6


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
