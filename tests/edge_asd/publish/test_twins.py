"""Two daemons under one name are found, and what a daemon left behind itself is no other daemon."""

from __future__ import annotations

import json
import random

import pytest
from brokers import Gate, Subscriber, eventually
from devices import FAST, TOPICS, Device
from prometheus_client import CollectorRegistry

from edge_asd.health import Health
from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.incoming import Incoming
from edge_asd.publish.mqtt_settings import Timing
from edge_asd.publish.twins import Twins

pytestmark = pytest.mark.own_payloads


def birth(start="2026-11-21T10:00:00.000Z", boot="a"):
    return json.dumps({"boot_id": boot, "started_at": start}).encode()


EARLIER, OURS, LATER = (birth(f"2026-11-21T{hour}:00:00.000Z") for hour in ("09", "10", "11"))


class Bench:
    def __init__(self, own=OURS):
        self.registry = CollectorRegistry()
        self.said, self.now_s = False, 0.0
        metrics = Metrics(self.registry, version="0")
        self.twins = Twins(own, said=lambda: self.said, metrics=metrics, clock=lambda: self.now_s)

    def hear(self, payload, *, retain):
        self.twins.hear(Incoming(TOPICS.info, payload, retain))

    @property
    def found(self):
        return self.registry.get_sample_value("edge_asd_mqtt_duplicate_clients_total")


def test_what_we_said_ourselves_is_nobody_else():
    bench = Bench()
    for retain in (False, True):
        for bench.said in (False, True):
            bench.hear(OURS, retain=retain)
    assert (bench.found, bench.twins.text) == (0, "")


def test_what_is_said_while_we_listen_is_another_daemon():
    bench = Bench()
    bench.hear(birth(boot="other"), retain=False)
    assert bench.found == 1
    assert "give each its own `device`" in bench.twins.text
    assert "other" in bench.twins.text


def test_what_lay_there_before_we_spoke_is_our_own_past():
    bench = Bench()
    for payload in (EARLIER, LATER):
        bench.hear(payload, retain=True)
    assert (bench.found, bench.twins.text) == (0, "")


def test_what_lies_over_ours_is_another_daemon_if_it_started_later():
    bench = Bench()
    bench.said = True
    bench.hear(LATER, retain=True)
    assert bench.found == 1


def test_an_older_one_may_come_from_a_broker_s_backup_but_not_twice():
    bench = Bench()
    bench.said = True
    bench.hear(EARLIER, retain=True)
    assert bench.found == 0
    bench.hear(EARLIER, retain=True)
    assert bench.found == 1


def test_a_broker_that_crashes_again_and_again_is_no_other_daemon():
    bench = Bench()
    bench.said = True
    for _ in range(5):
        bench.twins.broker_was_away()
        bench.hear(EARLIER, retain=True)
    assert bench.found == 0


def test_it_is_over_ten_minutes_after_the_last_sign():
    bench = Bench()
    bench.hear(LATER, retain=False)
    bench.now_s = 599.0
    assert bench.twins.text
    bench.now_s = 601.0
    assert not bench.twins.text


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"7", b"\xff", b'{"started_at": 3}', b'{"boot_id": "x"}', b"[" * 20_000],
)
def test_nonsense_is_nobody(payload):
    bench = Bench()
    bench.hear(payload, retain=False)
    assert bench.found == 0
    Bench(own=payload).hear(LATER, retain=False)


SLOW = Timing(backoff_s=(0.1, 0.4), will_delay_s=1, stable_s=0.0)


@pytest.mark.broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_two_daemons_under_one_name_are_told_by_both(mosquitto, tmp_path, protocol):
    mosquitto.start()
    pair = [
        Device(
            tmp_path / name, mosquitto.url, SLOW, birth=info, rng=random.Random(name),
            protocol=protocol,
        )
        for name, info in (("one", EARLIER), ("two", LATER))
    ]  # fmt: skip
    with pair[0] as one, pair[1] as two:
        for device in (one, two):
            eventually(lambda d=device: d.sink.health()[0] is Health.CRITICAL, what="the finding")
            assert "another daemon" in device.sink.health()[1]
            assert device.metric("mqtt_duplicate_clients_total") >= 1


@pytest.mark.broker
def test_neither_a_restart_nor_a_reconnection_is_another_daemon(mosquitto, tmp_path):
    mosquitto.start()
    with Gate(mosquitto.port) as gate, Subscriber(mosquitto.port) as heard:
        for info in (EARLIER, OURS):
            with Device(tmp_path / "s", gate.url, FAST, birth=info) as device:
                eventually(lambda i=info: i in heard.of(TOPICS.info))
                gate.shut()
                eventually(lambda d=device: not d.sink.connected)
                gate.open()
                eventually(lambda i=info: heard.of(TOPICS.info).count(i) >= 2)
                device.wait_idle()
                assert device.metric("mqtt_duplicate_clients_total") == 0
