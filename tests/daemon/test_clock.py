"""The wall clock is set, or the machine sleeps: alerts, scores and accounts go on undisturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from brokers import PATIENCE_S, Gate, Subscriber, eventually
from support.processes import DaemonProcess, cli, lines, stored_events
from support.wallclock import WallClock

from edge_asd.clock import parse_rfc3339

HOUR_S = 3600.0
WINDOWS = 12
"""Three seconds of listening: more than raises or ends an alert of these tests."""
EVENT = "edge-asd/hall/pump/event"


@pytest.fixture
def clock(tmp_path):
    return WallClock(tmp_path / "clock")


class Board(DaemonProcess):
    """A daemon that listens to a machine in real time, with a wall clock that can be set."""

    def __init__(self, plant, tmp_path, machine, *, clock=None, state=None, **fields) -> None:
        settings = clock.settings if clock else {}
        config = plant.config(tmp_path, machine.source, **fields)
        super().__init__(state or plant.state(tmp_path), "--config", config, **settings)

    def __exit__(self, *error):
        super().__exit__(*error)
        WallClock.forget(self.process.pid)

    def listen_on(self):
        """Wait until it has scored some windows more."""
        scored = self.scored()
        self.until(lambda: self.scored() >= scored + WINDOWS, what="more scores")

    def scored(self):
        return self.metric("windows_total", monitor="pump", result="scored")


def near(text, wall_s):
    """Whether a time in a message is that of the clock, give or take what a test waits."""
    return abs(parse_rfc3339(text) - wall_s) <= PATIENCE_S


def ended(state):
    return "end" in [step["type"] for step in stored_events(state)]


def made_at(uuid):
    """Wall time in a UUID version 7."""
    return int(uuid.replace("-", "")[:12], 16) / 1000


def account(state):
    """Seconds of every account, and of all together, as the ledger tells them."""
    result = cli("ledger", "--since", "2000-01-01", "--json", "--state-dir", state)
    assert result.returncode == 0, result.stderr
    (told,) = lines(result)
    (monitor,) = told["monitors"]
    return monitor


def assert_one_alert(steps, took_s):
    """All steps of one alert, in order, and none lasts longer than the test has."""
    assert [steps[0]["type"], steps[-1]["type"]] == ["new", "end"]
    assert {step["type"] for step in steps[1:-1]} <= {"update"}
    assert {step["id"] for step in steps} == {steps[0]["id"]}
    assert [step["seq"] for step in steps] == list(range(1, len(steps) + 1))
    durations = [step["duration_s"] for step in steps]
    assert durations == sorted(durations)
    assert durations[0] > 0.0
    assert durations[-1] <= took_s
    ordered = [step["monotonic_ns"] for step in steps]
    assert ordered == sorted(ordered)


def test_the_clock_of_these_tests_is_set_and_boot_time_is_not(clock):
    code = "import time; print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))"
    shown = {}
    for by_s in (0.0, HOUR_S):
        clock.set(by_s)
        text = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | clock.settings,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        shown[by_s] = [float(word) for word in text.split()]
    wall_s, boot_s = (after - before for before, after in zip(*shown.values(), strict=True))
    assert HOUR_S <= wall_s <= HOUR_S + PATIENCE_S
    assert 0.0 <= boot_s <= PATIENCE_S


@pytest.mark.broker
@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S], ids=["forward", "back"])
def test_a_clock_that_is_set_neither_raises_nor_ends_an_alert(
    plant, mosquitto, tmp_path, clock, by_s
):
    mosquitto.start()
    machine = plant.player(tmp_path, speed=1.0)
    began_s = time.monotonic()
    with (
        Subscriber(mosquitto.port, EVENT) as subscriber,
        Board(plant, tmp_path, machine, clock=clock, mqtt={"url": mosquitto.url}) as daemon,
    ):
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        heard_s = time.monotonic()
        clock.set(by_s)
        daemon.listen_on()
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        assert stored_events(daemon.state) == []
        machine.play("faulty")
        daemon.logged("type=new")
        raised_s = clock.now_s
        clock.set(-by_s)
        daemon.listen_on()
        assert "type=end" not in daemon.log
        daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
        machine.play("normal")
        daemon.until(lambda: ended(daemon.state))
        ended_s = clock.now_s
        daemon.until(lambda: len(subscriber.of(EVENT)) >= len(stored_events(daemon.state)))
        listened_s = time.monotonic() - heard_s
        assert daemon.stop()[0] == 0, daemon.log
        steps = stored_events(daemon.state)
        eventually(lambda: len(subscriber.of(EVENT)) >= len(steps), what="delivery")
        assert [json.loads(payload) for payload in subscriber.of(EVENT)] == steps
    took_s = time.monotonic() - began_s
    assert_one_alert(steps, took_s)
    assert near(steps[0]["started_at"], raised_s)
    assert near(steps[0]["updated_at"], raised_s)
    assert abs(made_at(steps[0]["id"]) - raised_s) <= HOUR_S + PATIENCE_S
    assert near(steps[-1]["ended_at"], ended_s)
    assert near(steps[-1]["started_at"], ended_s)  # on one axis, that of the message
    kept = account(daemon.state)
    assert listened_s - 2 <= kept["accounted_s"] <= took_s + 2
    assert kept["seconds"]["down"] == 0
    assert kept["seconds"]["scored"] >= 3
    assert kept["clock_steps_s"] == pytest.approx(-by_s, abs=2)


@pytest.mark.broker
def test_a_board_that_starts_in_1970_listens_and_is_dated_once_the_clock_is_set(
    plant, mosquitto, tmp_path, clock
):
    mosquitto.start()
    clock.set_to(90.0)
    state = tmp_path / "state"
    learn = ("enrol", "--monitor", "pump", "--from", plant.normal, "--bundle", plant.bundle)
    learned = cli(*learn, "--state-dir", state, **clock.settings)
    assert learned.returncode == 0, learned.stderr
    machine = plant.player(tmp_path, speed=1.0)
    began_s = time.monotonic()
    with (
        Subscriber(mosquitto.port, EVENT) as subscriber,
        Gate(mosquitto.port) as gate,
    ):
        gate.shut()  # no network yet, which is why nobody has set the clock
        with Board(
            plant, tmp_path, machine, clock=clock, state=state, mqtt={"url": gate.url}
        ) as daemon:
            daemon.until(lambda: daemon.state_of("pump") == "normal")
            heard_s = time.monotonic()
            machine.play("faulty")
            daemon.logged("type=new")
            (first, *_) = daemon.until(lambda: stored_events(state))
            assert first["started_at"].startswith("1970-01-01T00:")
            clock.set(0.0)
            daemon.listen_on()
            assert "type=end" not in daemon.log
            gate.open()
            machine.play("normal")
            daemon.until(lambda: ended(state))
            ended_s = clock.now_s
            daemon.until(lambda: len(subscriber.of(EVENT)) >= len(stored_events(state)))
            listened_s = time.monotonic() - heard_s
            assert daemon.stop()[0] == 0, daemon.log
        steps = stored_events(state)
        eventually(lambda: len(subscriber.of(EVENT)) >= len(steps), what="delivery")
        assert [json.loads(payload) for payload in subscriber.of(EVENT)] == steps
    took_s = time.monotonic() - began_s
    assert_one_alert(steps, took_s)
    assert near(steps[-1]["ended_at"], ended_s)
    assert near(steps[-1]["started_at"], ended_s)
    kept = account(state)
    assert near(kept["from"], time.time())
    assert listened_s - 2 <= kept["accounted_s"] <= took_s + 2
    score = cli("score", "--monitor", "pump", "--state-dir", state, "--json", plant.faulty)
    assert score.returncode == 0, score.stderr


def test_an_alert_that_was_left_open_in_the_future_goes_on_and_ends(plant, tmp_path, clock):
    clock.set(HOUR_S)
    machine = plant.player(tmp_path, speed=1.0)
    began_s = time.monotonic()
    with Board(plant, tmp_path, machine, clock=clock) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        machine.play("faulty")
        daemon.until(lambda: stored_events(daemon.state))
        daemon.kill()
    clock.set(0.0)
    machine.play("normal")
    with Board(plant, tmp_path, machine, clock=clock, state=daemon.state) as daemon:
        daemon.logged("type=end")
        ended_s = clock.now_s
        assert daemon.stop()[0] == 0, daemon.log
    steps = stored_events(daemon.state)
    assert [steps[0]["type"], steps[-1]["type"]] == ["new", "end"]
    assert {step["id"] for step in steps} == {steps[0]["id"]}
    assert near(steps[-1]["ended_at"], ended_s)
    assert all(step["duration_s"] >= 0.0 for step in steps)
    assert account(daemon.state)["accounted_s"] <= time.monotonic() - began_s + 2


def family(pid):
    """A process and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def test_a_machine_that_sleeps_loses_sound_and_nothing_else(plant, tmp_path):
    """All processes are stopped for a while, which is as near as a test comes to a suspension."""
    slept_s = 6.0
    machine = plant.player(tmp_path, speed=1.0)
    with Board(plant, tmp_path, machine) as daemon:
        began_s = time.monotonic()
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        machine.play("faulty")
        daemon.logged("type=new")
        sleepers = family(daemon.process.pid)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in sleepers:
                os.kill(pid, number)
            time.sleep(slept_s if number == signal.SIGSTOP else 0.0)
        daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
        daemon.listen_on()
        assert "type=end" not in daemon.log
        machine.play("normal")
        daemon.logged("type=end")
        assert daemon.stop()[0] == 0, daemon.log
        listened_s = time.monotonic() - began_s
    steps = stored_events(daemon.state)
    assert_one_alert(steps, listened_s)
    assert steps[-1]["duration_s"] >= slept_s  # it lasted while nobody listened
    kept = account(daemon.state)
    assert kept["accounted_s"] <= listened_s + 2
    assert kept["accounted_s"] >= slept_s
    assert kept["seconds"]["scored"] <= listened_s - slept_s + 2
