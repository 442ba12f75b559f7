"""An event, once recorded, reaches the broker at least once, whatever dies in between."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from brokers import PATIENCE_S, Gate, SmallBroker, Subscriber, eventually
from devices import EVENTS, TOPICS, Device, sequence

import edge_asd
from edge_asd.health import Health
from edge_asd.publish.mqtt_settings import Timing
from edge_asd.publish.outbox import Message, RowClass


def settled(subscriber, topic, payload):
    return eventually(lambda: payload in subscriber.of(topic), what=f"{topic} = {payload}")


pytestmark = [pytest.mark.broker, pytest.mark.own_payloads]


def test_events_arrive_once_and_in_order(mosquitto, tmp_path):
    mosquitto.start()
    with Subscriber(mosquitto.port) as heard, Device(tmp_path / "s", mosquitto.url) as device:
        wanted = device.record(100)
        device.wait_idle()
        eventually(lambda: len(heard.of(EVENTS)) >= 100)
        assert [json.loads(p)["seq"] for p in heard.of(EVENTS)] == wanted
        assert (
            device.metric("mqtt_publish_total", **{"class": "event_new", "result": "delivered"})
            == 100
        )
        assert not [topic for topic, _, retained in heard.messages if retained]


def test_events_wait_for_a_broker_that_starts_later(mosquitto, tmp_path):
    with Device(tmp_path / "s", mosquitto.url) as device:
        wanted = device.record(10)
        eventually(
            lambda: (device.metric("mqtt_connect_attempts_total", result="unreachable") or 0) >= 2
        )
        assert device.sink.health()[0] is Health.WARNING
        mosquitto.start()
        device.wait_idle()
        # Nobody had subscribed yet: that counts as delivered, and is visible.
        result = {"class": "event_new", "result": "no_subscribers"}
        assert device.metric("mqtt_publish_total", **result) == len(wanted)
        assert device.sink.health()[0] is Health.HEALTHY


def test_a_killed_broker_loses_nothing_and_gets_every_state_again(mosquitto, tmp_path):
    mosquitto.start()
    state = TOPICS.state("pump-1")
    with Gate(mosquitto.port) as gate, Device(tmp_path / "s", gate.url) as device:
        with Subscriber(mosquitto.port) as before:
            device.sink.set_retained(state, b"normal")
            first = device.record(5)
            device.wait_idle()
            eventually(lambda: len(before.of(EVENTS)) >= 5)
            gate.mute()  # the broker may take these, but its word does not come back
            second = device.record(5)
            eventually(lambda: len(before.of(EVENTS)) >= 10)
            mosquitto.kill()
            gate.shut()
        third = device.record(5)
        eventually(lambda: not device.sink.connected)
        device.sink.set_retained(state, b"alarm")
        mosquitto.start()
        with Subscriber(mosquitto.port) as after:
            gate.open()
            device.wait_idle()
            eventually(lambda: len(sequence(after.of(EVENTS))) >= 10)
            assert sequence(before.of(EVENTS)) == first + second
            assert sequence(after.of(EVENTS)) == second + third
            assert [m[0] for m in after.messages[:3]] == [TOPICS.status, TOPICS.info, state]
            assert after.of(state) == [b"alarm"]
        with Subscriber(mosquitto.port) as late:
            settled(late, TOPICS.status, b"online")
            settled(late, state, b"alarm")
            assert late.of(EVENTS) == []


def start_process(directory, url):
    directory.mkdir(exist_ok=True)
    script = Path(__file__).with_name("mqtt_client_process.py")
    source = str(Path(edge_asd.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, script, directory, url],
        env=os.environ | {"PYTHONPATH": source},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "started\n"
    return process


def record_in(process, count):
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    return [int(process.stdout.readline().split()[1]) for _ in range(count)]


def kill(process):
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_process_killed_before_the_acknowledgement_delivers_after_its_restart(
    mosquitto, tmp_path
):
    mosquitto.start()
    directory = tmp_path / "s"
    with Gate(mosquitto.port) as gate, Subscriber(mosquitto.port) as heard:
        process = start_process(directory, gate.url)
        settled(heard, TOPICS.status, b"online")
        gate.mute()
        wanted = record_in(process, 20)
        eventually(lambda: len(heard.of(EVENTS)) >= 1, what="a message without its PUBACK")
        kill(process)
        with Device(directory, mosquitto.url) as device:
            device.wait_idle()
        eventually(lambda: sequence(heard.of(EVENTS)) == wanted)
        by_seq = {}
        for payload in heard.of(EVENTS):
            by_seq.setdefault(json.loads(payload)["seq"], set()).add(payload)
        assert all(len(versions) == 1 for versions in by_seq.values())
        # The first of them came twice: at least once is not exactly once.
        assert len(heard.of(EVENTS)) > len(wanted)


def test_the_will_says_offline_for_a_killed_process_and_state_stays(mosquitto, tmp_path):
    mosquitto.start()
    with Subscriber(mosquitto.port) as heard:
        process = start_process(tmp_path / "s", mosquitto.url)
        settled(heard, TOPICS.state("pump-1"), b'{"state": "normal"}')
        kill(process)
        settled(heard, TOPICS.status, b"offline")
    with Subscriber(mosquitto.port) as late:
        settled(late, TOPICS.status, b"offline")
        settled(late, TOPICS.state("pump-1"), b'{"state": "normal"}')
        assert all(retained for _, _, retained in late.messages)


def test_a_short_drop_is_not_announced_as_offline(mosquitto, tmp_path):
    mosquitto.start()
    timing = Timing(backoff_s=(0.02, 0.1), will_delay_s=300, stable_s=0.0)
    with (
        Subscriber(mosquitto.port) as heard,
        Gate(mosquitto.port) as gate,
        Device(tmp_path / "s", gate.url, timing),
    ):
        settled(heard, TOPICS.info, b'{"schema": 1}')
        gate.shut()
        gate.open()
        eventually(lambda: len(heard.of(TOPICS.info)) == 2)
        assert heard.of(TOPICS.status) == [b"online", b"online"]


def test_a_clean_stop_drains_and_says_offline_at_once(mosquitto, tmp_path):
    mosquitto.start()
    with Subscriber(mosquitto.port) as heard:
        # Should it leave without a goodbye, its will comes too late for this test.
        device = Device(tmp_path / "s", mosquitto.url, Timing(will_delay_s=300))
        device.wait_connected()
        wanted = device.record(50)
        device.sink.close(drain_s=PATIENCE_S)
        assert device.store.outbox.stats().messages == 0
        device.store.close()
        settled(heard, TOPICS.status, b"offline")
        assert sequence(heard.of(EVENTS)) == wanted
        assert heard.messages[-1][0] == TOPICS.status


def test_a_wrong_password_is_not_a_connection(mosquitto, tmp_path):
    mosquitto.users(press="right")
    mosquitto.start()
    with Device(tmp_path / "s", mosquitto.url, username="press", password="wrong") as device:
        device.record(3)
        eventually(lambda: device.metric("mqtt_connect_attempts_total", result="refused") >= 2)
        assert not device.sink.connected
        assert device.metric("mqtt_connected") == 0
        status, text = device.sink.health()
        assert status is Health.CRITICAL
        assert "Not authorized" in text
        assert device.store.outbox.stats().messages == 3
    with Subscriber(mosquitto.port, username="press", password="right") as heard:
        assert heard.messages == []


def test_a_refused_message_is_kept_and_others_go_on(mosquitto, tmp_path):
    mosquitto.users(press="x")
    mosquitto.acl("user press", "topic readwrite edge-asd/#", f"topic deny {EVENTS}")
    mosquitto.start()
    report = Message("edge-asd/press-hall-3/report", b"{}", RowClass.REPORT, "pump-1", 0)
    with Device(tmp_path / "s", mosquitto.url, username="press", password="x") as device:
        wanted = device.record(3)
        device.store.outbox.put(report)
        refused = {"class": "event_new", "result": "refused"}
        eventually(lambda: device.metric("mqtt_publish_total", **refused) >= 5)
        rows = device.store.outbox.head(10)
        assert [row.message.seq for row in rows] == wanted
        status, text = device.sink.health()
        assert status is Health.CRITICAL
        assert "Not authorized" in text
        assert EVENTS in text
        assert not device.sink.idle
        # The broker answered every attempt, so none of them needed a new connection.
        assert device.metric("mqtt_connect_attempts_total", result="accepted") == 1

        mosquitto.acl("user press", "topic readwrite edge-asd/#")
        mosquitto.reload()
        with Subscriber(mosquitto.port, username="press", password="x") as heard:
            device.wait_idle()
            eventually(lambda: sequence(heard.of(EVENTS)) == wanted)
        assert device.sink.health()[0] is Health.HEALTHY


def test_a_broker_that_never_acknowledges_is_left(mosquitto, tmp_path):
    mosquitto.start()
    timing = Timing(backoff_s=(0.02, 0.1), puback_s=0.4, stable_s=0.0)
    with Gate(mosquitto.port) as gate, Device(tmp_path / "s", gate.url, timing) as device:
        device.wait_idle()
        gate.mute()
        device.record(2)
        eventually(lambda: gate.accepted >= 2, what="a new connection")
        gate.unmute()
        device.wait_idle()
        assert device.sink.health()[0] is Health.HEALTHY


def test_a_server_that_accepts_and_stays_silent_is_no_broker(tmp_path):
    timing = Timing(backoff_s=(0.02, 0.1), connect_s=0.3)
    with SmallBroker(None, greeting=False) as silent:
        device = Device(tmp_path / "s", silent.url, timing)
        with device:
            device.record(1)
            eventually(lambda: device.metric("mqtt_connect_attempts_total", result="silent") >= 2)
            assert not device.sink.connected
            assert device.sink.health()[0] is Health.WARNING
            assert device.store.outbox.stats().messages == 1


@pytest.mark.parametrize("refusal", [b"\x20\x02\x00\x01", None], ids=["refuses", "hangs-up"])
def test_a_broker_without_mqtt_5_gets_3_1_1(refusal, tmp_path):
    def connack(level):
        return b"\x20\x02\x00\x00" if level == 4 else refusal

    with SmallBroker(connack) as old, Device(tmp_path / "s", old.url) as device:
        device.record(2)
        device.wait_idle()
        assert old.levels == [5, 4]
        assert old.topics.count(EVENTS) == 2
        assert "3.1.1" in device.sink.health()[1]


def test_a_forced_version_is_not_left(tmp_path):
    with (
        SmallBroker(lambda _: b"\x20\x02\x00\x01") as old,
        Device(tmp_path / "s", old.url, protocol="5") as device,
    ):
        eventually(lambda: len(old.levels) >= 3)
        assert set(old.levels) == {5}
        assert device.sink.health()[0] is Health.CRITICAL


def test_nonsense_from_a_server_does_not_stop_the_pump(tmp_path):
    answers = iter([b"\x20\x7f" + b"\xff" * 127, b"\x00\x00", b"\xf0\xff\xff\xff\xff\xff"])
    with (
        SmallBroker(lambda _: next(answers, b"\x20\x03\x00\x00\x00")) as odd,
        Device(
            tmp_path / "s", odd.url, Timing((0.02, 0.05), connect_s=0.3), protocol="5"
        ) as device,
    ):
        device.record(1)
        device.wait_idle()
        assert len(odd.levels) >= 4


def test_the_will_waits_as_long_as_the_session_lives(tmp_path):
    # Without a session that lives on, MQTT 5 publishes a delayed will at once.
    with (
        SmallBroker(lambda _: b"\x20\x03\x00\x00\x00") as broker,
        Device(tmp_path / "s", broker.url, Timing(will_delay_s=7)) as device,
    ):
        device.wait_connected()
        session_expiry, will_delay = b"\x11\x00\x00\x00\x07", b"\x18\x00\x00\x00\x07"
        assert session_expiry in broker.connects[0]
        assert will_delay in broker.connects[0]


def warned(device):
    status, text = device.sink.health()
    return status is Health.WARNING and "another client use" in text


def test_two_clients_with_one_identifier_do_not_fight_at_full_speed(mosquitto, tmp_path):
    mosquitto.start()
    timing = Timing(backoff_s=(0.2, 60.0))
    with (
        Device(tmp_path / "one", mosquitto.url, timing) as one,
        Device(tmp_path / "two", mosquitto.url, timing) as two,
    ):
        eventually(lambda: one.sink.connected or two.sink.connected)
        time.sleep(1.5)  # at full speed this is enough for hundreds of attempts
        for device in (one, two):
            eventually(lambda device=device: warned(device), what="the warning")
            # Waits double from 0.2 s on: so many would last minutes.
            assert device.metric("mqtt_connect_attempts_total", result="accepted") <= 12


@pytest.fixture
def certificate(tmp_path):
    """A certificate for this machine that signs itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    paths = tmp_path / "broker.pem", tmp_path / "broker.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return paths


