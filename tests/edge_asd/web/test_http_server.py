"""Probes answer truthfully, and only to this machine."""

from __future__ import annotations

import http.client
import json
import os
import socket

import pytest
from brokers import PATIENCE_S
from prometheus_client import CollectorRegistry, Gauge
from support.stopwatch import Stopwatch

from edge_asd.errors import ConfigError
from edge_asd.health import Health, HealthBoard
from edge_asd.web.server import HttpServer


class Probed:
    """A server and what it shows."""

    def __init__(self, listen="127.0.0.1:0") -> None:
        self.board = HealthBoard()
        self.registry = CollectorRegistry()
        self.stalled = ()
        self.ready = False
        self.server = HttpServer(
            listen,
            board=self.board,
            registry=self.registry,
            stalled=lambda: self.stalled,
            ready=lambda: self.ready,
        )

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.close()

    def get(self, path, method="GET"):
        address = self.server.address, self.server.port
        connection = http.client.HTTPConnection(*address, timeout=PATIENCE_S)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def probed():
    with Probed() as made:
        yield made


def test_livez_fails_while_a_worker_stands_still(probed):
    assert probed.get("/livez")[::2] == (200, "ok\n")
    probed.stalled = ("worker",)
    assert probed.get("/livez")[::2] == (503, "stalled: worker\n")


def test_readyz_passes_once_ready(probed):
    assert probed.get("/readyz")[0] == 503
    probed.ready = True
    assert probed.get("/readyz")[0] == 200


def test_healthz_shows_every_check_and_fails_on_a_critical_one(probed):
    probed.board.set("mqtt", Health.WARNING, "broker away")
    status, headers, body = probed.get("/healthz?verbose=1")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {
        "status": "warning",
        "checks": {"mqtt": {"status": "warning", "text": "broker away"}},
    }
    probed.board.set("disk", Health.CRITICAL, "full")
    assert probed.get("/healthz")[0] == 503


def test_metrics_are_prometheus_text(probed):
    Gauge("something", "Help.", registry=probed.registry).set(3)
    status, headers, body = probed.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert "something 3.0" in body


def test_nothing_else_is_served(probed):
    assert probed.get("/")[0] == 404
    assert probed.get("/../etc/passwd")[0] == 404
    status, headers, _ = probed.get("/livez", "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_has_the_headers_of_get_and_no_body(probed):
    got, head = probed.get("/readyz"), probed.get("/readyz", "HEAD")
    assert head[0] == got[0]
    assert head[1]["Content-Length"] == str(len(got[2]))
    assert head[2] == ""


def test_silent_clients_do_not_keep_others_waiting_nor_stop_the_shutdown():
    probed = Probed()
    with probed:
        address = (probed.server.address, probed.server.port)
        silent = [socket.create_connection(address) for _ in range(5)]
        assert probed.get("/livez")[0] == 200
        with Stopwatch(os.getpid()) as watch:
            probed.server.close()
    assert watch.own_s < 2
    for sock in silent:
        sock.close()


def test_more_clients_than_there_are_slots_are_turned_away():
    with Probed() as probed:
        address = (probed.server.address, probed.server.port)
        silent = [socket.create_connection(address) for _ in range(16)]
        with socket.create_connection(address, timeout=PATIENCE_S) as surplus:
            assert surplus.recv(1) == b""
        for sock in silent:
            with pytest.raises(BlockingIOError):  # nobody has hung up on those before it
                sock.recv(1, socket.MSG_DONTWAIT)
        for sock in silent:
            sock.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6_loopback_is_served():
    try:
        probed = Probed("[::1]:0")
    except ConfigError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    with probed:
        assert probed.server.address == "::1"
        assert probed.get("/livez")[0] == 200


def test_an_address_in_use_is_told_with_a_remedy(probed):
    with pytest.raises(ConfigError, match="in use: stop the other program"):
        Probed(f"localhost:{probed.server.port}")


@pytest.mark.parametrize("listen", ["0.0.0.0:9108", "192.168.1.5:0", "[::]:9108"])
def test_nothing_listens_beyond_loopback(listen):
    with pytest.raises(ConfigError, match="reachable from the network"):
        Probed(listen)


@pytest.mark.parametrize(
    "listen",
    [
        "9108",
        ":9108",
        "127.0.0.1",
        "127.0.0.1:70000",
        "example.org:80",
        "::1:9108",
        "[127.0.0.1]:1",
    ],
)
def test_what_is_no_address_is_refused(listen):
    with pytest.raises(ConfigError, match="is not an address"):
        Probed(listen)
