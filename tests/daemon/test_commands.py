"""Operators are heard over MQTT and on the command line, and what they say survives a kill."""

from __future__ import annotations

import json

import pytest
from brokers import Subscriber
from support.asking import BASE, Asker
from support.processes import PUMP, DaemonProcess, cli, lines, stored_events

from edge_asd.books.ledger_timeline import Account
from edge_asd.books.ledger_view import LedgerReader, summarise
from edge_asd.clock import parse_rfc3339

pytestmark = pytest.mark.broker
VERBS = ["inhibit", "snooze", "ack", "enabled", "enrol"]


def retained_now(subscriber, leaf):
    """The last that was said on a topic of the monitor."""
    said = subscriber.of(f"{BASE}/pump/{leaf}")
    return said[-1] if said else None


def state_now(subscriber):
    said = retained_now(subscriber, "state")
    return json.loads(said) if said else {"state": None}


def inhibited_s(state):
    reader = LedgerReader(state)
    try:
        return summarise(reader.passages("pump", 0, 2**40)).seconds[Account.INHIBITED]
    finally:
        reader.close()


def test_maintenance_over_mqtt_survives_a_kill_and_is_ended_on_the_command_line(
    plant, mosquitto, tmp_path
):
    mosquitto.start()
    state = plant.state(tmp_path)
    broker = {"url": mosquitto.url, "commands": VERBS}
    config = plant.config(tmp_path, f"{PUMP}&speed=4", mqtt=broker, monitor={"settle_s": 1})
    where = ("--state-dir", state)
    with (
        Subscriber(mosquitto.port) as subscriber,
        Asker(mosquitto.port) as asker,
        Asker(mosquitto.port, v5=False) as older,
    ):
        with DaemonProcess(state, "--config", config) as daemon:
            daemon.until(lambda: state_now(subscriber)["state"] == "normal")
            assert retained_now(subscriber, "inhibit/state") == b"OFF"
            # What cannot be meant is answered, and changes nothing.
            for thing, payload in (
                ("inhibit", "-5"),
                ("inhibit", "soon"),
                ("inhibit", b"\xff\xfe"),
                ("snooze", "ON"),
                ("enabled", "maybe"),
                ("ack", "anna"),
            ):
                answer = asker.ask(f"pump/{thing}/set", payload)
                assert (answer["ok"], answer["monitor"]) == (False, "pump"), answer
                assert answer["error"], answer
            assert "no monitor 'fan'" in asker.ask("fan/inhibit/set", "5")["error"]
            assert not older.ask("cmd/inhibit", {"monitor": "pump", "minutes": 1e9})["ok"]
            assert "no monitor 'x'" in older.ask("cmd/enrol", {"monitor": "x"})["error"]
            assert "unknown key 'from'" in older.ask("cmd/enrol", {"from": "/etc"})["error"]
            assert state_now(subscriber)["state"] == "normal"
            assert daemon.metric("commands_total", verb="inhibit", result="refused") == 5
            answer = older.ask("cmd/inhibit", {"monitor": "pump", "minutes": 60, "by": "anna"})
            assert answer["ok"]
            assert answer["result"]["inhibited_by"] == "anna"
            daemon.until(lambda: state_now(subscriber)["state"] == "inhibited")
            said = state_now(subscriber)
            assert said["reason"] == "inhibited by anna"
            assert said["inhibited_until"] == answer["result"]["inhibited_until"]
            daemon.until(lambda: retained_now(subscriber, "inhibit/state") == b"ON")
            count = {"monitor": "pump", "result": "inhibited"}
            daemon.until(lambda: daemon.metric("windows_total", **count) > 5)
            assert daemon.metric("commands_total", verb="inhibit", result="accepted") == 1
            assert "command=inhibit monitor=pump by='anna' via=mqtt result=accepted" in daemon.log
            daemon.kill()
        with DaemonProcess(state, "--config", config) as daemon:
            daemon.until(lambda: daemon.state_of("pump") == "inhibited")
            row = daemon.status()["pump"]
            assert row["inhibited_until"][:19] == said["inhibited_until"][:19]
            shown = cli("status", *where).stdout
            assert "inhibited by anna until" in shown
            asker.say("pump/inhibit/set", "OFF", retain=False)
            daemon.until(lambda: daemon.state_of("pump") == "normal")
            (answer,) = lines(cli("disable", "pump", "--by", "ben", "--json", *where))
            assert answer["enabled"] is False
            daemon.until(lambda: retained_now(subscriber, "enabled/state") == b"OFF")
            assert state_now(subscriber)["reason"] == "switched off by ben"
            assert state_now(subscriber)["enabled"] is False
            assert cli("enable", "pump", *where).returncode == 0
            daemon.until(lambda: daemon.state_of("pump") == "normal")
            assert daemon.stop()[0] == 0
    assert inhibited_s(state) > 0


