"""A running daemon learns: by itself, when asked, and not when it must not."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest
from brokers import PATIENCE_S, Subscriber
from support.processes import (
    FAULT,
    PUMP,
    QUICK,
    DaemonProcess,
    assert_refused,
    background,
    cli,
    lines,
    stored_events,
)

from edge_asd.errors import BusyError, UsageError
from edge_asd.operators.control import ask_daemon
from edge_asd.state_dir import socket_path


@pytest.mark.broker
def test_a_monitor_without_a_profile_learns_by_itself_and_keeps_what_it_learned(
    plant, mosquitto, tmp_path
):
    mosquitto.start()
    state = tmp_path / "state"
    config = plant.config(
        tmp_path,
        f"{PUMP}&speed=15",
        monitor={"enrol_s": 60},
        bundle=str(plant.bundle),
        mqtt={"url": mosquitto.url},
    )
    topic = "edge-asd/hall/pump/state"
    with (
        Subscriber(mosquitto.port, topic) as subscriber,
        DaemonProcess(state, "--config", config) as daemon,
    ):
        daemon.until(lambda: subscriber.of(topic))
        daemon.until(lambda: daemon.metric("monitor_state", monitor="pump", state="baselining"))
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        assert daemon.stop()[0] == 0
        shown = [json.loads(payload) for payload in subscriber.of(topic)]
    learning = [state for state in shown if state["state"] == "baselining"]
    recording = [state for state in learning if "s to go" in state["reason"]]
    progress = [state["progress"] for state in recording]
    assert len(set(progress)) > 2
    assert progress == sorted(progress)
    assert 0.0 < progress[1] < 1.0
    with DaemonProcess(state, "--config", config) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
    assert "baselining" not in daemon.log


def test_a_source_too_short_to_learn_from_is_said_and_ends_with_65(plant, tmp_path):
    config = plant.config(tmp_path, f"{PUMP}&speed=max&seconds=40", bundle=str(plant.bundle))
    with DaemonProcess(tmp_path / "state", "--config", config, "--once") as daemon:
        assert daemon.wait() == 65, daemon.log
    last = daemon.log.rstrip().splitlines()[-1]
    assert last.startswith("edge-asd: ")
    assert "ended after 40 s of baselining; at least 60 s are needed" in last


def test_without_once_such_a_source_leaves_the_state_unknown(plant, tmp_path):
    config = plant.config(tmp_path, f"{PUMP}&speed=max&seconds=40", bundle=str(plant.bundle))
    with DaemonProcess(tmp_path / "state", "--config", config) as daemon:
        daemon.until(lambda: "at least 60 s are needed" in daemon.reason_of("pump"))
        assert daemon.state_of("pump") == "unknown"
        assert daemon.checks()["enrolment/pump"]["status"] == "critical"
        refused = cli("enrol", "--monitor", "pump", "--seconds", 60, "--state-dir", daemon.state)
        assert_refused(refused, 2, "pump", "has ended", "--from")


def test_a_running_daemon_enrols_from_files_and_uses_the_new_profile(plant, tmp_path):
    state = plant.state(tmp_path)
    config = plant.config(tmp_path, f"{PUMP}&speed=10&level=-18")
    with DaemonProcess(state, "--config", config) as daemon:
        # Twelve decibels louder than enrolled: not normal under the old profile.
        daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
        opened = daemon.status()["pump"]["event_id"]
        ask = ("enrol", "--monitor", "pump", "--from", plant.normal, "--state-dir", state)
        assert_refused(cli(*ask), 69, "pump", "learned as normal", "--force")
        before = daemon.status()["pump"]["threshold"]
        forced = cli(*ask, "--force", "--json")
        assert forced.returncode == 0, forced.stderr
        (learned,) = lines(forced)
        assert learned["enrolled_s"] == pytest.approx(120, abs=2)
        assert daemon.status()["pump"]["threshold"] is not None
        assert before is not None
        # The alert that was open has ended, and not silently.
        steps = [step for step in stored_events(state) if step["id"] == opened]
        assert steps[-1]["type"] == "end"
        assert steps[-1]["reason"] == "enrolled again"


def test_a_running_daemon_enrols_live_with_progress_and_survives_impatience(plant, tmp_path):
    state = plant.state(tmp_path)
    config = plant.config(tmp_path, f"{PUMP}&speed=15")
    with DaemonProcess(state, "--config", config) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        request = {"command": "enrol", "monitor": "pump", "seconds": 60}
        # Long enough to be left before its end, however late this machine wakes us.
        arguments = ("enrol", "--monitor", "pump", "--seconds", 240, "--state-dir", state)
        with background(*arguments, stderr=subprocess.PIPE) as leaver:
            daemon.until(lambda: daemon.state_of("pump") == "baselining")
            # Asked directly: another command line might take as long to start as this recording.
            with pytest.raises(BusyError, match=r"^pump: .* under way; wait for its end$"):
                ask_daemon(socket_path(state, {}), request, lambda *_: None)
            # Whoever asked leaves; the daemon goes on and learns.
            leaver.send_signal(signal.SIGINT)
            assert leaver.wait(PATIENCE_S) == 130
            assert b"Traceback" not in leaver.stderr.read()
        daemon.logged("monitor=pump enrolled")
        steps = []
        result = ask_daemon(socket_path(state, {}), request, lambda *step: steps.append(step))
        assert result["enrolled_s"] == pytest.approx(60, abs=2)
        shares = [share for share, _ in steps]
        assert shares == sorted(shares)
        assert len(shares) > 10
        assert any("to go" in text for _, text in steps)
        daemon.until(lambda: daemon.state_of("pump") == "normal")


def test_nonsense_over_the_control_socket_is_refused_and_harms_nothing(plant, tmp_path):
    state = plant.state(tmp_path)
    config = plant.config(tmp_path, f"{PUMP}&speed=10")
    with DaemonProcess(state, "--config", config) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        enrol = {"command": "enrol", "monitor": "pump"}
        for request in (
            {},
            {"command": "format-disk"},
            {"command": "enrol"},
            {"command": "enrol", "monitor": "other"},
            enrol | {"seconds": "long"},
            enrol | {"seconds": float("nan")},
            enrol | {"seconds": -5},
            enrol | {"from": "/etc/passwd"},
            enrol | {"from": [7]},
        ):
            with pytest.raises(UsageError):
                ask_daemon(socket_path(state, {}), request, lambda *_: None)
        missing = cli(
            *("enrol", "--monitor", "pump", "--from", "/no/such.wav"), "--state-dir", state
        )
        assert_refused(missing, 65, "/no/such.wav")
        assert daemon.state_of("pump") == "normal"
        assert daemon.process.poll() is None


def learned(state):
    """The profile, apart from what quiet listening may add to a provisional one at any time."""
    profile = json.loads((state / "profiles" / "pump" / "profile.json").read_text())
    return {
        key: value
        for key, value in profile.items()
        if key not in ("calibration", "references_sha256")
    }


def test_a_failed_enrolment_leaves_the_old_profile_at_work(plant, tmp_path):
    state = plant.state(tmp_path)
    silent = tmp_path / "short.wav"
    import numpy as np
    import soundfile

    soundfile.write(silent, np.zeros(70 * 16_000, np.float32), 16_000)
    config = plant.config(tmp_path, f"{PUMP}&speed=10")
    with DaemonProcess(state, "--config", config) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        before = learned(state)
        failed = cli(*("enrol", "--monitor", "pump", "--from", silent), "--state-dir", state)
        assert_refused(failed, 65, "pump", "at least 60 s of running")
        assert daemon.checks()["enrolment/pump"]["status"] == "critical"
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        assert learned(state) == before
        again = cli(*("enrol", "--monitor", "pump", "--from", plant.normal), "--state-dir", state)
        assert again.returncode == 0, again.stderr
        assert "enrolment/pump" not in daemon.checks()


def test_a_second_daemon_on_one_state_directory_is_refused(plant, tmp_path):
    state = plant.state(tmp_path)
    config = plant.config(tmp_path, f"{PUMP}&speed=10")
    with DaemonProcess(state, "--config", config) as daemon:
        daemon.until(daemon.status)
        second = cli("run", "--config", config, "--state-dir", state, "--http", "127.0.0.1:0")
        assert_refused(second, 69, state, f"process {daemon.process.pid}", "stop it")
        assert daemon.state_of("pump") is not None


def test_an_alert_left_open_by_a_stopped_daemon_guards_the_profile(plant, tmp_path):
    state = plant.state(tmp_path)
    config = plant.config(tmp_path, f"{FAULT}&speed=10&onset=5")
    with DaemonProcess(state, "--config", config) as daemon:
        daemon.logged("type=new")
        daemon.stop()
    ask = ("enrol", "--monitor", "pump", "--from", plant.normal, "--state-dir", state)
    assert_refused(cli(*ask), 69, "pump", "--force")
    assert cli(*ask, "--force").returncode == 0


def test_a_stop_while_a_profile_is_computed_leaves_no_half_profile(plant, tmp_path):
    state = tmp_path / "state"
    config = plant.config(
        tmp_path,
        f"{PUMP}&speed=max&seconds=400",
        bundle=str(plant.bundle),
        monitor={"enrol_s": 300, "alert": QUICK},
    )
    with DaemonProcess(state, "--config", config) as daemon:
        daemon.until(lambda: daemon.reason_of("pump") == "learning")
        code, seconds = daemon.stop()
        assert (code, seconds < 5.0) == (0, True), daemon.log
    assert not (state / "profiles" / "pump" / "profile.json").exists()
