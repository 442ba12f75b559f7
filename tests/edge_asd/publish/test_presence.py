"""The broker keeps of a device what its configuration uses, and nothing of what is gone."""

from __future__ import annotations

import json
import random

import pytest
from brokers import Subscriber, eventually
from devices import Device
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from support.processes import retained

from edge_asd.config import parse_config
from edge_asd.publish.contract import channels
from edge_asd.publish.home_assistant import discovery
from edge_asd.publish.presence import BIRTH_WAIT_S, FILE, Presence, _topics_of
from edge_asd.publish.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.own_payloads]

TOPICS = Topics("press-hall-3")
ALL = ["snooze", "ack", "inhibit", "enabled"]


def config(*names, device="press-hall-3", commands=(), picture=False, home="device"):
    monitors = [{"name": name, "source": "alsa:", "channel": n} for n, name in enumerate(names)]
    mqtt = {"url": "mqtt://broker", "commands": list(commands)}
    if home:
        mqtt["home_assistant"] = {"form": home}
    evidence = {"publish_picture": picture}
    raw = {"device": device, "monitors": monitors, "mqtt": mqtt, "evidence": evidence}
    return parse_config(raw, "test")


class Present(Device):
    """A device that looks after what the broker keeps."""

    def __init__(self, directory, url, wanted, seed=1) -> None:
        super().__init__(directory, url, start=False)
        rng = random.Random(seed)
        self.presence = Presence(self.sink, wanted, directory, rng=rng)
        for monitor in wanted.monitors:
            for topic in (TOPICS.state(monitor.name), TOPICS.alarm(monitor.name)):
                self.sink.set_retained(topic, b"x")
        self.memory = directory / FILE
        self.sink.start()

    def remembered(self):
        try:
            return set(json.loads(self.memory.read_text())["topics"])
        except (OSError, ValueError, LookupError, TypeError):
            return set()


def everything(port):
    with Subscriber(port, topics="#") as late:
        late.settle()
        return {topic: payload for topic, payload, flag in late.messages if flag}


def test_every_retained_topic_of_the_contract_is_used_by_a_configuration_that_allows_everything():
    known = {c.address.format(device="press-hall-3", monitor="m") for c in channels() if c.retain}
    assert _topics_of(config("m", commands=ALL, picture=True)) == known
    assert _topics_of(config("m")) < known


def test_a_monitor_that_was_removed_is_cleared_at_the_next_start(mosquitto, tmp_path):
    mosquitto.start()
    before = config("pump-1", "fan-2")
    with Present(tmp_path / "s", mosquitto.url, before) as device:
        eventually(lambda: TOPICS.alarm("fan-2") in device.remembered(), what="a memory")
        device.wait_idle()
    assert set(discovery(before)) < set(everything(mosquitto.port))
    after = config("pump-1")
    with Present(tmp_path / "s", mosquitto.url, after) as device:
        eventually(lambda: not any("fan-2" in topic for topic in device.remembered()))
        kept = everything(mosquitto.port)
    assert set(kept) == {TOPICS.status, TOPICS.info, *discovery(after)} | {
        TOPICS.state("pump-1"),
        TOPICS.alarm("pump-1"),
    }


def test_what_could_not_be_cleared_is_cleared_by_a_later_run(mosquitto, tmp_path):
    mosquitto.extra += ["persistence true", f"persistence_location {mosquitto.directory}/"]
    mosquitto.start()
    with Present(tmp_path / "s", mosquitto.url, config("pump-1", "fan-2")) as device:
        eventually(lambda: TOPICS.state("fan-2") in device.remembered())
        device.wait_idle()
    mosquitto.process.terminate()  # it saves what it keeps
    mosquitto.process.wait()
    with Present(tmp_path / "s", mosquitto.url, config("pump-1")) as device:
        eventually(lambda: device.metric("mqtt_connect_attempts_total", result="unreachable"))
    assert TOPICS.state("fan-2") in device.remembered()
    mosquitto.start()
    with Present(tmp_path / "s", mosquitto.url, config("pump-1")) as device:
        eventually(lambda: TOPICS.state("fan-2") not in device.remembered())
        assert not any("fan-2" in topic for topic in everything(mosquitto.port))


def test_the_other_form_and_switches_that_are_no_longer_allowed_go(mosquitto, tmp_path):
    mosquitto.start()
    with Present(tmp_path / "s", mosquitto.url, config("pump-1", commands=ALL)) as device:
        for thing in ALL:
            device.sink.set_retained(TOPICS.thing_state("pump-1", thing), b"OFF")
        eventually(lambda: TOPICS.thing_state("pump-1", "ack") in device.remembered())
        device.wait_idle()
    after = config("pump-1", commands=["snooze"], home="entity")
    with Present(tmp_path / "s", mosquitto.url, after) as device:
        gone = TOPICS.thing_state("pump-1", "ack")
        eventually(lambda: gone not in device.remembered())
        device.wait_idle()
        kept = everything(mosquitto.port)
    assert {topic for topic in kept if topic.startswith("homeassistant/")} == set(discovery(after))
    things = {topic for topic in kept if topic.count("/") == 4 and topic.startswith(TOPICS.base)}
    assert things == {TOPICS.thing_state("pump-1", "snooze")}


