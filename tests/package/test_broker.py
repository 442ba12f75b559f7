"""The broker's files of deploy/ with certificates of deploy/tls, held against a real mosquitto."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import brokers
import pytest
from brokers import PATIENCE_S, eventually, free_port
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from support.processes import background, write_config

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ACCEPTED, NOT_AUTHORIZED = 0, 0x87
NO_SUBSCRIBERS = 0x10


class Site:
    """A broker as deploy/mosquitto configures it, and everybody's certificates."""

    def __init__(self, directory):
        self.tls = directory / "tls"
        self.port = free_port()
        self._directory = directory
        self._process = None
        self.certify("ca")
        self.certify("server", "broker.example", "localhost", "127.0.0.1")
        for name in ("press-hall-3", "press-hall-4", "operator", "subscriber"):
            self.certify("client", name)

    def certify(self, *arguments, directory=None):
        script = DEPLOY / "tls/make-certs.sh"
        subprocess.run([script, directory or self.tls, *arguments], check=True, capture_output=True)

    def start(self):
        text = (DEPLOY / "mosquitto/mosquitto.conf").read_text()
        shutil.copy(DEPLOY / "mosquitto/acl", self._directory / "acl")
        (self._directory / "data").mkdir()
        # Only places differ from what is shipped.
        for shipped, here in (
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
            ("/mosquitto/config/acl", str(self._directory / "acl")),
            ("/mosquitto/data/", f"{self._directory}/data/"),
            ("/mosquitto/tls/", f"{self.tls}/"),
        ):
            assert shipped in text
            text = text.replace(shipped, here)
        if os.geteuid() == 0:
            text += "user root\n"  # or it gives up the right to read these files
        config = self._directory / "mosquitto.conf"
        config.write_text(text)
        log = (self._directory / "log").open("w")
        with log:
            self._process = subprocess.Popen([brokers.BINARY, "-c", config], stdout=log, stderr=log)
        eventually(self._answers, what="mosquitto")

    def stop(self):
        self._process.kill()
        self._process.wait()

    def _answers(self):
        assert self._process.poll() is None, (self._directory / "log").read_text()
        try:
            with self.client("subscriber"):
                return True
        except OSError:
            return False

    def context(self, pair=None):
        """What a client with that certificate and key speaks TLS with."""
        context = ssl.create_default_context(cafile=self.tls / "ca.pem")
        if pair is not None:
            context.load_cert_chain(f"{pair}.pem", f"{pair}.key")
        return context

    @contextmanager
    def client(self, name):
        """A client with ``name``'s certificate, connected."""
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.tls_set_context(self.context(self.tls / name))
        connected, acks = threading.Event(), {}
        client.on_connect = lambda *_: connected.set()
        client.on_publish = lambda _c, _u, mid, code, _p: acks.update({mid: code.value})
        client.connect("localhost", self.port)
        client.loop_start()
        try:
            assert connected.wait(PATIENCE_S), "not connected"
            client.acks = acks
            yield client
        finally:
            client.disconnect()
            client.loop_stop()


def answer_to(client, topic, payload=b"x"):
    """What the broker answers to a message."""
    sent = client.publish(topic, payload, qos=1).mid
    eventually(lambda: sent in client.acks, what=f"an answer to {topic}")
    return ACCEPTED if client.acks[sent] == NO_SUBSCRIBERS else client.acks[sent]


def listen(client, topics):
    """Subscribe; returns what arrives."""
    arrived, subscribed = [], threading.Event()
    client.on_message = lambda _c, _u, message: arrived.append((message.topic, message.payload))
    client.on_subscribe = lambda *_: subscribed.set()
    client.subscribe(topics, qos=1)
    assert subscribed.wait(PATIENCE_S), "not subscribed"
    return arrived


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if brokers.BINARY is None or shutil.which("openssl") is None:
        pytest.skip("mosquitto or openssl is not installed")
    site = Site(tmp_path_factory.mktemp("site"))
    site.start()
    yield site
    site.stop()


