"""What others publish reaches who asked for it, on every connection, whatever it is."""

from __future__ import annotations

import threading

import pytest
from brokers import PATIENCE_S, Gate, Subscriber, eventually
from devices import FAST, TOPICS, Device
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_asd.publish.incoming import MAX_INCOMING_BYTES, Incoming, is_topic

COMMANDS = f"{TOPICS.base}/cmd/+"
ENROL = f"{TOPICS.base}/cmd/enrol"

pytestmark = [pytest.mark.broker, pytest.mark.own_payloads]


class Asker:
    """Publishes commands and collects answers with their correlation."""

    def __init__(self, port):
        self.answers = []
        subscribed = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe("answers/#", 1)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda _client, _data, message: self.answers.append(
            (message.topic, message.payload, getattr(message.properties, "CorrelationData", None))
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def ask(self, topic, payload, *, response=None, correlation=None, retain=False):
        properties = Properties(PacketTypes.PUBLISH)
        if response is not None:
            properties.ResponseTopic = response
        if correlation is not None:
            properties.CorrelationData = correlation
        info = self.client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        info.wait_for_publish(PATIENCE_S)


def listening(directory, url, handler=None, **settings):
    heard = []
    device = Device(directory, url, FAST, start=False, **settings)
    device.sink.subscribe(COMMANDS, handler or heard.append)
    device.sink.start()
    return device, heard


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_command_is_heard_and_answered(mosquitto, tmp_path, protocol):
    mosquitto.start()
    device, heard = listening(tmp_path / "s", mosquitto.url, protocol=protocol)
    with device, Asker(mosquitto.port) as asker:
        device.wait_idle()
        asker.ask(ENROL, b"{}", response="answers/1", correlation=b"\x00\xff")
        eventually(lambda: heard, what="the command")
        five = protocol == "5"
        assert heard == [
            Incoming(
                ENROL,
                b"{}",
                retain=False,
                response_topic="answers/1" if five else None,
                correlation=b"\x00\xff" if five else None,
            )
        ]
        device.sink.reply("answers/1", b"done", heard[0].correlation)
        eventually(lambda: asker.answers, what="the answer")
        assert asker.answers == [("answers/1", b"done", b"\x00\xff" if five else None)]
        assert device.metric("mqtt_received_total", result="handled") == 1
        delivered = {"class": "reply", "result": "delivered"}
        eventually(lambda: device.metric("mqtt_publish_total", **delivered) == 1)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_every_connection_subscribes_again(mosquitto, tmp_path, protocol):
    mosquitto.start()
    with Gate(mosquitto.port) as gate:
        device, heard = listening(tmp_path / "s", gate.url, protocol=protocol)
        with device, Asker(mosquitto.port) as asker:
            device.wait_idle()
            asker.ask(ENROL, b"first")
            eventually(lambda: len(heard) == 1)
            gate.shut()
            eventually(lambda: not device.sink.connected)
            gate.open()
            device.wait_connected()
            device.sink.set_retained(f"{TOPICS.base}/x/state", b"again")
            device.wait_idle()
            asker.ask(ENROL, b"second")
            eventually(lambda: len(heard) == 2)
            assert [message.payload for message in heard] == [b"first", b"second"]


def test_a_retained_message_is_marked_as_such(mosquitto, tmp_path):
    mosquitto.start()
    with Asker(mosquitto.port) as asker:
        asker.ask(ENROL, b"from yesterday", retain=True)
        device, heard = listening(tmp_path / "s", mosquitto.url)
        with device:
            eventually(lambda: heard)
            asker.ask(ENROL, b"from today", retain=True)
            eventually(lambda: len(heard) == 2)
    assert [(m.payload, m.retain) for m in heard] == [
        (b"from yesterday", True),
        (b"from today", False),
    ]


def test_a_handler_that_fails_and_a_payload_too_large_stop_nothing(mosquitto, tmp_path, caplog):
    mosquitto.start()
    heard = []

    def handler(message):
        heard.append(message.payload)
        if message.payload == b"bad":
            raise ZeroDivisionError

    device, _ = listening(tmp_path / "s", mosquitto.url, handler)
    with device, Asker(mosquitto.port) as asker:
        device.wait_idle()
        largest = b"x" * MAX_INCOMING_BYTES
        for payload in (b"bad", largest + b"x", largest, b"good"):
            asker.ask(ENROL, payload)
        eventually(lambda: heard == [b"bad", largest, b"good"], what="what can be handled")
        counts = {
            result: device.metric("mqtt_received_total", result=result)
            for result in ("handled", "failed", "too_large")
        }
        assert counts == {"handled": 2, "failed": 1, "too_large": 1}
        assert "ZeroDivisionError" in caplog.text
        wanted = device.record(3)
        device.wait_idle()
        delivered = {"class": "event_new", "result": "no_subscribers"}
        assert device.metric("mqtt_publish_total", **delivered) == len(wanted)


def test_answers_that_nobody_may_have_are_dropped_and_hold_up_nothing(mosquitto, tmp_path):
    mosquitto.users(press="x")
    mosquitto.acl("user press", "topic readwrite edge-asd/#")
    mosquitto.start()
    device, _ = listening(tmp_path / "s", mosquitto.url, username="press", password="x")
    with device:
        device.wait_idle()
        for topic in ("a/#", "", "a/+/b", "a\0b", "x" * 65536, "\ud800"):
            device.sink.reply(topic, b"")
        assert device.metric("mqtt_publish_total", **{"class": "reply", "result": "dropped"}) == 6
        device.sink.reply("answers/1", b"not allowed")
        refused = {"class": "reply", "result": "refused"}
        eventually(lambda: device.metric("mqtt_publish_total", **refused) == 1)
        device.record(2)
        device.wait_idle()
        assert device.sink.health()[0].value == "healthy"


def test_answers_wait_for_the_next_connection_the_oldest_make_room(mosquitto, tmp_path):
    mosquitto.start()
    with Subscriber(mosquitto.port, "answers/#") as heard, Gate(mosquitto.port) as gate:
        gate.shut()
        with Device(tmp_path / "s", gate.url) as device:
            for number in range(70):
                device.sink.reply("answers/1", str(number).encode())
            dropped = {"class": "reply", "result": "dropped"}
            assert device.metric("mqtt_publish_total", **dropped) == 6
            gate.open()
            eventually(lambda: len(heard.messages) >= 64)
            assert heard.of("answers/1") == [str(number).encode() for number in range(6, 70)]


def test_a_state_that_is_forgotten_leaves_the_broker_and_does_not_come_back(mosquitto, tmp_path):
    mosquitto.start()
    gone, stays = f"{TOPICS.base}/old/state", f"{TOPICS.base}/new/state"
    with Gate(mosquitto.port) as gate, Device(tmp_path / "s", gate.url) as device:
        for topic in (gone, stays):
            device.sink.set_retained(topic, b"{}")
        device.wait_idle()
        device.sink.forget_retained(gone)
        assert device.sink.retained_topics() == {TOPICS.status, TOPICS.info, stays}
        device.wait_idle()
        with Subscriber(mosquitto.port) as heard:
            eventually(lambda: heard.of(stays) == [b"{}"])
            gate.shut()
            gate.open()
            eventually(lambda: len(heard.of(stays)) == 2, what="the states once more")
            heard.settle()
            assert heard.of(gone) == []
            device.sink.set_retained(gone, b"back")
            eventually(lambda: heard.of(gone) == [b"back"])


def test_a_state_forgotten_without_a_broker_is_forgotten_once_there_is_one(mosquitto, tmp_path):
    gone = f"{TOPICS.base}/old/state"
    mosquitto.start()
    with Asker(mosquitto.port) as asker:
        asker.ask(gone, b"{}", retain=True)
        with Gate(mosquitto.port) as gate:
            gate.shut()
            with Device(tmp_path / "s", gate.url) as device:
                device.sink.forget_retained(gone)
                gate.open()
                device.wait_idle()
        with Subscriber(mosquitto.port) as heard:
            eventually(lambda: heard.of(TOPICS.info))
            heard.settle()
            assert heard.of(gone) == []


@pytest.mark.parametrize(
    ("text", "usable"),
    [("a/b", True), ("a", True), ("", False), ("a/+", False), ("#", False), ("a\0", False)],
)
def test_topics_that_one_may_publish_to(text, usable):
    assert is_topic(text) is usable
