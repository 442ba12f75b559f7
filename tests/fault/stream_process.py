"""A device in small that records events without end, to be killed at any moment.

Usage: stream_process.py STATE_DIR URL. For every line ``SEED TOTAL`` on standard input it forks a
device and answers ``started PID`` and, when that is gone, ``ended STATUS``. A device goes on with
what it finds in the state directory; it leaves by itself once ``TOTAL`` events are stored and the
broker has all of them.
"""

from __future__ import annotations

import ctypes
import logging
import os
import random
import signal
import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry
from publish_samples import WALL_S, message, notice_message

from edge_asd.clock import uuid7
from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.mqtt_settings import MqttSettings, Timing
from edge_asd.publish.store import EventStore
from edge_asd.publish.topics import Topics

TOPICS = Topics("press-hall-3")
MONITORS = ("pump-1", "fan-2", "press")
TIMING = Timing(backoff_s=(0.02, 0.1), connect_s=5.0, puback_s=5.0, will_delay_s=1, stable_s=0.0)
_PR_SET_PDEATHSIG = 1


class Device:
    """Alerts and microphone faults of three monitors, by chance."""

    def __init__(self, folder, url, seed):
        self.rng = random.Random(seed)
        self.store = EventStore(Path(folder))
        self.sink = MqttSink(
            MqttSettings(url, "edge-asd-stream"),
            topics=TOPICS,
            outbox=self.store.outbox,
            birth=b'{"started_at": "%020d", "boot_id": "b"}' % time.monotonic_ns(),
            metrics=Metrics(CollectorRegistry(), version="0"),
            rng=self.rng,
            timing=TIMING,
        )
        self.sink.start()

    def stored(self):
        return self.store._database.read(
            lambda c: c.execute("SELECT COUNT(*) FROM events").fetchone()
        )[0]

    def step(self):
        monitor = self.rng.choice(MONITORS)
        alert = self.rng.random() < 0.7
        going_on = (self.store.open_event if alert else self.store.open_notice)(monitor)
        kinds = ("update", "end") if alert else ("end",)
        kind = self.rng.choice(kinds) if going_on else "new"
        fresh = uuid7(WALL_S, self.rng)
        fields = {"monitor": monitor, "id": going_on.id if going_on else fresh}
        if kind == "end":
            fields["ended_at"] = WALL_S + 13
        if alert:
            step = message(kind, **fields)
            self.store.record(step, monitor=monitor, topic=TOPICS.event(monitor))
        else:
            step = notice_message(kind, **fields)
            self.store.record_notice(step, monitor=monitor, topic=TOPICS.microphone(monitor))

    def run(self, total):
        while self.stored() < total:
            for _ in range(self.rng.randint(1, 20)):
                self.step()
            time.sleep(self.rng.uniform(0.0, 0.03))
        while not self.sink.idle:
            time.sleep(0.02)
        self.sink.close()
        self.store.close()


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    folder, url = sys.argv[1:]
    logging.basicConfig(level=logging.ERROR)
    for line in sys.stdin:
        seed, total = map(int, line.split())
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            Device(folder, url, seed).run(total)
            os._exit(0)
        say(f"started {child}")
        say(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


if __name__ == "__main__":
    main()
