"""Probes answer truthfully, and only to this machine."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket

import pytest
from brokers import PATIENCE_S, eventually
from prometheus_client import CollectorRegistry, Gauge
from support.stopwatch import Stopwatch

from edge_asd.errors import ConfigError
from edge_asd.health import Health, HealthBoard
from edge_asd.remedies import remedy_of
from edge_asd.web import server as web
from edge_asd.web.access import Token
from edge_asd.web.server import HttpServer


class Probed:
    """A server and what it shows."""

    def __init__(self, listen="127.0.0.1:0", token=None) -> None:
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
            token=token,
        )

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.close()

    def get(self, path, method="GET", **headers):
        address = self.server.address, self.server.port
        connection = http.client.HTTPConnection(*address, timeout=PATIENCE_S)
        try:
            connection.request(method, path, headers=headers)
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
    probed.board.set("events", Health.HEALTHY, "events are stored")
    status, headers, body = probed.get("/healthz?verbose=1")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {
        "status": "warning",
        "checks": {
            "events": {"status": "healthy", "text": "events are stored"},
            "mqtt": {"status": "warning", "text": "broker away", "remedy": remedy_of("mqtt")},
        },
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


TOKEN = "correct-horse-battery-staple"
EVERY_PATH = ["/livez", "/readyz", "/healthz", "/metrics", "/", "/nothing", "/livez?x=1"]
WRONG = [{}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Basic YQ=="}]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_without_the_token_every_path_answers_alike_and_tells_nothing(method):
    with Probed(token=Token(TOKEN)) as probed:
        probed.board.set("mqtt", Health.CRITICAL, "broker.example refuses the password")
        answers = {
            (status, body, headers["WWW-Authenticate"], headers["Content-Length"])
            for path in EVERY_PATH
            for wrong in WRONG
            for status, headers, body in [probed.get(path, method, **wrong)]
        }
        body = "" if method == "HEAD" else "unauthorized\n"
        assert answers == {(401, body, "Bearer", "13")}


def test_with_the_token_everything_is_as_without_one():
    right = {"Authorization": f"Bearer {TOKEN}"}
    with Probed(token=Token(TOKEN)) as asked, Probed() as open_to_all:
        for path in EVERY_PATH:
            assert asked.get(path, **right)[0] == open_to_all.get(path)[0]
        assert asked.get("/healthz", **right)[2] == open_to_all.get("/healthz")[2]


def test_with_a_token_other_addresses_than_loopback_are_served():
    with Probed("0.0.0.0:0", token=Token(TOKEN)) as probed:
        assert probed.get("/livez")[0] == 401
        assert probed.get("/livez", Authorization=f"Bearer {TOKEN}")[0] != 401


def test_a_client_that_dribbles_its_request_is_cut_off(monkeypatch):
    monkeypatch.setattr(web, "_REQUEST_S", 0.3)
    with Probed() as probed:
        address = (probed.server.address, probed.server.port)
        with socket.create_connection(address, timeout=PATIENCE_S) as client:
            client.sendall(b"GET /livez HT")
            assert client.recv(100) in (b"", b"bad request\n")  # not only once it falls silent
        eventually(lambda: not probed.server._server._begun)
        assert probed.get("/livez")[0] == 200


def test_a_request_is_logged_without_control_characters(caplog):
    caplog.set_level(logging.DEBUG, "edge_asd.web.server")
    with Probed() as probed:
        address = (probed.server.address, probed.server.port)
        with socket.create_connection(address, timeout=PATIENCE_S) as client:
            client.sendall(b"GET /\x1b[2J HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 404")
    assert "[2J" in caplog.text
    assert "\x1b" not in caplog.text


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
