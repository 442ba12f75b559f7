"""The embedded broker delivers in order, retains, and is gone afterwards."""

from __future__ import annotations

import socket
import threading

import pytest
from brokers import PATIENCE_S
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_asd.demo.broker import EmbeddedBroker
from edge_asd.demo.subscriber import Subscriber
from edge_asd.errors import PublishError

pytest.importorskip("amqtt", reason="the demo extra is not installed")


def publish(port, messages, *, retain=False):
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)
    client.disconnect()
    client.loop_stop()


def received(subscriber, count):
    messages = []
    while len(messages) < count:
        message = subscriber.get(PATIENCE_S)
        assert message is not None, f"only {len(messages)} of {count} arrived"
        messages.append((message.topic, message.payload))
    return messages


def test_messages_arrive_in_order_and_retained_ones_wait_for_late_subscribers():
    sent = [("edge-asd/demo/pump/event", b"%d" % number) for number in range(50)]
    with EmbeddedBroker() as broker:
        publish(broker.port, [("edge-asd/demo/status", b"online")], retain=True)
        with Subscriber("127.0.0.1", broker.port) as subscriber:
            assert received(subscriber, 1) == [("edge-asd/demo/status", b"online")]
            publish(broker.port, sent)
            assert received(subscriber, len(sent)) == sent


def test_nothing_is_left_of_a_closed_broker():
    before = set(threading.enumerate())
    with EmbeddedBroker() as broker:
        port = broker.port
        assert broker.url == f"mqtt://127.0.0.1:{port}"
        assert {t.name for t in set(threading.enumerate()) - before} >= {"broker"}
    assert not [t for t in set(threading.enumerate()) - before if t.name == "broker"]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_subscriber_without_a_broker_says_so():
    with pytest.raises(PublishError, match=r"127\.0\.0\.1:1: "), Subscriber("127.0.0.1", 1):
        pass
