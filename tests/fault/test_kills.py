"""Killed at any moment, again and again, device and broker lose no event and keep the order."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from brokers import Gate, eventually
from support.ledger_board import quick_folder
from support.mqtt_wire import Ear

import edge_asd
from edge_asd.publish.store import EventStore

pytestmark = [pytest.mark.broker, pytest.mark.own_payloads]

TESTS = Path(__file__).parents[1]
NEVER = 10**9
LIVES_S = 0.25


class Stream:
    """Devices, one after the other, on one state directory."""

    def __init__(self, folder, url, log):
        paths = (str(Path(edge_asd.__file__).parents[1]), str(TESTS / "edge_asd" / "publish"))
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("stream_process.py"), folder, url],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        self._pid = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()  # its child goes with it
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    @property
    def running(self):
        return self._pid is not None

    def run(self, seed, total=NEVER):
        """Start a device unless one runs."""
        if not self.running:
            self._process.stdin.write(f"{seed} {total}\n")
            self._process.stdin.flush()
            self._pid = int(self._answer("started"))

    def kill(self):
        os.kill(self._pid, signal.SIGKILL)
        assert self.end() == -signal.SIGKILL, "it had ended by itself"

    def end(self):
        """Wait for the device; its exit code."""
        self._pid = None
        return int(self._answer("ended"))

    def _answer(self, word):
        line = self._process.stdout.readline()
        assert line.startswith(word), f"the device answers {line!r}"
        return line.split()[1]


def storm(mosquitto, folder, log, *, seed, device_kills, broker_kills, events):
    """Let a stream run through kills; what a subscriber heard, in order."""
    rng = random.Random(seed)
    plan = ["device"] * device_kills + ["broker"] * broker_kills
    rng.shuffle(plan)
    mosquitto.start()
    heard, ear = [], Ear(mosquitto.port)
    with Gate(mosquitto.port) as gate, Stream(folder, gate.url, log) as stream:
        for number, victim in enumerate(plan):
            stream.run(seed + number)
            time.sleep(rng.uniform(0.0, LIVES_S))
            if victim == "device":
                stream.kill()
                continue
            mosquitto.kill()
            gate.shut()
            assert ear.ended.wait(60)
            heard += ear.messages
            mosquitto.start()
            ear = Ear(mosquitto.port)  # it listens before the device may speak
            gate.open()
        if stream.running:
            stream.kill()
        stream.run(seed - 1, events)
        assert stream.end() == 0
        eventually(lambda: not missing(folder, [*heard, *ear.messages]), what="every event")
    with ear:
        pass
    return heard + ear.messages


def stored(folder):
    """Payloads of every event by monitor, in order."""
    store = EventStore(folder, read_only=True)
    try:
        by_monitor = {}
        for event in store.events():
            by_monitor.setdefault(event.source, []).append(event.to_json())
        return by_monitor
    finally:
        store.close()


def arrived(heard):
    """Payloads of every event by monitor, in the order of arrival, repetitions included."""
    by_monitor = {}
    for topic, payload in heard:
        if topic.endswith(("/event", "/microphone")):
            by_monitor.setdefault(topic.split("/")[2], []).append(payload)
    return by_monitor


def missing(folder, heard):
    found = {payload for payloads in arrived(heard).values() for payload in payloads}
    return [p for payloads in stored(folder).values() for p in payloads if p not in found]


def check(folder, heard, events):
    """None lost, order kept, repetitions exact; how many there were."""
    kept, came = stored(folder), arrived(heard)
    assert sum(map(len, kept.values())) >= events
    repeated = 0
    for monitor, payloads in kept.items():
        assert [json.loads(p)["seq"] for p in payloads] == list(range(1, len(payloads) + 1))
        assert list(dict.fromkeys(came[monitor])) == payloads, f"order of {monitor}"
        repeated += len(came[monitor]) - len(payloads)
    store = EventStore(folder, read_only=True)
    assert store.outbox.stats().messages == 0
    store.close()
    return repeated


@pytest.fixture
def folder():
    with quick_folder() as path:
        yield path


def run(mosquitto, folder, tmp_path, *, persistence, **plan):
    if persistence:
        lines = ["persistence true", f"persistence_location {mosquitto.directory}/"]
        mosquitto.extra += [*lines, "autosave_interval 1"]
    began_s = time.monotonic()
    with (tmp_path / "stream.log").open("w+") as log:
        heard = storm(mosquitto, folder, log, **plan)
        log.seek(0)
        said = log.read()
    repeated = check(folder, heard, plan["events"])
    # A device that comes back is not taken for another one.
    assert "another daemon" not in said
    count = sum(map(len, stored(folder).values()))
    kills = f"{plan['device_kills']} kills of the device, {plan['broker_kills']} of the broker"
    took_s = time.monotonic() - began_s
    sys.stdout.write(f"{count} events, {kills}, {repeated} repetitions, {took_s:.0f} s\n")


@pytest.mark.parametrize("persistence", [False, True], ids=["forgetful", "persistent"])
def test_a_tenth_of_the_kills_loses_nothing(mosquitto, folder, tmp_path, persistence):
    plan = {"seed": 7, "device_kills": 20, "broker_kills": 5, "events": 1000}
    run(mosquitto, folder, tmp_path, persistence=persistence, **plan)


@pytest.mark.long
@pytest.mark.parametrize("persistence", [False, True], ids=["forgetful", "persistent"])
def test_hundreds_of_kills_lose_nothing(mosquitto, folder, tmp_path, persistence):
    plan = {"seed": 5, "device_kills": 200, "broker_kills": 50, "events": 10_000}
    run(mosquitto, folder, tmp_path, persistence=persistence, **plan)
