"""Whatever a server sends, a connection ends in an answer or in a reason, never in an exception."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_asd.publish.mqtt_link import Link
from edge_asd.publish.mqtt_records import Opening, Outgoing, Protocol
from edge_asd.publish.mqtt_settings import MqttSettings

CONNACKS = {Protocol.V5: b"\x20\x03\x00\x00\x00", Protocol.V3_1_1: b"\x20\x02\x00\x00"}
GOOD = (
    b"\x40\x02\x00\x01",  # PUBACK
    b"\x40\x04\x00\x02\x87\x00",  # refused
    b"\x90\x04\x00\x01\x00\x01",  # SUBACK
    b"\x32\x09\x00\x03a/b\x00\x05\x00{}",  # PUBLISH, QoS 1
    b"\x31\x05\x00\x01a\x00x",  # PUBLISH, QoS 0, retained
    b"\xe0\x02\x8e\x00",  # DISCONNECT: taken over
    b"\xd0\x00",  # PINGRESP
    b"\xf0\x02\x18\x00",  # AUTH
)

packets = st.lists(
    st.one_of(
        st.sampled_from(GOOD),
        st.binary(max_size=24),
        # A good one with a byte replaced.
        st.tuples(st.sampled_from(GOOD), st.integers(0, 40), st.integers(0, 255)).map(
            lambda t: bytes(
                t[2] if at == t[1] % len(t[0]) else byte for at, byte in enumerate(t[0])
            )
        ),
    ),
    max_size=6,
).map(b"".join)


class Server:
    """Answers every connection with the same bytes, then hangs up."""

    def __init__(self):
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, suppress(OSError):
                sock.recv(4096)
                sock.sendall(self.answer)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass


@pytest.fixture(scope="module")
def server():
    made = Server()
    yield made
    made.close()


def talk(server, protocol, answer):
    """Connect, subscribe, publish, listen until it is over; how it began."""
    server.answer = answer
    link = Link(MqttSettings(server.url, "c"), "will", protocol, timeout_s=5.0, will_delay_s=1)
    wake, other = socket.socketpair()
    with wake, other:
        opened = link.open(wake, lambda: True)
        if opened.result is Opening.ACCEPTED:
            link.subscribe(["a/#", "b"])
            for qos in (0, 1):
                link.publish(Outgoing("a", b"x", qos=qos, expiry_s=5.0, correlation=b"c"))
            while link.down is None:
                link.step(wake, 5.0)
        for message in link.take_incoming():
            assert len(message.payload) <= len(answer)
        assert all(ack.code >= 0 for ack in link.take_acks())
        link.take_refusals()
        assert link.down
        link.abort("done")
    return opened


@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("answer", GOOD)
def test_good_packets_are_no_reason_to_stumble(server, protocol, answer):
    assert talk(server, protocol, CONNACKS[protocol] + answer).result is Opening.ACCEPTED


def fuzz(server, protocol, greets, rest):
    talk(server, protocol, (CONNACKS[protocol] if greets else b"") + rest)


@settings(max_examples=60)
@given(protocol=st.sampled_from(Protocol), greets=st.booleans(), rest=packets)
@example(protocol=Protocol.V5, greets=True, rest=b"\x32\x08\x00\x03a\xffb\x00\x05\x00")
def test_no_answer_makes_the_link_stumble(server, protocol, greets, rest):
    fuzz(server, protocol, greets, rest)


@pytest.mark.long
@settings(max_examples=10_000)
@given(protocol=st.sampled_from(Protocol), greets=st.booleans(), rest=packets)
def test_ten_thousand_answers_do_not_make_the_link_stumble(server, protocol, greets, rest):
    fuzz(server, protocol, greets, rest)
