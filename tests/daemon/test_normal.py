"""An alert that an operator confirms as normal in a running daemon."""

from __future__ import annotations

import json

import pytest
from support.asking import Asker
from support.processes import RATE, DaemonProcess, cli, lines, stored_events

from edge_asd.errors import BusyError, UsageError
from edge_asd.evidence.reader import EvidenceReader
from edge_asd.operators.control import ask_daemon
from edge_asd.simulate import Scene, SimulatedMachine
from edge_asd.state_dir import socket_path

EVIDENCE = {"before_s": 2, "after_s": 3, "free_floor_mb": 0}


@pytest.fixture(scope="module")
def load_sound():
    """The same pump as it sounds under another load."""
    scene = Scene("pump", 1, load=1.0, speed=0.9, level_dbfs=-22.0)  # unit 1, but louder
    return SimulatedMachine(scene, seed=3).read(40 * RATE)


def new_events(state):
    return [step for step in stored_events(state) if step["type"] == "new"]


def alert_with_evidence(daemon, number):
    """Wait for so many alerts, the last with its sound on the disk; its id."""
    daemon.until(lambda: len(new_events(daemon.state)) >= number)
    event_id = new_events(daemon.state)[number - 1]["id"]
    daemon.until(lambda: event_id in EvidenceReader(daemon.state).kept())
    return event_id


def ask(daemon, **request):
    """The verb over the control socket; the command itself is tested without a daemon."""
    path = socket_path(daemon.state, {})
    return ask_daemon(path, {"command": "normal", "by": "anna", **request}, lambda *_: None)


def profile_text(state):
    return json.loads((state / "profiles" / "pump" / "profile.json").read_text())


def test_a_confirmed_load_does_not_alert_again_and_the_fault_still_does(
    plant, tmp_path, load_sound
):
    state = plant.state(tmp_path)
    machine = plant.player(tmp_path, load=load_sound)
    config = plant.config(tmp_path, machine.source, evidence=EVIDENCE)
    with DaemonProcess(state, "--config", config, "--once") as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        before = profile_text(state)
        machine.play("load")
        event_id = alert_with_evidence(daemon, 1)
        looked = ask(daemon, event=event_id[-8:], preview=True)
        assert (looked["applied"], looked["this"]["masked"]) == (False, True)
        assert "targets" not in profile_text(state)
        with pytest.raises(UsageError, match="'force' is not taken over MQTT"):
            ask(daemon, event=event_id, force=True, via="mqtt")
        done = cli("normal", event_id, "--days", 10, "--yes", "--json", "--state-dir", state)
        assert done.returncode == 0, done.stderr
        (told,) = lines(done)
        assert told["applied"]
        # The alert that was open is over, for that reason; the load goes on and is normal.
        daemon.until(lambda: stored_events(state)[-1]["type"] == "end")
        assert stored_events(state)[-1]["reason"].startswith("confirmed as normal by ")
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        scored = daemon.metric("windows_total", monitor="pump", result="scored")
        daemon.until(
            lambda: daemon.metric("windows_total", monitor="pump", result="scored") > scored + 100
        )
        assert len(new_events(state)) == 1
        assert daemon.status()["pump"]["confirmed_windows"] == told["windows"]
        machine.play("faulty")
        fault_id = alert_with_evidence(daemon, 2)
        with pytest.raises(UsageError, match="is confirmed as normal already"):
            ask(daemon, event=event_id)
        assert ask(daemon, undo=event_id[:18])["windows_now"] == 0
        assert daemon.status()["pump"]["event_id"] == fault_id  # an undo ends no alert
        assert daemon.stop()[0] == 0
    after = profile_text(state)
    assert "targets" not in after
    assert [change["what"] for change in after["changes"]] == ["confirmed", "undone"]
    assert after["standards"] == before["standards"]


def test_an_alert_of_another_moment_waits_and_what_expires_goes_by_itself(
    plant, tmp_path, load_sound
):
    state = plant.state(tmp_path)
    machine = plant.player(tmp_path, load=load_sound)
    config = plant.config(tmp_path, machine.source, evidence=EVIDENCE)
    with DaemonProcess(state, "--config", config, "--once") as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        machine.play("load")
        event_id = alert_with_evidence(daemon, 1)
        machine.play("normal")
        daemon.until(lambda: stored_events(state)[-1]["type"] == "end")
        machine.play("faulty")
        other = alert_with_evidence(daemon, 2)
        with pytest.raises(BusyError, match=f"another alert is open, {other}"):
            ask(daemon, event=event_id)
        assert ask(daemon, event=event_id, force=True, days=1e-9)["applied"]
        assert daemon.status()["pump"]["event_id"] == other
        assert len(profile_text(state)["targets"]["recordings"]) == 1
        assert daemon.stop()[0] == 0
    with DaemonProcess(state, "--config", config, "--once") as daemon:
        daemon.logged("monitor=pump expired targets left=0")
        assert daemon.status()["pump"]["confirmed_windows"] == 0
    assert "targets" not in profile_text(state)
    assert [one["what"] for one in profile_text(state)["changes"]] == ["confirmed", "expired"]


@pytest.mark.broker
def test_over_mqtt_an_alert_is_confirmed_unless_that_masks_one_that_somebody_pinned(
    plant, mosquitto, tmp_path, load_sound
):
    mosquitto.start()
    state = plant.state(tmp_path)
    machine = plant.player(tmp_path, load=load_sound)
    broker = {"url": mosquitto.url, "commands": ["normal"]}
    config = plant.config(tmp_path, machine.source, evidence=EVIDENCE, mqtt=broker)
    with (
        Asker(mosquitto.port) as asker,
        DaemonProcess(state, "--config", config, "--once") as daemon,
    ):
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        machine.play("load")
        first = alert_with_evidence(daemon, 1)
        machine.play("normal")
        daemon.until(lambda: stored_events(state)[-1]["type"] == "end")
        machine.play("load")
        second = alert_with_evidence(daemon, 2)
        pinned = EvidenceReader(state).kept()[first]
        assert EvidenceReader(state).pin(pinned)
        refused = asker.ask("cmd/normal", {"event": second, "by": "anna"})
        assert not refused["ok"]
        assert first in refused["error"]
        assert "force" in asker.ask("cmd/normal", {"event": second, "force": True})["error"]
        assert "targets" not in profile_text(state)
        EvidenceReader(state).unpin(pinned)
        done = asker.ask("cmd/normal", {"event": second, "by": "anna", "days": 30})
        assert done["ok"], done
        assert [one["event_id"] for one in done["result"]["masked"]] == [first]
        daemon.until(lambda: stored_events(state)[-1]["type"] == "end")
        assert stored_events(state)[-1]["reason"] == "confirmed as normal by anna"
        assert daemon.stop()[0] == 0
    assert profile_text(state)["targets"]["recordings"][0]["by"] == "anna"
