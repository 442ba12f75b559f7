"""Rehearsals go the whole way to whoever is alerted, say that they are none, and always end."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest
from brokers import Subscriber
from support.asking import BASE
from support.processes import PUMP, DaemonProcess, cli, lines, stored_events

from edge_asd.errors import BusyError, EdgeAsdError
from edge_asd.operators.control import ask_daemon
from edge_asd.publish.store import EventStore
from edge_asd.state_dir import socket_path

pytestmark = pytest.mark.broker


ALARM = {"command": "rehearse", "fault": "alarm"}


class Said:
    """What a subscriber was told."""

    def __init__(self, subscriber):
        self.subscriber = subscriber

    def of(self, topic):
        return [json.loads(payload) for payload in self.subscriber.of(f"{BASE}/{topic}")]

    def events(self):
        """Steps of alerts, each once: one that was under way at a kill is sent again."""
        return list({message["seq"]: message for message in self.of("pump/event")}.values())

    def words(self, topic):
        return [payload.decode() for payload in self.subscriber.of(f"{BASE}/{topic}")]

    def rehearsed(self, topic):
        return [message for message in self.of(topic) if message["rehearsal"]]


def rehearse(state, fault, seconds):
    """One rehearsal from its beginning to its end."""
    request = {**ALARM, "fault": fault, "monitor": "pump", "seconds": seconds}
    answer = ask_daemon(socket_path(state, {}), request, lambda *_: None)
    assert (answer["fault"], answer["ended"]) == (fault, "over"), answer
    assert answer["seconds"] >= seconds


@contextlib.contextmanager
def going_on(state, fault, seconds):
    """A rehearsal that nobody waits for; yields its answer once there is one."""
    found = []

    def ask():
        request = {**ALARM, "fault": fault, "seconds": seconds}
        with contextlib.suppress(EdgeAsdError):  # the daemon may be killed meanwhile
            found.append(ask_daemon(socket_path(state, {}), request, lambda *_: None))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield found
    thread.join(60.0)
    assert not thread.is_alive()


def test_each_rehearsal_reaches_who_listens_and_is_over_by_itself(plant, mosquitto, tmp_path):
    mosquitto.start()
    state, jsonl = plant.state(tmp_path), tmp_path / "events.jsonl"
    broker = {"url": mosquitto.url, "protocol": "3.1.1"}  # its last will is not delayed
    config = plant.config(tmp_path, f"{PUMP}&speed=2", mqtt=broker, jsonl={"path": str(jsonl)})
    with (
        Subscriber(mosquitto.port) as subscriber,
        DaemonProcess(state, "--config", config) as daemon,
    ):
        said = Said(subscriber)
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        daemon.until(lambda: daemon.checks()["mqtt"]["status"] == "healthy")

        where = ("--state-dir", state, "--json", "--by", "anna")
        (answer,) = lines(cli("simulate", "--fault", "alarm", "--seconds", 4, *where))
        assert (answer["fault"], answer["ended"]) == ("alarm", "over"), answer
        daemon.until(lambda: len(said.of("pump/event")) == 3)
        life = said.of("pump/event")
        assert [(step["type"], step["severity"]) for step in life] == [
            ("new", "warning"),
            ("update", "alarm"),
            ("end", "alarm"),
        ]
        assert len({step["id"] for step in life}) == 1
        assert [step["seq"] for step in life] == [1, 2, 3]
        assert all(step["rehearsal"] for step in life)
        assert all(step["reason"].startswith("rehearsal:") for step in life)
        shown = said.rehearsed("pump/state")
        assert {"alarm"} <= {state["state"] for state in shown} <= {"warning", "alarm"}
        assert {state["event_id"] for state in shown} == {life[0]["id"]}
        daemon.until(lambda: said.words("pump/alarm")[-1] == "OFF")
        assert "ON" in said.words("pump/alarm")
        assert stored_events(state) == life
        assert [json.loads(line) for line in jsonl.read_text().splitlines()] == life
        for severity in ("warning", "alarm"):
            assert daemon.metric("alerts_total", monitor="pump", severity=severity) == 0
        assert daemon.metric("rehearsals_total", fault="alarm") == 1

        rehearse(state, "mic", 4)
        daemon.until(lambda: len(said.of("pump/microphone")) == 2)
        told = said.of("pump/microphone")
        assert [(one["type"], one["fault"]) for one in told] == [
            ("new", "no_audio"),
            ("end", "no_audio"),
        ]
        assert all(one["rehearsal"] and one["reason"].startswith("rehearsal:") for one in told)
        assert "unknown" in [state["state"] for state in said.rehearsed("pump/state")]

        attempts = daemon.metric("mqtt_connect_attempts_total", result="accepted")
        rehearse(state, "broker", 3)
        daemon.until(lambda: said.words("status")[-2:] == ["offline", "online"])
        assert daemon.metric("mqtt_connect_attempts_total", result="accepted") == attempts + 1
        daemon.until(lambda: daemon.checks()["mqtt"]["status"] == "healthy")

        # Nothing of all this was heard.
        assert daemon.metric("ledger_seconds", monitor="pump", account="microphone_fault") == 0
        assert daemon.state_of("pump") == "normal"

        with going_on(state, "disk", 600):
            daemon.until(lambda: daemon.checks()["events"]["status"] == "critical")
            assert daemon.get("/healthz")[0] == 503
            assert daemon.checks()["events"]["text"].startswith("rehearsal:")
            daemon.until(lambda: daemon.metric("health_checks", status="critical") == 1)
            daemon.until(lambda: said.of("health")[-1]["checks"]["events"]["rehearsal"])
            with pytest.raises(BusyError, match="a rehearsal is going on"):
                ask_daemon(socket_path(state, {}), {**ALARM, "seconds": 5}, lambda *_: None)
            assert daemon.stop()[0] == 0


def test_what_a_kill_leaves_open_is_ended_and_what_is_real_comes_first(plant, mosquitto, tmp_path):
    mosquitto.start()
    state, machine = plant.state(tmp_path), plant.player(tmp_path)
    config = plant.config(tmp_path, machine.source, mqtt={"url": mosquitto.url})
    with Subscriber(mosquitto.port) as subscriber:
        said = Said(subscriber)
        with DaemonProcess(state, "--config", config, "--once") as daemon:
            daemon.until(lambda: daemon.state_of("pump") == "normal")
            with going_on(state, "alarm", 600):
                daemon.until(lambda: said.of("pump/event"))
                daemon.kill()
        with DaemonProcess(state, "--config", config, "--once") as daemon:
            daemon.until(lambda: len(said.events()) == 2)
            new, end = said.events()
            assert (end["type"], end["id"]) == ("end", new["id"])
            assert end["rehearsal"]
            assert end["reason"] == "rehearsal: cut short by a restart of the daemon"
            daemon.until(lambda: daemon.state_of("pump") == "normal")
            daemon.until(lambda: said.words("pump/alarm")[-1] == "OFF")

            with going_on(state, "alarm", 600) as answers:
                daemon.until(lambda: said.words("pump/alarm")[-1] == "ON")
                machine.play("faulty")
                daemon.until(lambda: any(not step["rehearsal"] for step in said.events()))
            assert answers[0]["ended"] == "ended by a real alert or fault"
            daemon.until(lambda: not said.of("pump/state")[-1]["rehearsal"])
            real = next(step for step in said.events() if not step["rehearsal"])
            assert real["type"] == "new"
            assert said.of("pump/state")[-1]["event_id"] == real["id"]
            assert said.words("pump/alarm")[-1] == "ON"
            daemon.until(lambda: sum(step["rehearsal"] for step in said.events()) == 4)
            kinds = [step["type"] for step in said.events() if step["rehearsal"]]
            assert kinds == ["new", "end", "new", "end"]
            machine.play("normal")
            daemon.until(lambda: said.words("pump/alarm")[-1] == "OFF")

            with going_on(state, "mic", 600) as answers:
                daemon.until(lambda: said.of("pump/microphone"))
                assert daemon.stop()[0] == 0
            assert answers in ([], [{**answers[0], "ended": "the daemon stops"}])
    store = EventStore(state)
    assert store.open_rehearsals() == []
    store.close()
