"""Whatever is asked for, over MQTT or the control socket: it is done, or refused in one line."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from brokers import PATIENCE_S
from hypothesis import strategies as st
from support.fuzzing import SHARES, fuzz
from support.processes import PUMP, DaemonProcess

from edge_asd.errors import UsageError
from edge_asd.operators.orders import CHANGES, Order
from edge_asd.publish.asking import request_id_of, request_of_command, request_of_set
from edge_asd.publish.requests import REQUESTS
from edge_asd.state_dir import socket_path

WORDS = st.sampled_from(["pump", "hall", "ON", "off", "5", "-1", "1e999", "nan", "0", "true", ""])
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), WORDS),
    st.integers(10**300, 10**310),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        *("command", "monitor", "minutes", "on", "event", "by", "request_id", "seconds", "force"),
        *("days", "from", "until", "fault", "ids", "limit"),
    ]
)
FIELDS = st.dictionaries(KEYS | st.text(max_size=8), VALUES, max_size=5)
JSON = st.one_of(
    FIELDS.map(lambda fields: json.dumps(fields).encode()),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"[" * 100_000, b"{" * 3000, b'{"monitor":' * 500, b"9" * 5000]),
)
PAYLOADS = st.one_of(st.binary(max_size=64), WORDS.map(str.encode), JSON)


def assert_one_line(error):
    assert error.exit_code == 2
    assert str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 500


@SHARES
def test_whatever_comes_over_mqtt_is_understood_or_refused_in_one_line(share):
    verbs = st.sampled_from([*REQUESTS, "unheard-of"])

    @fuzz(share, 2900, verbs, PAYLOADS)
    def check(verb, payload):
        assert isinstance(request_id_of(payload), str | int | None)
        for ask in (
            lambda: request_of_command(verb, payload),
            lambda: request_of_set(verb, "pump", payload),
        ):
            try:
                request = ask()
                assert request["command"] == verb
                assert request["via"] == "mqtt"
                if verb in CHANGES:
                    Order.parse(verb, request)
            except UsageError as error:
                refusal = error
            else:
                continue
            assert_one_line(refusal)


@pytest.fixture(scope="module")
def daemon(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    config = plant.config(folder, f"{PUMP}&speed=4")
    with DaemonProcess(plant.state(folder), "--config", config) as running:
        running.until(lambda: running.state_of("pump") == "normal")
        yield running


class Asker:
    """Sends lines to the control socket, many at a time."""

    def __init__(self, daemon) -> None:
        self._path = str(socket_path(daemon.state, {}))

    def __call__(self, line):
        """The first answer; nothing where the work takes its time."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(self._path)
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(line + b"\n")
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as answers:
                return answers.readline()


HARMLESS = st.sampled_from(
    ["status", "inhibit", "snooze", "ack", "enabled", "normal", "reload", "replay", "rehearse", ""]
)
REQUESTS_OF_SOCKET = st.one_of(
    st.binary(max_size=64).map(lambda raw: raw.replace(b"\n", b"")),
    st.tuples(HARMLESS | WORDS, FIELDS).map(
        lambda pair: json.dumps(pair[1] | {"command": pair[0], "monitor": "nobody"}).encode()
    ),
    VALUES.filter(lambda value: not isinstance(value, dict)).map(
        lambda value: json.dumps(value).encode()
    ),
    st.sampled_from([b"[" * 60_000, b"x" * 70_000, b"{}", b""]),
)


@SHARES
def test_whatever_is_said_to_the_control_socket_is_answered_in_one_line(share, daemon):
    with ThreadPoolExecutor(15) as pool:

        @fuzz(share, 100, st.lists(REQUESTS_OF_SOCKET, min_size=15, max_size=15))
        def check(requests):
            for line, answer in zip(requests, pool.map(Asker(daemon), requests), strict=True):
                assert answer.endswith(b"\n"), line
                told = json.loads(answer)
                assert set(told) in ({"result"}, {"error", "kind", "exit_code"}), line
                if "error" in told:
                    assert told["exit_code"] in (2, 65, 69, 78), (line, told)
                    assert told["error"]
                    assert "\n" not in told["error"]

    assert "Traceback" not in daemon.log
    assert daemon.state_of("pump") == "normal"
    assert daemon.get("/livez")[0] == 200
