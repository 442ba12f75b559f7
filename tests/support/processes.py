"""The real command line and the real daemon as processes, and an enrolled machine for them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from brokers import PATIENCE_S, Subscriber, eventually
from prometheus_client.parser import text_string_to_metric_families

from edge_asd.capture import open_source
from edge_asd.cli import main
from edge_asd.operators.control import ask_daemon
from edge_asd.publish.store import EventStore
from edge_asd.state_dir import socket_path
from support.player import RATE, Player
from support.stopwatch import Stopwatch

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "edge_asd")
PUMP = "sim:pump?seed=1&rate=16000"
FAULT = f"{PUMP}&fault=bearing_outer&ramp=1"
QUICK = {"above_s": 2, "within_s": 4, "clear_s": 3, "cooldown_s": 0, "update_s": 4}
"""Alerts fast enough for a test; well above the tiny bundle's window and hop of 1.3 s."""


def environment(**changes):
    kept = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "STATE_DIRECTORY")}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes


def cli(*arguments, timeout_s=2 * PATIENCE_S, **changes):
    """Run ``edge-asd`` to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextlib.contextmanager
def background(*arguments, **settings):
    """``edge-asd`` as a process that does not outlive its test."""
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, env=environment(), **settings) as process:
        try:
            yield process
        finally:
            process.kill()  # does nothing to one that has ended


@contextlib.contextmanager
def _own_logging():
    """Give back the log handlers that ``edge-asd run`` replaces."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture
def shell(capsys, monkeypatch, tmp_path):
    """``edge-asd`` in this process, as fast as a matrix of wrong inputs needs it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)

    def run(*arguments):
        with _own_logging(), pytest.raises(SystemExit) as left:
            main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, left.value.code, out, err)

    return run


def lines(result):
    """Standard output as JSON lines; strict JSON, which knows no NaN."""
    return [json.loads(line, parse_constant=_no_nan) for line in result.stdout.splitlines()]


def _no_nan(text):
    raise AssertionError(f"{text} is no JSON")


def assert_refused(result, code, *words):
    """One line on standard error that holds every word, the exit code, and no traceback."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    said = [line for line in result.stderr.splitlines() if line.startswith("edge-asd: ")]
    assert len(said) == 1, result.stderr
    assert result.stderr.rstrip().splitlines()[-1] == said[0], result.stderr
    for word in words:
        assert str(word) in said[0], said[0]


class DaemonProcess:
    """``edge-asd run`` in the background; ended with the test."""

    def __init__(self, state, *arguments, http=True, pass_fds=(), logs=None, **changes) -> None:
        self.state = Path(state)
        self.log_path = (logs or self.state.parent) / f"daemon-{time.monotonic_ns()}.log"
        address = ("--http", "127.0.0.1:0") if http else ()
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "run", "--state-dir", str(state), *address, *map(str, arguments)],
                env=environment(**changes),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def until(self, condition, timeout_s=PATIENCE_S, what="the condition"):
        """Wait, but not for a daemon that is gone."""

        def checked():
            value = condition()
            if not value:
                assert self.process.poll() is None, self.log
            return value

        try:
            return eventually(checked, timeout_s, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-4000:]}") from None

    def logged(self, pattern, timeout_s=PATIENCE_S):
        return self.until(lambda: re.search(pattern, self.log), timeout_s, f"log {pattern!r}")

    @property
    def port(self):
        return int(self.logged(r"http listening address=\S+ port=(\d+)")[1])

    def get(self, path):
        """Status and text of an HTTP answer."""
        try:
            address = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def checks(self):
        return json.loads(self.get("/healthz")[1])["checks"]

    def metric(self, name, **labels):
        """Of a daemon that is ready: before that, its monitors have none yet."""
        self.logged(r"ready monitors=")
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == f"edge_asd_{name}" and labels.items() <= sample.labels.items():
                    return sample.value
        raise AssertionError(f"no metric {name} {labels}")

    def status(self):
        """What ``edge-asd status`` would show, by monitor; empty before it answers."""
        answer = ask_daemon(socket_path(self.state, {}), {"command": "status"}, lambda *_: None)
        return {row["monitor"]: row for row in (answer or {"monitors": []})["monitors"]}

    def state_of(self, monitor):
        return self.status().get(monitor, {}).get("state")

    def reason_of(self, monitor):
        return self.status().get(monitor, {}).get("reason", "")

    def wait(self, timeout_s=2 * PATIENCE_S):
        """Exit code, once it leaves by itself."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end\n{self.log[-4000:]}") from None

    def stop(self, number=signal.SIGTERM):
        """Exit code, and seconds from the signal to the end that are the daemon's own."""
        with Stopwatch(self.process.pid) as watch:
            self.process.send_signal(number)
            code = self.wait()
        return code, watch.own_s

    def kill(self):
        self.process.kill()
        self.process.wait()