def test_an_encrypted_broker_is_believed_only_with_its_certificate(
    mosquitto, certificate, tmp_path
):
    mosquitto.encrypt(*certificate)
    mosquitto.start()
    with Device(tmp_path / "a", mosquitto.url) as stranger:
        eventually(lambda: stranger.metric("mqtt_connect_attempts_total", result="unreachable"))
        assert "certificate verify failed" in stranger.sink.health()[1]
    with Device(tmp_path / "b", mosquitto.url, ca_file=str(certificate[0])) as device:
        wanted = device.record(30)
        device.wait_idle()
        result = {"class": "event_new", "result": "no_subscribers"}
        assert device.metric("mqtt_publish_total", **result) == len(wanted)


def test_telemetry_is_best_effort(mosquitto, tmp_path):
    topic = TOPICS.score("pump-1")
    with Device(tmp_path / "s", mosquitto.url) as device:
        device.sink.telemetry(topic, b"lost")
        mosquitto.start()
        with Subscriber(mosquitto.port) as heard:
            device.wait_connected()
            device.sink.telemetry(topic, b"kept")
            eventually(lambda: heard.of(topic) == [b"kept"])
    counts = {
        r: device.metric("mqtt_publish_total", **{"class": "telemetry", "result": r})
        for r in ("sent", "dropped")
    }
    assert counts == {"sent": 1, "dropped": 1}


def test_the_pump_moves_while_it_waits_and_stops_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    device = Device(tmp_path / "s", f"mqtt://127.0.0.1:{port}", Timing(backoff_s=(60.0, 60.0)))
    with device:
        seen = device.sink.progress
        eventually(lambda: device.sink.progress > seen + 3)
    assert not device.sink._thread.is_alive()
