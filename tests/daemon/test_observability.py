"""What others see of a running daemon: metrics, probes, the service manager."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time

import numpy as np
import pytest
from brokers import PATIENCE_S
from support.moved import NAMES
from support.processes import FAULT, PUMP, DaemonProcess
from support.service_manager import ServiceManager

PROMTOOL = shutil.which("promtool")
NO_EVIDENCE = {"enabled": False}
F_SETPIPE_SZ = 1031  # fcntl has the name from Python 3.10 on, not on every libc


def test_metrics_of_a_live_daemon_move_and_are_accepted_by_promtool(plant, tmp_path):
    config = plant.config(tmp_path, f"{FAULT}&speed=10&onset=5")
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.logged("type=new")
        pump = {"monitor": "pump"}
        frames = daemon.metric("capture_frames_total", **pump)
        assert frames > 16_000 * 5
        assert daemon.metric("windows_total", result="scored", **pump) > 20
        assert daemon.metric("anomaly_scores_count", **pump) > 20
        assert daemon.metric("anomaly_score", **pump) > daemon.metric(
            "anomaly_threshold", severity="warning", **pump
        )
        assert daemon.metric("window_queue_capacity", **pump) > 0
        severities = ("warning", "alarm")
        for name in ("alerts_total", "alert_active"):
            daemon.until(
                lambda name=name: sum(daemon.metric(name, severity=s, **pump) for s in severities)
            )
        for name in ("capture_up", "build_info", "model_info", "ready"):
            assert daemon.metric(name) == 1
        for name in ("capture_last_frame_timestamp_seconds", "start_time_seconds"):
            assert abs(daemon.metric(name) - time.time()) < 5 * PATIENCE_S
        for name in ("audio_level_dbfs", "audio_noise_floor_dbfs"):
            assert -60 < daemon.metric(name, **pump) < 0
        daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
        alerts = [daemon.metric("monitor_state", state=s, **pump) for s in ("warning", "alarm")]
        assert sum(alerts) == 1
        daemon.until(lambda: daemon.metric("capture_frames_total", **pump) > frames)
        daemon.until(lambda: daemon.metric("ledger_seconds", account="scored", **pump))
        daemon.until(lambda: daemon.metric("evidence_clips_total", result="kept") == 1)
        daemon.until(lambda: daemon.metric("evidence_bytes"))
        assert daemon.metric("evidence_quota_bytes") == 512e6
        text = daemon.get("/metrics")[1]
        exported = set(re.findall(r"^# TYPE edge_asd_(\w+)", text, re.MULTILINE))
        assert exported == set(NAMES)  # of support.moved: none without a test that moves it
        if PROMTOOL is None:
            pytest.skip("promtool is not installed")
        checked = subprocess.run(
            [PROMTOOL, "check", "metrics"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.broker
def test_metrics_of_delivery_move_with_the_broker(plant, mosquitto, tmp_path):
    mosquitto.start()
    config = plant.config(
        tmp_path, f"{FAULT}&speed=10&onset=5", mqtt={"url": mosquitto.url}, evidence=NO_EVIDENCE
    )
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.until(lambda: daemon.metric("mqtt_connected") == 1)
        assert daemon.metric("mqtt_connect_attempts_total", result="accepted") == 1
        # Nobody has subscribed, and the broker says so.
        new = {"class": "event_new", "result": "no_subscribers"}
        daemon.until(lambda: daemon.metric("mqtt_publish_total", **new) == 1)
        mosquitto.kill()
        daemon.until(lambda: daemon.metric("outbox_messages") > 0)  # an update of the alert
        assert daemon.metric("outbox_bytes") > 100
        assert abs(daemon.metric("outbox_oldest_timestamp_seconds") - time.time()) < 5 * PATIENCE_S
        assert daemon.metric("mqtt_connected") == 0
        daemon.until(lambda: daemon.metric("mqtt_connect_attempts_total", result="unreachable"))
        mosquitto.start()
        daemon.until(lambda: daemon.metric("mqtt_connected") == 1)
        update = {"class": "event_update", "result": "no_subscribers"}
        daemon.until(lambda: daemon.metric("mqtt_publish_total", **update))


def test_probes_answer_and_the_page_of_checks_names_every_part(plant, tmp_path):
    config = plant.config(tmp_path, f"{PUMP}&speed=4")
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.until(lambda: daemon.get("/readyz")[0] == 200)
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        assert daemon.get("/livez") == (200, "ok\n")
        assert daemon.get("/healthz")[0] == 200
        assert set(daemon.checks()) >= {"capture/pump", "calibration/pump", "workers", "events"}
        # 120 s of audio cannot support one false alarm a week, and that is said.
        assert daemon.checks()["calibration/pump"]["status"] == "warning"


def test_a_source_that_is_down_is_critical_but_does_not_hold_up_readiness(plant, tmp_path):
    config = plant.config(tmp_path, "exec:/nonexistent/recorder")
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.until(lambda: daemon.get("/readyz")[0] == 200)
        daemon.until(lambda: daemon.get("/healthz")[0] == 503)
        daemon.until(lambda: daemon.checks()["capture/pump"]["status"] == "critical")
        check = daemon.checks()["capture/pump"]
        assert "/nonexistent/recorder" in check["text"]
        assert "install it" in check["text"]
        daemon.until(lambda: "no audio" in daemon.reason_of("pump"))  # first it is "starting"
        assert daemon.state_of("pump") == "unknown"
        assert daemon.get("/livez")[0] == 200


def test_systemd_hears_ready_status_watchdog_and_stopping(plant, tmp_path):
    config = plant.config(tmp_path, f"{PUMP}&speed=8")
    with ServiceManager(tmp_path / "notify") as manager:
        settings = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "4000000"}
        state = plant.state(tmp_path)
        with DaemonProcess(state, "--config", config, **settings) as daemon:
            daemon.until(lambda: manager.times_of("READY=1"))
            daemon.until(lambda: len(manager.times_of("WATCHDOG=1")) >= 3)
            pings = manager.times_of("WATCHDOG=1")
            assert max(np.diff(pings)) < 4.0  # or systemd would have ended it
            daemon.until(lambda: manager.times_of("STATUS=1/1 sources, normal 1, broker none"))
            texts = [text for _, text in manager.heard]
            assert texts.count("READY=1") == 1
            assert texts[0] == "EXTEND_TIMEOUT_USEC=300000000"  # before what may take long
            assert "engine=onnxruntime" in daemon.log  # warm before it said so
            assert daemon.stop()[0] == 0
            manager.listen()
            assert manager.heard[-1][1] == "STOPPING=1"


def test_pings_for_another_process_are_not_answered(plant, tmp_path):
    config = plant.config(tmp_path, f"{PUMP}&speed=8")
    with ServiceManager(tmp_path / "notify") as manager:
        settings = {
            "NOTIFY_SOCKET": str(manager.path),
            "WATCHDOG_USEC": "1000000",
            "WATCHDOG_PID": "1",
        }
        state = plant.state(tmp_path)
        with DaemonProcess(state, "--config", config, **settings) as daemon:
            daemon.until(lambda: manager.times_of("READY=1"))
            daemon.until(lambda: daemon.state_of("pump") == "normal")
            assert manager.times_of("WATCHDOG=1") == []


@pytest.mark.long
def test_the_watchdog_starves_when_the_worker_is_stuck(plant, tmp_path):
    """Nobody reads the pipe that events are written to: the worker hangs in its write."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, F_SETPIPE_SZ, 4096)
    os.write(write_end, bytes(4096))
    config = plant.config(
        tmp_path, f"{FAULT}&speed=10&onset=5", jsonl={"path": f"/dev/fd/{write_end}"}
    )
    with ServiceManager(tmp_path / "notify") as manager:
        settings = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "2000000"}
        state = plant.state(tmp_path)
        with DaemonProcess(state, "--config", config, pass_fds=(write_end,), **settings) as daemon:
            daemon.logged("event=dropping reason=worker_late")  # it hangs since the alert
            daemon.until(
                lambda: manager.listen() and daemon.get("/livez")[0] == 503, 2 * PATIENCE_S
            )
            assert "worker" in daemon.get("/livez")[1]
            time.sleep(1.5)
            manager.listen()
            heard = len(manager.times_of("WATCHDOG=1"))
            time.sleep(2.5)
            assert len(manager.times_of("WATCHDOG=1")) == heard
            code, seconds = daemon.stop()
            assert (code, seconds < 5.0) == (0, True), daemon.log
    os.close(read_end)
    os.close(write_end)