def stored_events(state):
    """Every step of every alert on the disk."""
    store = EventStore(Path(state), read_only=True)
    try:
        return [json.loads(message.to_json()) for message in store.events()]
    finally:
        store.close()


def write_config(path, **fields):
    """An operator's file; JSON is YAML."""
    path.write_text(json.dumps(fields))
    return path


def render(uri):
    """A finite source as one array (n,) float32."""
    return np.concatenate([block.samples[:, 0] for block in open_source(uri).blocks()])


def retained(port, **login):
    """What a subscriber that comes late is given, by topic."""
    with Subscriber(port, **login) as late:
        late.settle()
        return {topic: payload for topic, payload, flag in late.messages if flag}


@dataclass(frozen=True)
class Machine:
    """A simulated pump that was enrolled with the tiny bundle."""

    folder: Path
    bundle: Path
    normal: Path
    """120 s."""
    faulty: Path
    """40 s; the fault comes after 10 s."""
    enrolled: Path
    """State directory; never run on it, run on a copy."""

    def state(self, tmp_path, name="state"):
        """A state directory of one's own in which monitor ``pump`` is enrolled."""
        return Path(shutil.copytree(self.enrolled, tmp_path / name))

    def player(self, tmp_path, *, speed=10.0, **sounds):
        """A machine that is normal until it is told to be ``faulty``, or one of ``sounds``."""
        normal, _ = soundfile.read(self.normal, dtype="float32")
        faulty, _ = soundfile.read(self.faulty, dtype="float32", start=12 * RATE)
        sounds = {"normal": normal, "faulty": faulty} | sounds
        return Player(tmp_path / "player", speed=speed, **sounds)

    def config(self, tmp_path, source, *, name="config.yaml", monitor=None, **fields):
        """An operator's file with one quick monitor called ``pump``."""
        section = {"name": "pump", "source": source, "alert": QUICK} | (monitor or {})
        defaults = {"device": "hall", "monitors": [section]}
        return write_config(tmp_path / name, **(defaults | fields))


@pytest.fixture(scope="session")
def plant(tmp_path_factory, tiny_bundle):
    return enrolled_machine(tmp_path_factory.mktemp("machine"), tiny_bundle.path)


def enrolled_machine(folder, bundle):
    """Make the sounds of a pump, and have the command line learn from them."""
    normal, faulty, state = folder / "normal.wav", folder / "faulty.wav", folder / "enrolled"
    soundfile.write(normal, render(f"{PUMP}&speed=max&seconds=120"), RATE)
    soundfile.write(faulty, render(f"{FAULT}&speed=max&seconds=40&onset=10"), RATE)
    result = cli(
        *("enrol", "--monitor", "pump", "--from", normal, "--bundle", bundle),
        *("--state-dir", state),
    )
    assert result.returncode == 0, result.stderr
    with contextlib.suppress(FileNotFoundError):
        (state / "lock").unlink()
    return Machine(folder, bundle, normal, faulty, state)
