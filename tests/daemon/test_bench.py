"""``edge-asd bench`` as an owner runs it: a real run, and one that is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from brokers import BINARY, PATIENCE_S, eventually
from support import tensorrt_fake
from support.processes import ROOT, assert_refused, background, cli

from edge_asd.bench.accounting import family

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(BINARY is None, reason="mosquitto is not installed"),
]


def test_a_quick_run_answers_what_it_promises(tiny_bundle, tmp_path):
    picture, state = tmp_path / "bench.png", tmp_path / "state"
    done = cli(
        *("bench", "--quick", "--json", "--bundle", tiny_bundle.path, "--engine", "onnxruntime"),
        *("--picture", picture, "--state-dir", state),
        timeout_s=5 * PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    fields = json.loads(line)
    alone, whole = fields["engine_windows_per_s"], fields["pipeline_windows_per_s"]
    assert fields["pipeline_ratio"] == whole / alone
    assert 1.0 < whole < alone
    assert fields["monitors_per_core"] >= 1
    assert 0.0 < fields["latency_ms"]["p50"] <= fields["latency_ms"]["p99"]
    assert fields["details"]["latency"]["latency_ms"]["count"] >= 4
    assert 0.0 < fields["cpu_share"] < 1.0
    assert 20.0 < fields["pss_mb"] <= fields["rss_mb"] * 1.01 < 1000.0
    assert fields["cold_start_s"] > 0.1
    assert (fields["engine"], fields["bundle"]) == ("onnxruntime", "tiny-1")
    assert fields["machine"]["cores"] == os.cpu_count()
    assert set(fields["not_measured"]) <= {
        "daemon_monitors_per_core",
        "latency_loaded_ms",
        "energy",
    }
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(tiny_bundle, tmp_path, number):
    arguments = ("bench", "--only", "latency", "--bundle", tiny_bundle.path)
    options = ("--engine", "onnxruntime", "--state-dir", tmp_path / "state")
    with background(*arguments, *options, stderr=subprocess.PIPE) as process:
        log = eventually(lambda: list(tmp_path.glob("state/bench-*/latency/daemon.log")))[0]
        eventually(lambda: b"ready monitors=" in log.read_bytes(), what="a daemon that listens")
        everybody = family(process.pid)
        assert len(everybody) >= 3  # with the daemon and the broker
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 130
        assert b"Traceback" not in process.stderr.read()
    for pid in everybody:
        eventually(lambda pid=pid: not Path(f"/proc/{pid}").exists(), what=f"the end of {pid}")
    assert not list(tmp_path.glob("state/bench-*"))


def test_a_plan_that_is_missing_is_built_measured_and_kept(tiny_bundle, tmp_path):
    state = tmp_path / "state"
    path = os.pathsep.join((str(tensorrt_fake.FOLDER), str(ROOT)))

    def run(*only):
        done = cli(
            *("bench", "--quick", "--json", *(f"--only={part}" for part in only)),
            *("--bundle", tiny_bundle.path, "--engine", "tensorrt", "--precision", "fp32"),
            *("--state-dir", state),
            PYTHONPATH=path,
            FAKE_TRT="",
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    fields = run("throughput", "latency")
    assert (fields["engine"], fields["precision"]) == ("tensorrt", "fp32")
    assert fields["machine"]["gpu"]["gpu"]
    assert fields["details"]["throughput"]["batch"] > 1
    assert fields["details"]["throughput"]["batched"]["median"] > 1.0
    assert fields["latency_ms"]["p50"] > 0.0
    (plan,) = state.glob("engines/plans/*.plan")
    built = plan.stat().st_ino
    assert run("throughput")["engine"] == "tensorrt"
    assert plan.stat().st_ino == built


def test_what_cannot_be_measured_at_all_is_one_line(tmp_path):
    missing = cli("bench", "--bundle", tmp_path / "none.asd", "--state-dir", tmp_path)
    assert_refused(missing, 65, "none.asd")
    folder = tmp_path / "file"
    folder.write_text("")
    unusable = cli("bench", "--quick", "--state-dir", folder)
    assert_refused(unusable, 69, folder, "--state-dir")
