"""Somebody who gives commands over MQTT and waits for the answers."""

from __future__ import annotations

import json
import queue
import threading

from brokers import PATIENCE_S
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

BASE = "edge-asd/hall"


class Asker:
    """One client; with MQTT 5 it names where the answer goes, with 3.1.1 it reads ``…/reply``."""

    def __init__(self, port, *, v5=True) -> None:
        self.v5, self._count = v5, 0
        self.answers = queue.Queue()
        self._mine = f"desk/{id(self)}/answers" if v5 else f"{BASE}/cmd/+/reply"
        version = MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=version)
        self._client.on_message = lambda _c, _u, message: self.answers.put(message)
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(self._mine, 1)
        assert subscribed.wait(PATIENCE_S), "not subscribed"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, topic, payload, *, retain=False):
        """Publish without waiting for an answer."""
        self._client.publish(f"{BASE}/{topic}", payload, qos=1, retain=retain).wait_for_publish(
            PATIENCE_S
        )

    def ask(self, topic, payload):
        """Publish and return the answer, which must be that of this question."""
        self._count += 1
        if isinstance(payload, dict):
            payload = json.dumps({"request_id": self._count} | payload)
        properties = None
        if self.v5:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic = self._mine
            properties.CorrelationData = str(self._count).encode()
        self._client.publish(f"{BASE}/{topic}", payload, qos=1, properties=properties)
        message = self.answers.get(timeout=PATIENCE_S)
        answer = json.loads(message.payload)
        if self.v5:
            assert message.properties.CorrelationData == str(self._count).encode()
        else:
            assert answer["request_id"] == self._count
        assert not message.retain
        return answer
