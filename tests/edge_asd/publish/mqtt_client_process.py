"""A daemon in small, run as a process of its own so that it can be killed.

Usage: mqtt_client_process.py STATE_DIR URL. Each line on standard input records so many events; it
answers with what it has done.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry
from publish_samples import message

from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.mqtt_settings import MqttSettings, Timing
from edge_asd.publish.store import EventStore
from edge_asd.publish.topics import Topics

TOPICS = Topics("press-hall-3")


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    store = EventStore(Path(sys.argv[1]))
    sink = MqttSink(
        MqttSettings(sys.argv[2], "edge-asd-process"),
        topics=TOPICS,
        outbox=store.outbox,
        birth=b"{}",
        metrics=Metrics(CollectorRegistry(), version="0"),
        rng=random.Random(1),
        timing=Timing(backoff_s=(0.05, 0.1), will_delay_s=1),
    )
    sink.set_retained(TOPICS.state("pump-1"), b'{"state": "normal"}')
    sink.start()
    say("started")
    for line in sys.stdin:
        for _ in range(int(line)):
            recorded = store.record(message(), monitor="pump-1", topic=TOPICS.event("pump-1"))
            say(f"recorded {recorded.message.seq}")


main()
