"""How the daemon ends: drained, quickly, and able to go on where it was."""

from __future__ import annotations

import json
import signal
import sys

import pytest
from brokers import SmallBroker, Subscriber, eventually
from support.failing import write_failing_bundle
from support.processes import FAULT, PUMP, DaemonProcess, cli, retained, stored_events

EVENT = "edge-asd/hall/pump/event"


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_says_offline(plant, mosquitto, tmp_path, number):
    mosquitto.start()
    config = plant.config(tmp_path, f"{FAULT}&speed=10&onset=5", mqtt={"url": mosquitto.url})
    state = plant.state(tmp_path)
    with (
        Subscriber(mosquitto.port) as subscriber,
        DaemonProcess(state, "--config", config) as daemon,
    ):
        daemon.logged("type=new")
        code, seconds = daemon.stop(number)
        assert code == 0, daemon.log
        assert seconds < 5.0
        assert "Traceback" not in daemon.log
        offline = "edge-asd/hall/status", b"offline", True
        with Subscriber(mosquitto.port, offline[0]) as late:
            eventually(lambda: offline in late.messages, what="goodbye")
        stored = stored_events(state)
        eventually(lambda: len(subscriber.of(EVENT)) >= len(stored), what="delivery")
        assert [json.loads(payload) for payload in subscriber.of(EVENT)] == stored


@pytest.mark.broker
def test_an_alert_that_is_open_at_the_end_goes_on_under_its_id(plant, mosquitto, tmp_path):
    mosquitto.start()
    state = plant.state(tmp_path)
    mqtt = {"url": mosquitto.url}
    faulty = plant.config(tmp_path, f"{FAULT}&speed=10&onset=5", name="a.yaml", mqtt=mqtt)
    healed = plant.config(tmp_path, f"{PUMP}&speed=10", name="b.yaml", mqtt=mqtt)
    with DaemonProcess(state, "--config", faulty) as daemon:
        daemon.logged("type=new")
        assert daemon.stop()[0] == 0
    opened = stored_events(state)
    assert "end" not in [step["type"] for step in opened]
    with DaemonProcess(state, "--config", healed) as daemon:
        daemon.until(daemon.status)
        shown = json.loads(
            eventually(lambda: retained(mosquitto.port).get("edge-asd/hall/pump/state"))
        )
        assert shown["event_id"] in (opened[0]["id"], None)
        daemon.logged("type=end")
        assert daemon.stop()[0] == 0
    steps = stored_events(state)
    assert {step["id"] for step in steps} == {opened[0]["id"]}
    assert [step["seq"] for step in steps] == list(range(1, len(steps) + 1))
    assert steps[-1]["type"] == "end"


def test_a_second_signal_is_harmless(plant, tmp_path):
    config = plant.config(tmp_path, f"{PUMP}&speed=4")
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        daemon.process.send_signal(signal.SIGTERM)
        code, seconds = daemon.stop()
        assert (code, seconds < 5.0) == (0, True), daemon.log


def test_the_end_comes_in_time_although_everything_hangs(plant, tmp_path):
    """A program that ignores TERM, and a broker that accepts and then says nothing."""
    deaf = tmp_path / "deaf.py"
    deaf.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "sys.stdout.buffer.write(bytes(64000)); sys.stdout.flush(); time.sleep(60)\n"
    )
    with SmallBroker(lambda _level: None, greeting=False) as silent:
        config = plant.config(tmp_path, f"exec:{sys.executable} {deaf}", mqtt={"url": silent.url})
        with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
            daemon.logged("state=up")
            code, seconds = daemon.stop()
            assert code == 0, daemon.log
            assert seconds < 5.0


def test_a_runtime_that_fails_ends_the_daemon_with_its_exit_code(tmp_path, plant):
    """The network of this bundle gives NaN for loud sound."""
    bundle, state = write_failing_bundle(tmp_path / "failing.asd").path, tmp_path / "state"
    quiet = f"{PUMP}&speed=max&seconds=70&level=-40"
    enrolled = cli(
        *("enrol", "--monitor", "pump", "--source", quiet, "--seconds", 60),
        *("--bundle", bundle, "--state-dir", state),
    )
    assert enrolled.returncode == 0, enrolled.stderr
    loud = plant.config(tmp_path, f"{PUMP}&speed=10&level=-10")
    with DaemonProcess(state, "--config", loud) as daemon:
        assert daemon.wait() == 69, daemon.log
    said = daemon.log.rstrip().splitlines()[-1]
    assert said.startswith("edge-asd: ")
    assert "Traceback" not in daemon.log