def test_a_snooze_keeps_an_alert_back_and_an_acknowledgement_is_told(plant, mosquitto, tmp_path):
    mosquitto.start()
    state = plant.state(tmp_path)
    machine = plant.player(tmp_path)
    broker = {"url": mosquitto.url, "commands": VERBS}
    config = plant.config(tmp_path, machine.source, mqtt=broker)

    def events():
        return [json.loads(payload) for payload in subscriber.of(f"{BASE}/pump/event")]

    with (
        Subscriber(mosquitto.port) as subscriber,
        Asker(mosquitto.port) as asker,
        DaemonProcess(state, "--config", config, "--once") as daemon,
    ):
        daemon.until(lambda: state_now(subscriber)["state"] == "normal")
        assert asker.ask("pump/snooze/set", "30")["ok"]
        daemon.until(lambda: retained_now(subscriber, "snooze/state") == b"30")
        machine.play("faulty")
        daemon.until(lambda: state_now(subscriber)["state"] in ("warning", "alarm"))
        assert state_now(subscriber)["snoozed_until"] is not None
        daemon.until(lambda: stored_events(state))
        assert retained_now(subscriber, "alarm") == b"OFF"
        assert state_now(subscriber)["event_id"] is None  # there is no such event for subscribers
        assert "no alert is open" in asker.ask("pump/ack/set", "")["error"]
        assert daemon.metric("alerts_suppressed_total", monitor="pump", reason="snoozed") == 1
        daemon.kill()
        assert events() == []
        assert stored_events(state)[0]["held"]
    with (
        Subscriber(mosquitto.port) as subscriber,
        Asker(mosquitto.port) as asker,
        DaemonProcess(state, "--config", config, "--once") as daemon,
    ):
        daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
        assert events() == []
        assert cli("snooze", "pump", "--off", "--state-dir", state).returncode == 0
        daemon.until(events)
        daemon.until(lambda: retained_now(subscriber, "alarm") == b"ON")
        new = events()[0]
        assert (new["type"], new["seq"]) == ("new", 1)
        began_s, held_s = (parse_rfc3339(e["started_at"]) for e in (new, stored_events(state)[0]))
        assert began_s == pytest.approx(held_s, abs=1.0)  # the wall clock may be slewed meanwhile
        answer = asker.ask("cmd/ack", {"monitor": "pump", "by": "anna"})
        assert answer["result"]["event_id"] == new["id"]
        again = cli("ack", new["id"][-6:], "--by", "ben", "--json", "--state-dir", state)
        assert lines(again)[0]["acked_by"] == "anna"
        daemon.until(lambda: retained_now(subscriber, "ack/state") == b"ON")
        assert state_now(subscriber)["acked_by"] == "anna"
        machine.play("normal")
        daemon.until(lambda: events()[-1]["type"] == "end")
        assert events()[-1]["acked_by"] == "anna"
        assert [event["seq"] for event in events()] == list(range(1, len(events()) + 1))
        daemon.until(lambda: retained_now(subscriber, "ack/state") == b"OFF")


@pytest.mark.own_payloads  # what is asked for here is not in the contract
def test_only_what_is_allowed_is_heard_and_nothing_that_the_broker_kept(plant, mosquitto, tmp_path):
    mosquitto.start()
    state = plant.state(tmp_path)
    broker = {"url": mosquitto.url, "commands": ["inhibit"]}
    config = plant.config(tmp_path, f"{PUMP}&speed=4", mqtt=broker)
    with (
        Subscriber(mosquitto.port) as subscriber,
        Asker(mosquitto.port) as asker,
    ):
        asker.say("pump/inhibit/set", "ON", retain=True)
        asker.say("cmd/inhibit", json.dumps({"monitor": "pump", "on": True}), retain=True)
        with DaemonProcess(state, "--config", config) as daemon:
            daemon.logged("result=refused.*retained")
            daemon.until(lambda: state_now(subscriber)["state"] == "normal")
            asker.say("pump/enabled/set", "OFF")
            asker.say("cmd/rehearse", json.dumps({"fault": "alarm", "seconds": 5}))
            answer = asker.ask("pump/inhibit/set", "ON")  # comes behind the two
            assert answer["ok"]
            row = daemon.status()["pump"]
            assert (row["enabled"], row["inhibited"]) == (True, True)
            assert daemon.metric("commands_total", verb="inhibit", result="refused") == 2
            assert daemon.metric("rehearsals_total", fault="alarm") == 0
            topics = {topic for topic, _, _ in subscriber.messages}
            assert f"{BASE}/pump/inhibit/state" in topics
            assert f"{BASE}/pump/enabled/state" not in topics
            for number in range(60):
                asker.say("pump/inhibit/set", f"-{number + 1}")
            daemon.logged("came too fast")
            assert "Traceback" not in daemon.log
