"""A store and a sink, as the daemon wires them."""

from __future__ import annotations

import json
import random

from brokers import eventually
from prometheus_client import CollectorRegistry
from publish_samples import message

from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.mqtt_settings import MqttSettings, Timing
from edge_asd.publish.store import EventStore
from edge_asd.publish.topics import Topics

TOPICS = Topics("press-hall-3")
EVENTS = TOPICS.event("pump-1")
FAST = Timing(backoff_s=(0.02, 0.1), connect_s=5.0, puback_s=10.0, will_delay_s=1, stable_s=0.0)


class Device:
    """A store and a sink, as the daemon wires them."""

    def __init__(
        self,
        directory,
        url,
        timing=FAST,
        *,
        start=True,
        birth=b'{"schema": 1}',
        rng=None,
        bounds=None,
        **settings,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, version="0")
        self.store = EventStore(directory, **(bounds or {}))
        self.sink = MqttSink(
            MqttSettings(url, "edge-asd-test", **settings),
            topics=TOPICS,
            outbox=self.store.outbox,
            birth=birth,
            metrics=self.metrics,
            rng=rng or random.Random(3),
            timing=timing,
        )
        if start:
            self.sink.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sink.close(drain_s=0.0)
        self.store.close()

    def record(self, count=1, kind="new"):
        return [
            self.store.record(message(kind), monitor="pump-1", topic=EVENTS).message.seq
            for _ in range(count)
        ]

    def metric(self, name, **labels):
        return self.registry.get_sample_value(f"edge_asd_{name}", labels)

    def wait_idle(self):
        eventually(lambda: self.sink.idle, what="an empty outbox")

    def wait_connected(self):
        eventually(lambda: self.sink.connected, what="a connection")


def sequence(payloads):
    """Sequence numbers in the order of their first arrival."""
    return list(dict.fromkeys(json.loads(payload)["seq"] for payload in payloads))