def test_a_daemon_with_its_certificate_is_heard_by_subscribers_and_obeys_the_operator(
    site, tmp_path
):
    mqtt = {"url": f"mqtts://localhost:{site.port}", "commands": ["snooze"]}
    mqtt |= {"ca_file": str(site.tls / "ca.pem"), "cert_file": str(site.tls / "press-hall-3.pem")}
    mqtt |= {"key_file": str(site.tls / "press-hall-3.key")}
    monitors = [{"name": "pump", "source": "sim:pump?rate=16000"}]
    settings = {"device": "press-hall-3", "monitors": monitors, "mqtt": mqtt}
    config = write_config(tmp_path / "config.yaml", **settings, http={"listen": "127.0.0.1:0"})
    run = ["run", "--config", config, "--state-dir", tmp_path / "state"]
    base = "edge-asd/press-hall-3"
    with site.client("subscriber") as onlooker, site.client("operator") as operator:
        heard = listen(onlooker, f"{base}/#")
        with background(*run):
            eventually(lambda: (f"{base}/status", b"online") in heard, what="the birth")
            eventually(lambda: f"{base}/pump/state" in dict(heard), what="a state")
            assert json.loads(dict(heard)[f"{base}/pump/state"])["device"] == "press-hall-3"
            assert answer_to(operator, f"{base}/pump/snooze/set", b"5") == ACCEPTED
            eventually(lambda: (f"{base}/pump/snooze/state", b"5") in heard, what="the snooze")


def test_a_device_can_publish_as_itself_only(site):
    with site.client("subscriber") as onlooker, site.client("press-hall-4") as device:
        heard = listen(onlooker, "#")
        for topic in ("edge-asd/press-hall-3/status", "edge-asd/press-hall-3/cmd/enrol", "else"):
            assert answer_to(device, topic, b"forged") == NOT_AUTHORIZED
        assert answer_to(device, "edge-asd/press-hall-4/pump/alarm", b"own") == ACCEPTED
        eventually(lambda: b"own" in [payload for _, payload in heard], what="its own message")
        assert b"forged" not in [payload for _, payload in heard]


def test_a_device_hears_what_it_is_asked_for_and_nothing_of_another(site):
    with site.client("press-hall-4") as other, site.client("operator") as operator:
        heard = listen(other, "edge-asd/#")
        assert answer_to(operator, "edge-asd/press-hall-3/pump/ack/set") == ACCEPTED
        assert answer_to(operator, "edge-asd/press-hall-4/pump/ack/set", b"mine") == ACCEPTED
        assert answer_to(operator, "edge-asd/press-hall-4/cmd/enrol", b"mine") == ACCEPTED
        eventually(lambda: len(heard) >= 2, what="its own requests")
        assert {payload for _, payload in heard} == {b"mine"}


def test_an_onlooker_cannot_command_and_an_operator_cannot_pose_as_a_device(site):
    with site.client("subscriber") as onlooker, site.client("operator") as operator:
        for topic in ("pump/snooze/set", "pump/ack/set", "cmd/enrol", "status", "pump/event"):
            assert answer_to(onlooker, f"edge-asd/press-hall-3/{topic}") == NOT_AUTHORIZED
        for topic in ("status", "pump/event", "pump/state", "pump/snooze/state"):
            assert answer_to(operator, f"edge-asd/press-hall-3/{topic}") == NOT_AUTHORIZED


def test_nobody_enters_without_a_certificate_of_the_same_authority(site, tmp_path):
    site.certify("ca", directory=tmp_path)
    site.certify("client", "operator", directory=tmp_path)
    for pair in (None, tmp_path / "operator"):
        with pytest.raises(OSError), _greet(site, site.context(pair)) as stream:  # noqa: PT012
            # With TLS 1.3 the handshake looks complete to the client; the refusal comes next.
            stream.sendall(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00")
            if not stream.recv(1):
                raise ConnectionError("closed")
    with _greet(site, site.context(site.tls / "operator")) as stream:
        stream.sendall(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00")
        assert stream.recv(1) == b"\x20"  # CONNACK: the greeting itself is right


def _greet(site, context):
    raw = socket.create_connection(("localhost", site.port), PATIENCE_S)
    return context.wrap_socket(raw, server_hostname="localhost")


def test_keys_are_closed_and_nothing_is_overwritten(site):
    for key in site.tls.glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0, key
    before = {path: path.read_bytes() for path in site.tls.iterdir()}
    for arguments in (["ca"], ["server", "x"], ["client", "operator"], ["client", "../x"]):
        with pytest.raises(subprocess.CalledProcessError):
            site.certify(*arguments)
    assert {path: path.read_bytes() for path in site.tls.iterdir()} == before
