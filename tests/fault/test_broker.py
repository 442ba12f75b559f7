"""Whatever a broker does, events wait, and arrive soon after it is well again."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from brokers import PATIENCE_S, eventually
from devices import EVENTS, FAST, Device
from publish_samples import message
from support.ledger_board import quick_folder
from support.mqtt_wire import CONNACK, CONNECT, CUT, LOSE, PASS, PUBLISH, Ear, FaultProxy

from edge_asd.health import Health
from edge_asd.publish.mqtt_settings import DEFAULT_TIMING, Timing
from edge_asd.publish.outbox import Message, RowClass

pytestmark = [pytest.mark.broker, pytest.mark.own_payloads]

TIMING = Timing(backoff_s=(0.05, 0.2), connect_s=0.5, puback_s=0.5, will_delay_s=1, stable_s=0.0)
SLOW_S = 30.0
"""What a slow machine may add to a wait."""
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BACKLOG = 10_000


def numbers(ear):
    """Sequence numbers of alerts in the order of their first arrival."""
    found = [json.loads(payload)["seq"] for topic, payload in list(ear.messages) if topic == EVENTS]
    return list(dict.fromkeys(found))


def longest_s(timing):
    """From the end of a fault to the next connection: an attempt that came too early, a wait."""
    return timing.backoff_s[1] + timing.connect_s


class Fault:
    """Something that goes wrong with a broker, and ends."""

    attempts = "unreachable"
    """What the attempts to connect come to meanwhile."""
    forgets = False
    """The broker is another one afterwards."""

    def __init__(self, broker, proxy):
        self.broker, self.proxy = broker, proxy


class Gone(Fault):
    """Killed, so that connections are refused; it comes back with nothing that it knew."""

    forgets = True

    def begin(self):
        self.broker.kill()

    def end(self):
        self.broker.start()


class Silent(Fault):
    """Takes connections and says nothing on them."""

    attempts = "silent"

    def begin(self):
        self.proxy.judge = lambda from_client, _kind: PASS if from_client else LOSE

    def end(self):
        self.proxy.judge = lambda _from_client, _kind: PASS


class HalfOpen(Fault):
    """Stopped: the kernel goes on taking connections for it, and nobody reads."""

    attempts = "silent"

    def begin(self):
        os.kill(self.broker.process.pid, signal.SIGSTOP)

    def end(self):
        os.kill(self.broker.process.pid, signal.SIGCONT)


class Garbled(Fault):
    """Answers with what is no CONNACK."""

    def begin(self):
        def judge(_from_client, kind):
            return b"\x20\x7f" + b"\xff" * 127 if kind == CONNACK else CUT

        self.proxy.judge = lambda from_client, kind: (
            PASS if from_client and kind == CONNECT else judge(from_client, kind)
        )

    def end(self):
        self.proxy.judge = lambda _from_client, _kind: PASS


class Unavailable(Garbled):
    """Refuses every connection: server unavailable."""

    attempts = "refused"

    def begin(self):
        super().begin()
        garbled = self.proxy.judge
        self.proxy.judge = lambda from_client, kind: (
            b"\x20\x03\x00\x88\x00" if kind == CONNACK else garbled(from_client, kind)
        )


class Locked(Fault):
    """Its passwords were changed, and it was restarted."""

    attempts = "refused"
    forgets = True

    def begin(self):
        self.broker.kill()
        self.broker.users(device="another", ear="x")
        self.broker.start()

    def end(self):
        self.broker.users(device="right", ear="x")
        self.broker.extra[-1] = "allow_anonymous true"  # for who listens
        self.broker.kill()
        self.broker.start()


@pytest.mark.parametrize("kind", [Gone, Silent, HalfOpen, Garbled, Unavailable, Locked])
def test_events_arrive_in_order_soon_after_the_broker_is_well_again(mosquitto, tmp_path, kind):
    mosquitto.users(device="right", ear="x")
    mosquitto.extra[-1] = "allow_anonymous true"
    mosquitto.start()
    login = {"username": "device", "password": "right", "protocol": "5"}
    ear = Ear(mosquitto.port)
    with (
        FaultProxy(mosquitto.port) as proxy,
        Device(tmp_path / "s", proxy.url, TIMING, **login) as device,
    ):
        fault = kind(mosquitto, proxy)
        wanted = device.record(3)
        eventually(lambda: numbers(ear) == wanted)
        device.wait_idle()
        fault.begin()
        later = device.record(5)
        attempts = {"result": fault.attempts}
        eventually(lambda: device.metric("mqtt_connect_attempts_total", **attempts) >= 2)
        assert not device.sink.connected
        assert device.sink.health()[0] in (Health.WARNING, Health.CRITICAL)
        assert device.store.outbox.stats().messages == 5
        fault.end()
        began_s = time.monotonic()
        if fault.forgets:
            assert ear.ended.wait(PATIENCE_S)
        eventually(lambda: device.sink.idle, longest_s(TIMING) + SLOW_S, "an empty outbox")
        took_s = time.monotonic() - began_s
        eventually(lambda: device.sink.health()[0] is Health.HEALTHY)
        delivered = sum(
            device.metric("mqtt_publish_total", **{"class": "event_new", "result": result})
            for result in ("delivered", "no_subscribers")
        )
        assert delivered == 8
        assert sum(map(bool, later)) == 5
        if not fault.forgets:
            eventually(lambda: numbers(ear) == wanted + later)
    sys.stdout.write(f"{kind.__name__}: {took_s:.1f} s after its end everything was delivered\n")
    with ear:
        pass


def test_the_page_promises_what_the_daemon_waits():
    assert f"connected within {longest_s(DEFAULT_TIMING):.0f} s" in PAGE.read_text()
    assert f"noticed {DEFAULT_TIMING.puback_s:.0f} s after a message was sent" in PAGE.read_text()


def test_a_connection_that_is_dead_and_quiet_is_noticed_by_keep_alive(mosquitto, tmp_path):
    mosquitto.start()
    timing = Timing(backoff_s=(0.05, 0.2), connect_s=0.5, stable_s=0.0)
    with Device(tmp_path / "s", mosquitto.url, timing, keepalive_s=5) as device:
        device.wait_idle()
        os.kill(mosquitto.process.pid, signal.SIGSTOP)
        eventually(lambda: not device.sink.connected, what="the end of the connection")
        os.kill(mosquitto.process.pid, signal.SIGCONT)
        device.wait_connected()


def fill(device, count):
    """Put so many events into the outbox at once, as if a broker had been away for weeks."""
    before, _, after = message().to_json().partition(b'"seq":0')
    rows = [
        Message(EVENTS, b'%s"seq":%d%s' % (before, n, after), RowClass.EVENT_NEW, "pump-1", n)
        for n in range(1, count + 1)
    ]
    device.store._database.write(
        lambda connection: device.store.outbox.insert_again(connection, rows)
    )


def test_ten_thousand_messages_drain_over_one_connection_each_of_them_once(mosquitto):
    mosquitto.start()
    with (
        quick_folder() as folder,
        Ear(mosquitto.port) as ear,
        FaultProxy(mosquitto.port) as proxy,
        Device(folder / "s", proxy.url, FAST, start=False) as device,
    ):
        fill(device, BACKLOG)
        began_s = time.monotonic()
        device.sink.start()
        eventually(lambda: device.sink.idle, 5 * PATIENCE_S, "an empty outbox")
        took_s = time.monotonic() - began_s
        eventually(lambda: len(ear.messages) >= BACKLOG + 2)
        assert numbers(ear) == list(range(1, BACKLOG + 1))
        assert proxy.sent[CONNECT] == 1
        assert proxy.sent[PUBLISH] == BACKLOG + 2  # status and info
    sys.stdout.write(f"{BACKLOG} messages in {took_s:.1f} s\n")


def test_a_backlog_does_not_storm_a_broker_that_hangs_up(mosquitto):
    mosquitto.start()
    with (
        quick_folder() as folder,
        FaultProxy(mosquitto.port) as proxy,
        Device(folder / "s", proxy.url, TIMING, start=False) as device,
    ):
        fill(device, 1000)
        proxy.judge = lambda from_client, kind: CUT if from_client and kind == PUBLISH else PASS
        device.sink.start()
        eventually(lambda: proxy.sent[CONNECT] >= 4)
        # One message at most was begun on each of them, and not one connection a message.
        assert proxy.sent[PUBLISH] <= proxy.sent[CONNECT]
        assert device.store.outbox.stats().messages == 1000
        proxy.judge = lambda _from_client, _kind: PASS
        device.wait_idle()
