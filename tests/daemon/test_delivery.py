"""Events reach the broker, whatever dies in between."""

from __future__ import annotations

import json
import time

import pytest
from brokers import Gate, SmallBroker, Subscriber, eventually
from support.processes import (
    FAULT,
    PUMP,
    DaemonProcess,
    cli,
    lines,
    retained,
    stored_events,
)

EVENT = "edge-asd/hall/pump/event"
pytestmark = pytest.mark.broker


def events_of(subscriber):
    return [json.loads(payload) for payload in subscriber.of(EVENT)]


@pytest.mark.parametrize("broker", ["absent", "silent"])
def test_an_event_decided_before_a_sigkill_is_delivered_after_the_restart(
    plant, mosquitto, tmp_path, broker
):
    state = plant.state(tmp_path)
    with SmallBroker(lambda _level: None, greeting=False) as silent:
        url = silent.url if broker == "silent" else mosquitto.url
        broken = plant.config(
            tmp_path, f"{FAULT}&speed=10&onset=5", name="broken.yaml", mqtt={"url": url}
        )
        with DaemonProcess(state, "--config", broken) as daemon:
            daemon.until((state / "events.db").exists)
            daemon.until(lambda: len(stored_events(state)) >= 2)
            daemon.kill()
    before = stored_events(state)
    assert [step["type"] for step in before[:2]] == ["new", "update"]
    mosquitto.start()
    healed = plant.config(tmp_path, f"{PUMP}&speed=max&seconds=20", mqtt={"url": mosquitto.url})
    with (
        Subscriber(mosquitto.port) as subscriber,
        DaemonProcess(state, "--config", healed, "--once") as daemon,
    ):
        assert daemon.wait() == 0, daemon.log
        delivered = events_of(subscriber)
    # Everything decided before the kill is there, under one id, and the alert ends by itself.
    assert [step["seq"] for step in delivered] == list(range(1, len(delivered) + 1))
    assert delivered[: len(before)] == before
    assert {step["id"] for step in delivered} == {before[0]["id"]}
    assert delivered[-1]["type"] == "end"
    assert delivered[-1]["reason"] == "score back to normal"


def test_once_leaves_only_when_the_outbox_is_empty(plant, mosquitto, tmp_path):
    mosquitto.start()
    state = plant.state(tmp_path)
    # The subscriber is there before the daemon is let to the broker, or it might miss an event.
    with Subscriber(mosquitto.port) as subscriber, Gate(mosquitto.port) as gate:
        gate.shut()
        config = plant.config(tmp_path, f"file:{plant.faulty}", mqtt={"url": gate.url})
        with DaemonProcess(state, "--config", config, "--once") as daemon:
            daemon.logged("type=end")
            daemon.until(lambda: daemon.metric("outbox_messages") >= 2)
            daemon.until(lambda: daemon.checks()["mqtt"]["status"] == "warning")
            time.sleep(1.5)  # three looks at whether it is done
            assert daemon.process.poll() is None, "left with events in the outbox"
            gate.open()
            assert daemon.wait() == 0, daemon.log
        stored = lines(cli("events", "--json", "--state-dir", state))
        eventually(lambda: len(events_of(subscriber)) >= len(stored))
        assert events_of(subscriber) == stored
        assert stored[0]["type"] == "new"


def test_a_broker_that_restarts_in_the_middle_loses_nothing(plant, mosquitto, tmp_path):
    mosquitto.start()
    machine = plant.player(tmp_path)
    state = plant.state(tmp_path)
    with Gate(mosquitto.port) as gate:
        config = plant.config(tmp_path, machine.source, mqtt={"url": gate.url})
        with DaemonProcess(state, "--config", config, "--once") as daemon:
            daemon.until(lambda: daemon.state_of("pump") == "normal")
            daemon.until(lambda: daemon.metric("mqtt_connected") == 1)
            mosquitto.kill()
            gate.shut()
            machine.play("faulty")
            daemon.logged("type=new")
            daemon.until(lambda: daemon.checks()["mqtt"]["status"] == "warning")
            mosquitto.start()
            with Subscriber(mosquitto.port) as subscriber:
                gate.open()
                machine.play("normal")
                daemon.until(lambda: "end" in [step["type"] for step in stored_events(state)])
                daemon.until(lambda: len(events_of(subscriber)) >= len(stored_events(state)))
                assert daemon.stop()[0] == 0, daemon.log
                stored = stored_events(state)
                eventually(lambda: len({s["seq"] for s in events_of(subscriber)}) >= len(stored))
                delivered = {step["seq"]: step for step in events_of(subscriber)}
    assert [delivered[seq] for seq in sorted(delivered)] == stored
    assert stored[0]["type"] == "new"
    assert "end" in [step["type"] for step in stored]


def test_a_broker_that_refuses_the_password_stops_nothing_and_is_critical(
    plant, mosquitto, tmp_path
):
    mosquitto.users(press="right")
    mosquitto.start()
    password = tmp_path / "password"
    password.write_text("wrong\n")
    password.chmod(0o600)
    config = plant.config(
        tmp_path,
        f"{FAULT}&speed=10&onset=5",
        mqtt={"url": mosquitto.url, "username": "press", "password_file": str(password)},
    )
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.logged("type=new")
        daemon.until(lambda: daemon.checks()["mqtt"]["status"] == "critical")
        assert daemon.get("/healthz")[0] == 503
        assert "username" in daemon.checks()["mqtt"]["text"]
        assert daemon.get("/livez")[0] == 200
        assert daemon.metric("mqtt_connect_attempts_total", result="refused") >= 1
        code, seconds = daemon.stop()
        assert (code, seconds < 5.0) == (0, True), (code, seconds, daemon.log)


def test_a_late_subscriber_sees_states_but_no_event(plant, mosquitto, tmp_path):
    mosquitto.start()
    config = plant.config(tmp_path, f"{FAULT}&speed=10&onset=5", mqtt={"url": mosquitto.url})
    state = plant.state(tmp_path)
    with DaemonProcess(state, "--config", config) as daemon:
        daemon.logged("type=new")
        base = "edge-asd/hall"
        leaves = ("status", "info", "health", "pump/state", "pump/alarm")

        def complete():
            seen = retained(mosquitto.port)
            if seen.keys() < {f"{base}/{leaf}" for leaf in leaves}:
                return None
            alert = json.loads(seen[f"{base}/pump/state"])["state"] in ("warning", "alarm")
            return seen if alert and seen[f"{base}/pump/alarm"] == b"ON" else None

        seen = daemon.until(complete, what="every state")
        assert seen.keys() == {f"{base}/{leaf}" for leaf in leaves}
        assert seen[f"{base}/status"] == b"online"
        shown = json.loads(seen[f"{base}/pump/state"])
        assert shown["event_id"] == stored_events(state)[0]["id"]
        assert shown["model"]["name"] == "tiny"
        info = json.loads(seen[f"{base}/info"])
        assert [row["name"] for row in info["monitors"]] == ["pump"]

        def capture_health():
            health = json.loads(retained(mosquitto.port)[f"{base}/health"])
            return health["checks"].get("capture/pump", {}).get("status")

        daemon.until(lambda: capture_health() == "healthy", what="a healthy microphone")
        daemon.kill()
        # The broker holds the will back for a while, in case the daemon returns at once.
        eventually(
            lambda: retained(mosquitto.port)[f"{base}/status"] == b"offline", what="the last will"
        )
