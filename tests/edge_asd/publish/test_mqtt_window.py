"""What is under way at once, how long it lives, and what a refusal does to the order."""

from __future__ import annotations

import json
import threading

import pytest
from brokers import PATIENCE_S, Gate, Subscriber, eventually
from devices import EVENTS, FAST, TOPICS, Device
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from publish_samples import message, notice_message

from edge_asd.health import Health
from edge_asd.publish.mqtt import INFLIGHT
from edge_asd.publish.mqtt_link import Link
from edge_asd.publish.mqtt_settings import Timing

pytestmark = [pytest.mark.broker, pytest.mark.own_payloads]
DAY_S = 86400.0


@pytest.mark.parametrize(("broker_s", "window"), [(20, INFLIGHT), (3, 3)])
def test_paho_never_holds_more_than_the_window(mosquitto, tmp_path, monkeypatch, broker_s, window):
    mosquitto.extra.append(f"max_inflight_messages {broker_s}")
    held = []
    publish = Link.publish

    def watched(link, outgoing):
        mid = publish(link, outgoing)
        held.append(len(link._client._out_messages))
        return mid

    monkeypatch.setattr(Link, "publish", watched)
    mosquitto.start()
    with Gate(mosquitto.port) as gate, Device(tmp_path / "s", gate.url) as device:
        device.wait_idle()
        gate.mute()
        device.record(50)
        eventually(lambda: max(held) == window, what="a full window")
        for number in range(40):
            device.sink.reply("answers/1", b"%d" % number)
            device.sink.set_retained(f"{TOPICS.base}/m{number}/state", b"{}")
        gate.unmute()
        device.wait_idle()
        assert max(held) == window
        # Once each: nothing that was under way was handed over a second time.
        delivered = {"class": "event_new", "result": "no_subscribers"}
        assert device.metric("mqtt_publish_total", **delivered) == 50


def expiries(port, topics, ready):
    """Collects how long the broker would still keep each message, by topic."""
    found = {}
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe([(topic, 1) for topic in topics])
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _c, _d, m: found.setdefault(
        m.topic, getattr(m.properties, "MessageExpiryInterval", None)
    )
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client, found


def test_messages_expire_telemetry_soon_and_events_with_the_outbox(mosquitto, tmp_path):
    mosquitto.start()
    ready, score, state = threading.Event(), TOPICS.score("pump-1"), TOPICS.state("pump-1")
    client, found = expiries(mosquitto.port, [EVENTS, score, state, "answers/1"], ready)
    assert ready.wait(PATIENCE_S)
    bounds = {"max_age_s": 10 * DAY_S}
    with Device(tmp_path / "s", mosquitto.url, bounds=bounds) as device:
        device.wait_connected()
        device.record(1)
        device.sink.telemetry(score, b"{}")
        device.sink.set_retained(state, b"{}")
        device.sink.reply("answers/1", b"{}")
        eventually(lambda: len(found) == 4, what="all four")
    client.disconnect()
    client.loop_stop()
    assert 10 * DAY_S - 2 * PATIENCE_S <= found[EVENTS] <= 10 * DAY_S
    assert 1 <= found[score] <= 60
    assert 60 < found["answers/1"] <= 600
    assert found[state] is None


def record_both(device, count):
    """Alerts and microphone faults of one monitor, by turns."""
    return [
        (
            device.store.record_notice(
                notice_message(), monitor="pump-1", topic=TOPICS.microphone("pump-1")
            )
            if number % 2
            else device.store.record(message(), monitor="pump-1", topic=EVENTS)
        ).message.seq
        for number in range(count)
    ]


def arrivals(subscriber):
    """Sequence numbers of events and notices in the order of their first arrival."""
    topics = (EVENTS, TOPICS.microphone("pump-1"))
    found = [json.loads(p)["seq"] for topic, p, _ in list(subscriber.messages) if topic in topics]
    return list(dict.fromkeys(found))


def test_alerts_and_microphone_faults_of_a_monitor_keep_one_order(mosquitto, tmp_path):
    mosquitto.start()
    with Gate(mosquitto.port) as gate, Subscriber(mosquitto.port) as heard:
        with Device(tmp_path / "s", gate.url) as device:
            wanted = record_both(device, 20)
            eventually(lambda: len(arrivals(heard)) >= 5)
            gate.shut()  # some are under way
            wanted += record_both(device, 20)
            gate.open()
            eventually(lambda: len(arrivals(heard)) >= 40)
        assert arrivals(heard) == wanted


def test_a_refused_topic_keeps_its_own_order_and_does_not_silence_the_other(mosquitto, tmp_path):
    mosquitto.users(press="x")
    login = {"username": "press", "password": "x"}
    denied = f"topic deny {TOPICS.microphone('pump-1')}"
    mosquitto.acl("user press", "topic readwrite edge-asd/#", denied)
    mosquitto.start()
    with (
        Subscriber(mosquitto.port, **login) as heard,
        Device(tmp_path / "s", mosquitto.url, **login) as device,
    ):
        wanted = record_both(device, 20)
        eventually(lambda: len(heard.of(EVENTS)) == 10, what="the alerts")
        refused = {"class": "event_new", "result": "refused"}
        eventually(lambda: device.metric("mqtt_publish_total", **refused) >= 2)
        assert device.sink.health()[0] is Health.CRITICAL
        eventually(lambda: device.store.outbox.stats().messages == 10)
        mosquitto.acl("user press", "topic readwrite edge-asd/#")
        mosquitto.reload()
        device.wait_idle()
        eventually(lambda: len(arrivals(heard)) == 20)
        for topic, sent in ((EVENTS, wanted[0::2]), (TOPICS.microphone("pump-1"), wanted[1::2])):
            assert [json.loads(payload)["seq"] for payload in heard.of(topic)] == sent
        assert device.sink.health()[0] is Health.HEALTHY


def test_a_broker_that_cuts_whoever_subscribes_gets_the_events_all_the_same(
    mosquitto, tmp_path, monkeypatch
):
    mosquitto.start()
    subscribe = Link.subscribe

    def cut(link, filters):
        subscribe(link, filters)
        if TOPICS.info in filters:
            link.abort("subscribed")

    monkeypatch.setattr(Link, "subscribe", cut)
    with Device(tmp_path / "s", mosquitto.url, FAST) as device:
        device.record(3)
        device.wait_idle()
        assert device.metric("mqtt_connect_attempts_total", result="accepted") == 3


def test_a_subscription_that_is_refused_is_told_unless_it_can_be_done_without(
    mosquitto, tmp_path, monkeypatch
):
    mosquitto.start()
    monkeypatch.setattr(
        Link, "take_refusals", lambda _link: {TOPICS.info: "no", "cmd/#": "Not authorized"}
    )
    device = Device(tmp_path / "s", mosquitto.url, Timing(stable_s=0.0), start=False)
    device.sink.subscribe("cmd/#", lambda _message: None)
    device.sink.start()
    with device:
        eventually(lambda: device.sink.health()[0] is Health.WARNING)
        assert "cmd/#: Not authorized" in device.sink.health()[1]
        assert TOPICS.info not in device.sink.health()[1]