def test_another_configuration_takes_effect_while_it_runs(mosquitto, tmp_path):
    mosquitto.start()
    with Present(tmp_path / "s", mosquitto.url, config("pump-1", "fan-2")) as device:
        eventually(lambda: any("fan-2" in topic for topic in everything(mosquitto.port)))
        after = config("pump-1", "saw-3")
        device.presence.update(after)

        def exchanged():
            kept = set(everything(mosquitto.port))
            return set(discovery(after)) <= kept and not any("fan-2" in topic for topic in kept)

        eventually(exchanged)


def test_a_copied_disk_does_not_clear_what_the_original_says(mosquitto, tmp_path):
    mosquitto.start()
    with Present(tmp_path / "s", mosquitto.url, config("pump-1")) as device:
        eventually(lambda: TOPICS.state("pump-1") in device.remembered())
        device.wait_idle()
    before = everything(mosquitto.port)
    other = config("pump-1", device="press-hall-4")
    with Present(tmp_path / "s", mosquitto.url, other) as device:
        eventually(lambda: set(discovery(other)) <= device.remembered())
    assert before.keys() <= everything(mosquitto.port).keys()


@pytest.mark.parametrize("content", ["", "[]", '{"device": "press-hall-3"}', "\x00"])
def test_a_damaged_memory_is_no_obstacle(mosquitto, tmp_path, content, caplog):
    mosquitto.start()
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / FILE).write_text(content)
    with Present(tmp_path / "s", mosquitto.url, config("pump-1")) as device:
        eventually(lambda: TOPICS.state("pump-1") in device.remembered())
    assert "retained topics of earlier runs are not known" in caplog.text


def test_a_full_disk_stops_nothing(mosquitto, tmp_path, caplog):
    mosquitto.start()
    (tmp_path / "s" / FILE).mkdir(parents=True)  # cannot be replaced by a file
    wanted = config("pump-1")
    with Present(tmp_path / "s", mosquitto.url, wanted) as device:
        eventually(lambda: set(discovery(wanted)) <= set(retained_of(mosquitto)))
        eventually(lambda: "retained topics are not remembered" in caplog.text)
        assert device.sink.connected


def retained_of(mosquitto):
    return everything(mosquitto.port)


def say(port, topic, payload, *, retain=False):
    """Publish as Home Assistant does."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def test_home_assistants_birth_is_answered_once_with_discovery_then_states(mosquitto, tmp_path):
    mosquitto.start()
    wanted = config("pump-1")
    with Present(tmp_path / "s", mosquitto.url, wanted, seed=4) as device:
        eventually(lambda: TOPICS.state("pump-1") in device.remembered())
        device.wait_idle()
        with Subscriber(mosquitto.port, topics="#") as heard:
            heard.settle()
            heard.messages.clear()
            say(mosquitto.port, "homeassistant/status", b"offline")
            say(mosquitto.port, "homeassistant/status", b"online")
            say(mosquitto.port, "homeassistant/status", b"online")
            expected = [*discovery(wanted), TOPICS.status, TOPICS.state("pump-1")]

            def fresh():
                return [topic for topic, _, _ in heard.messages if topic in expected]

            eventually(lambda: set(expected) <= set(fresh()), BIRTH_WAIT_S + 60)
            device.wait_idle()
    order = fresh()
    assert sorted(order) == sorted(expected)
    assert set(order[: len(discovery(wanted))]) == set(discovery(wanted))


def test_a_birth_that_the_broker_kept_is_no_birth(mosquitto, tmp_path):
    mosquitto.start()
    say(mosquitto.port, "homeassistant/status", b"online", retain=True)
    with Present(tmp_path / "s", mosquitto.url, config("pump-1")) as device:
        eventually(lambda: device.metric("mqtt_received_total", result="handled"))
        assert device.presence._resend_at_s is None


def test_devices_answer_a_birth_at_different_moments(tmp_path):
    moments = set()
    for seed in range(5):
        folder, rng = tmp_path / str(seed), random.Random(seed)
        with Device(folder, "mqtt://127.0.0.1:1", start=False) as device:
            presence = Presence(device.sink, config("pump-1"), folder, rng=rng, clock=lambda: 100.0)
            presence._hear_birth(Birth())
            moments.add(presence._resend_at_s)
    assert len(moments) == 5
    assert all(100.0 <= moment <= 100.0 + BIRTH_WAIT_S for moment in moments)


class Birth:
    payload = b"online"
    retain = False


def test_without_home_assistant_only_own_topics_are_looked_after(mosquitto, tmp_path):
    mosquitto.start()
    with Present(tmp_path / "s", mosquitto.url, config("pump-1", home=None)) as device:
        eventually(lambda: TOPICS.state("pump-1") in device.remembered())
        assert all(topic.startswith("edge-asd/") for topic in retained(mosquitto.port))
