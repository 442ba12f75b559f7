"""Whatever is sent to the port: a clean refusal, nothing repeated, and the next one is served."""

from __future__ import annotations

import random
import re
import socket
from contextlib import suppress

import pytest
from brokers import PATIENCE_S
from prometheus_client import CollectorRegistry

from edge_asd.health import Health, HealthBoard
from edge_asd.web.access import Token
from edge_asd.web.server import HttpServer

TOKEN = "correct-horse-battery-staple"
MARK = b"\x1b]zzmark"
"""Sent in every request; never to come back."""
PATHS = (
    b"/livez",
    b"/readyz",
    b"/healthz",
    b"/metrics",
    b"/",
    b"*",
    b"//",
    b"/..%2f",
    b"http://x/",
)
STATUS = re.compile(rb"HTTP/1\.0 (\d{3}) ")


def serve(token=None):
    board = HealthBoard()
    board.set("workers", Health.HEALTHY, "fine")
    return HttpServer(
        "127.0.0.1:0", board=board, registry=CollectorRegistry(), stalled=tuple,
        ready=lambda: True, token=token,
    )  # fmt: skip


def ask(server, request):
    """Everything that is answered; a connection that is reset is an answer too."""
    with socket.create_connection((server.address, server.port), timeout=PATIENCE_S) as client:
        answer = b""
        with suppress(OSError):
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while part := client.recv(65536):
                answer += part
        return answer


def nonsense(rng):
    """A request that is right, wrong, or none at all."""
    kind = rng.randrange(6)
    noise = rng.randbytes(rng.choice([0, 1, 20, 3000])) + MARK
    if kind == 0:
        return noise
    method = rng.choice([b"GET", b"HEAD", b"POST", b"PUT", b"TRACE", b"get", b"G\x00T", noise[:30]])
    version = rng.choice([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"HTTP/1", b"XTTP/1.1", b""])
    line = b" ".join([method, rng.choice(PATHS) + (noise[-40:] if kind == 1 else b""), version])
    headers = [b"Host: x"]
    if kind >= 3:
        name = rng.choice(
            [b"Authorization", b"Connection", b"Expect", b"Content-Length", b"A" * 99]
        )
        value = rng.choice([b"Bearer", b"100-continue", b"-1", b"9" * 30, b"Bearer " + noise[:50]])
        headers += [name + b": " + value] * rng.choice([1, 2, 150])
    end = rng.choice([b"\r\n", b"\n", b"\r"])
    body = noise if kind == 5 else b""
    return end.join([line, *headers, b"", b""]) + body


def fuzz(cases, seed):
    rng = random.Random(seed)
    with_token = serve(Token(TOKEN))
    servers = [serve(), with_token]
    for server in servers:
        server.start()
    try:
        for _ in range(cases):
            request = nonsense(rng)
            for server in servers:
                answer = ask(server, request)
                assert MARK not in answer, request
                status = STATUS.match(answer)
                if status is None:  # answers to what is no HTTP have no headers
                    assert len(answer) < 100 or server is not with_token, (request, answer)
                elif server is with_token:
                    assert int(status[1]) in (400, 401, 414, 431, 501, 505), (request, answer)
                    assert b"fine" not in answer
                else:
                    assert int(status[1]) != 500, (request, answer)
        good = f"GET /livez HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        for server in servers:
            assert ask(server, good).endswith(b"\r\n\r\nok\n")
    finally:
        for server in servers:
            server.close()


def test_a_fuzz_of_the_port_ends_in_clean_refusals_only():
    fuzz(1_000, seed=20_260_922)


@pytest.mark.long
def test_a_long_fuzz_of_the_port_ends_in_clean_refusals_only():
    fuzz(10_000, seed=random.SystemRandom().randrange(2**32))
