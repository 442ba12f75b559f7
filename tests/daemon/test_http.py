"""The port of a real daemon: shut to the network without a token, and no secret comes out of it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from brokers import PATIENCE_S, Subscriber
from support.processes import FAULT, PUMP, DaemonProcess, assert_refused, cli

TOKEN = "token-zq81-never-to-be-seen-anywhere"
PASSWORD = "password-zq82-never-to-be-seen-anywhere"
PATHS = ("/livez", "/readyz", "/healthz", "/metrics", "/", "/nothing")


def secret(folder, name, text):
    path = folder / name
    path.write_text(f"{text}\n")
    path.chmod(0o600)
    return str(path)


def ask(daemon, path, token=None):
    """Status, headers and body."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{daemon.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, str(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, str(error.headers), error.read().decode()


def test_the_network_is_not_let_in_without_a_token(plant, tmp_path):
    config = plant.config(tmp_path, f"{PUMP}&speed=max&seconds=5", http={"listen": "0.0.0.0:0"})
    result = cli("run", "--state-dir", plant.state(tmp_path), "--config", config)
    assert_refused(result, 78, "http.listen", "http.token_file", "127.0.0.1")


def test_another_address_on_the_command_line_keeps_the_token_of_the_file(plant, tmp_path):
    http = {"token_file": secret(tmp_path, "token", TOKEN)}
    config = plant.config(tmp_path, f"{PUMP}&speed=4", http=http)
    # Every daemon of these tests is given `--http 127.0.0.1:0`.
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.until(lambda: ask(daemon, "/readyz", TOKEN)[0] == 200)
        assert {ask(daemon, path)[0] for path in PATHS} == {401}


@pytest.mark.broker
def test_no_secret_comes_out_anywhere(plant, mosquitto, tmp_path):
    mosquitto.users(press=PASSWORD)
    mosquitto.start()
    mqtt = {
        "url": mosquitto.url,
        "username": "press",
        "password_file": secret(tmp_path, "password", PASSWORD),
    }
    http = {"token_file": secret(tmp_path, "token", TOKEN)}
    config = plant.config(tmp_path, f"{FAULT}&speed=10&onset=5", mqtt=mqtt, http=http)
    state, shown = plant.state(tmp_path), []
    with (
        Subscriber(mosquitto.port, username="press", password=PASSWORD) as subscriber,
        DaemonProcess(state, "--config", config, "-vv") as daemon,
    ):
        daemon.logged("type=new")
        daemon.until(lambda: "connected" in ask(daemon, "/healthz", TOKEN)[2])
        for path in PATHS:
            for token in (TOKEN, None, TOKEN[:-1]):
                shown += [*ask(daemon, path, token)[1:]]
        for command in (("status",), ("status", "--json"), ("events", "--json")):
            result = cli(*command, "--state-dir", state)
            shown += [result.stdout, result.stderr]
        mosquitto.users(press="another")  # the daemon's password is refused from now on
        mosquitto.kill()
        mosquitto.start()
        daemon.until(lambda: json.loads(ask(daemon, "/healthz", TOKEN)[2])["status"] == "critical")
        shown += [ask(daemon, "/healthz", TOKEN)[2], daemon.log]
        shown += [f"{topic} {payload!r}" for topic, payload, _ in subscriber.messages]
    assert "event=" in "".join(shown)  # it did look
    for text in shown:
        assert "zq81" not in text
        assert "zq82" not in text
