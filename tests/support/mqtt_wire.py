"""MQTT packet by packet: a subscriber without a library, and a proxy that loses and counts."""

from __future__ import annotations

import queue
import socket
import threading
from collections import Counter
from contextlib import suppress

from brokers import PATIENCE_S, free_port

CONNECT, CONNACK, PUBLISH, PUBACK, SUBACK = 0x10, 0x20, 0x30, 0x40, 0x90
PASS, LOSE, CUT = "pass", "lose", "cut"


def read_packet(stream):
    """Kind and whole bytes of the next packet; EOFError at the end."""
    raw = bytearray(_exactly(stream, 1))
    length = shift = 0
    while True:
        byte = _exactly(stream, 1)
        raw += byte
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
    start = len(raw)
    raw += _exactly(stream, length)
    return raw[0] & 0xF0, bytes(raw), bytes(raw[start:])


def _exactly(stream, count):
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def cut(sock):
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class Ear:
    """Hears everything below ``edge-asd/`` with QoS 0, in the order in which the broker says it.

    The broker writes a message to a subscriber of QoS 0 before it acknowledges it to the publisher,
    so what was acknowledged arrives here even if the broker is killed the moment after.
    """

    def __init__(self, port):
        self.messages = []  # (topic, payload)
        self.ended = threading.Event()
        self._sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._stream = self._sock.makefile("rb")
        client = b"\x00\x04MQTT\x04\x02\x00\x00\x00\x00"  # 3.1.1, clean, no keep-alive, no name
        self._sock.sendall(b"\x10" + bytes([len(client)]) + client)
        assert read_packet(self._stream)[0] == CONNACK
        topic = b"\x00\x01\x00\x0aedge-asd/#\x00"
        self._sock.sendall(b"\x82" + bytes([len(topic)]) + topic)
        assert read_packet(self._stream)[0] == SUBACK
        self._sock.settimeout(None)
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        cut(self._sock)
        assert self.ended.wait(PATIENCE_S)

    def _listen(self):
        with suppress(OSError, EOFError, ValueError):
            while True:
                kind, _, body = read_packet(self._stream)
                if kind == PUBLISH:
                    end = 2 + int.from_bytes(body[:2], "big")
                    self.messages.append((body[2:end].decode(), body[end:]))
        self._stream.close()
        cut(self._sock)
        self.ended.set()


class FaultProxy:
    """Stands between clients and a broker and does to each packet what ``judge`` says.

    ``judge(from_client, kind)`` returns ``pass``, ``lose``, ``cut``, or bytes to be sent instead.
    Packets that clients sent are counted by kind before they are judged.
    """

    def __init__(self, target_port):
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.sent = Counter()
        self.judge = lambda _from_client, _kind: PASS
        self._target = target_port
        self._sockets = queue.SimpleQueue()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=16)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        while not self._sockets.empty():
            cut(self._sockets.get())

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            for pair in ((client, broker, True), (broker, client, False)):
                self._sockets.put(pair[0])
                threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source, sink, from_client):
        with suppress(OSError, EOFError, ValueError), source.makefile("rb") as stream:
            while True:
                kind, raw, _ = read_packet(stream)
                if from_client:
                    self.sent[kind] += 1
                verdict = self.judge(from_client, kind)
                if verdict == CUT:
                    break
                if verdict != LOSE:
                    sink.sendall(raw if verdict == PASS else verdict)
        cut(source)
        cut(sink)
