"""A real broker, a subscriber, and a gate between a client and the broker."""

from __future__ import annotations

import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from support.contract import WITNESS

BINARY = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
PATIENCE_S = 60.0
"""How long a test waits for what takes a second: the machine may be slow and busy."""


def eventually(condition, timeout_s=PATIENCE_S, what="the condition"):
    """Wait until ``condition()`` is truthy and return it."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not become true within {timeout_s} s")
        time.sleep(0.01)
    return value


def free_port():
    """A port that nobody listens on, and that no connection is given as its own.

    Below the range of ports for outgoing connections: a client that tries again and again to reach
    a broker that is down would sooner or later be given that very port, and reach itself.
    """
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)
        with socket.socket() as sock, suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            return port


class Mosquitto:
    """One broker on loopback; ``start`` after ``kill`` takes the same port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.extra: list[str] = ["allow_anonymous true"]

    def users(self, **passwords: str) -> None:
        """Ask for a password from now on (from the next ``start`` or ``reload``)."""
        path = self.directory / "passwords"
        path.write_text("".join(f"{user}:{word}\n" for user, word in passwords.items()))
        path.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", path], check=True)
        self.extra = [f"password_file {path}", "allow_anonymous false"]

    def encrypt(self, certificate: Path, key: Path) -> None:
        """Speak TLS only, from the next ``start``."""
        self.url = f"mqtts://127.0.0.1:{self.port}"
        self.extra += [f"certfile {certificate}", f"keyfile {key}"]

    def acl(self, *rules: str) -> None:
        """Restrict topics from the next ``start`` or ``reload``."""
        path = self.directory / "acl"
        path.write_text("\n".join(rules) + "\n")
        path.chmod(0o600)
        line = f"acl_file {path}"
        if line not in self.extra:
            self.extra.append(line)

    def start(self) -> None:
        config = self.directory / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "log_dest none"]
        if os.geteuid() == 0:
            lines.append("user root")  # or it gives up the right to read the files above
        config.write_text("\n".join([*lines, *self.extra]) + "\n")
        self.process = subprocess.Popen([BINARY, "-c", config], stderr=subprocess.DEVNULL)
        eventually(self._answers, what="mosquitto")

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self):
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        assert self.process.poll() is None, "mosquitto did not start"
        return False


@pytest.fixture
def mosquitto(tmp_path):
    """A broker that is not started yet."""
    if BINARY is None:
        pytest.skip("mosquitto is not installed")
    directory = tmp_path / "broker"
    directory.mkdir()
    broker = Mosquitto(directory)
    yield broker
    broker.kill()


class Subscriber:
    """Collects everything below ``topics`` in the order of its arrival."""

    def __init__(self, port, topics="edge-asd/#", username=None, password=None) -> None:
        self.messages = []  # (topic, payload, retained)
        subscribed, self._settled = threading.Event(), threading.Event()
        self._marker = f"marker/{os.getpid()}/{id(self)}"
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(topics, 1), (self._marker, 1)]
        )
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _user, message: self._take(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(PATIENCE_S), "not subscribed"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, message):
        if message.topic == self._marker:
            self._settled.set()
        else:
            WITNESS.look(message)
            self.messages.append((message.topic, message.payload, message.retain))

    def settle(self):
        """Wait for everything that the broker held ready: what we send now comes behind it."""
        self._settled.clear()
        self._client.publish(self._marker, b"", qos=1)
        assert self._settled.wait(PATIENCE_S), "the broker does not answer"

    def of(self, topic):
        """Payloads of one topic."""
        return [payload for name, payload, _ in list(self.messages) if name == topic]


class Gate:
    """A TCP forwarder that can be shut, opened, and muted towards the client."""

    def __init__(self, target_port) -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.accepted = 0
        self._target = target_port
        self._speaking = threading.Event()
        self._speaking.set()
        self._listener = None
        self._sockets: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.shut()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=16)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections and cut the ones there are."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        while not self._sockets.empty():
            _cut(self._sockets.get())
        self._speaking.set()  # what was held back finds nobody any more

    def mute(self) -> None:
        """Hold back what the broker says."""
        self._speaking.clear()

    def unmute(self) -> None:
        self._speaking.set()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 2)
            except OSError:
                client.close()
                continue
            for sock in (client, server):
                self._sockets.put(sock)
            for source, sink, gate in ((client, server, None), (server, client, self._speaking)):
                threading.Thread(target=_forward, args=(source, sink, gate), daemon=True).start()


def _forward(source, sink, gate):
    with suppress(OSError):
        source.settimeout(None)
        while data := source.recv(65536):
            if gate is not None:
                gate.wait()
            sink.sendall(data)
    _cut(source)
    _cut(sink)


def _cut(sock):
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class SmallBroker:
    """Answers CONNECT and PUBLISH of QoS 1 as told; enough to be wrong in ways mosquitto is not.

    Args:
        connack: Makes the answer of the protocol level; None closes the connection.
        greeting: Whether it answers at all.
    """

    def __init__(self, connack, *, greeting=True) -> None:
        self.levels = []
        self.connects = []
        self.topics = []
        self._connack = connack
        self._greeting = greeting
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = []
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            _cut(sock)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with suppress(OSError, IndexError):
            stream = sock.makefile("rb")
            while True:
                kind = stream.read(1)[0]
                length = shift = 0
                while True:
                    byte = stream.read(1)[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                body = stream.read(length)
                if not self._greeting:
                    continue
                if kind == 0x10:
                    self.levels.append(body[6])
                    self.connects.append(body)
                    answer = self._connack(body[6])
                    if answer is None:
                        break
                    sock.sendall(answer)
                elif kind & 0xF0 == 0x30 and kind & 0x06:
                    end = 2 + int.from_bytes(body[:2], "big")
                    self.topics.append(body[2:end].decode())
                    sock.sendall(b"\x40\x02" + body[end : end + 2])
        _cut(sock)
