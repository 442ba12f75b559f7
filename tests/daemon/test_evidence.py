"""From an alert to its sound, its picture and its reasons, whatever ends the daemon."""

from __future__ import annotations

import hashlib
import json
import signal

import pytest
import soundfile
from brokers import Subscriber, eventually
from support.listening import Said
from support.processes import RATE, DaemonProcess, cli, retained, stored_events

from edge_asd.evidence.reader import EvidenceReader
from edge_asd.evidence.records import CLIP, DETAILS, SPECTROGRAM

pytestmark = pytest.mark.broker

BEFORE_S, AFTER_S = 2.0, 2.0
PICTURE = "edge-asd/hall/pump/picture"


def config_of(plant, tmp_path, machine, mosquitto, **evidence):
    usual = {"before_s": BEFORE_S, "after_s": AFTER_S, "free_floor_mb": 0, "publish_picture": True}
    mqtt = {"url": mosquitto.url}
    return plant.config(tmp_path, machine.source, mqtt=mqtt, evidence=usual | evidence)


def assert_whole(state, step):
    """The files that an event names are there, and are what it says."""
    root, told = state / "evidence", step["evidence"]
    data = (root / told["clip"]).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (told["sha256"], told["bytes"])
    samples, rate = soundfile.read(root / told["clip"])
    assert rate == RATE
    assert BEFORE_S + AFTER_S < len(samples) / rate < BEFORE_S + AFTER_S + 10.0
    assert (root / told["spectrogram"]).read_bytes().startswith(b"\x89PNG\r\n")
    details = json.loads((root / told["details"]).read_text())
    assert step["id"] in json.dumps(details)


def test_an_alert_has_its_evidence_on_the_disk_and_in_its_messages(plant, mosquitto, tmp_path):
    state, machine = plant.state(tmp_path), plant.player(tmp_path)
    config = config_of(plant, tmp_path, machine, mosquitto)
    mosquitto.start()
    with (
        Subscriber(mosquitto.port) as subscriber,
        DaemonProcess(state, "--config", config, "--once") as daemon,
    ):
        said = Said(subscriber)
        said.normal("pump")
        machine.play("faulty")
        daemon.until(lambda: daemon.metric("evidence_clips_total", result="kept") == 1)
        eventually(lambda: any(step["evidence"] for step in said.of("pump", "event")))
        machine.play("normal")
        daemon.until(lambda: said.of("pump", "event")[-1]["type"] == "end")
        daemon.until(lambda: daemon.metric("evidence_bytes") > 0)
        steps = said.of("pump", "event")
        assert steps[0]["type"] == "new"
        assert steps[0]["evidence"] is None  # it is told at once, before there is any
        told = [step["evidence"] for step in steps]
        first = next(at for at, evidence in enumerate(told) if evidence)
        assert steps[first]["type"] == "update"
        assert told[first:] == [told[first]] * (len(told) - first)
        assert_whole(state, steps[first])
        picture = retained(mosquitto.port)[PICTURE]
        assert picture == (state / "evidence" / told[first]["spectrogram"]).read_bytes()
        assert daemon.checks()["evidence"]["status"] == "healthy"
        assert daemon.stop()[0] == 0
    shown = cli("events", "show", steps[0]["id"], "--state-dir", state)
    assert shown.returncode == 0, shown.stderr
    assert CLIP in shown.stdout


@pytest.mark.real_time  # what is under way at the end is written within seconds, or given up
def test_evidence_outlives_a_sigkill_and_a_sigterm_keeps_what_was_heard_so_far(
    plant, mosquitto, tmp_path
):
    state, machine = plant.state(tmp_path), plant.player(tmp_path)
    config = config_of(plant, tmp_path, machine, mosquitto)
    with DaemonProcess(state, "--config", config, "--once") as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        machine.play("faulty")
        daemon.until(lambda: daemon.metric("evidence_clips_total", result="kept") == 1)
        machine.play("normal")
        daemon.logged("type=end")
        machine.play("faulty")
        daemon.until(lambda: daemon.log.count("type=new") == 2)
        daemon.kill()
    first, second = dict.fromkeys(step["id"] for step in stored_events(state))
    assert first in EvidenceReader(state).kept()
    machine.play("normal")
    patient = config_of(plant, tmp_path, machine, mosquitto, after_s=100)
    with DaemonProcess(state, "--config", patient, "--once") as daemon:
        daemon.logged(f"event={second} type=end")  # under its id, by itself
        assert daemon.checks()["evidence"]["status"] == "healthy"
        machine.play("faulty")
        daemon.logged("type=new")
        code, own_s = daemon.stop(signal.SIGTERM)
        assert (code, own_s < 5.0) == (0, True), daemon.log
        assert "Traceback" not in daemon.log
    third = stored_events(state)[-1]["id"]
    assert third not in (first, second)
    kept = EvidenceReader(state).kept()
    assert {first, third} <= set(kept) <= {first, second, third}
    assert set(kept[third].files) == {CLIP, SPECTROGRAM, DETAILS}
    samples, _ = soundfile.read(kept[third].path(CLIP))
    assert BEFORE_S < len(samples) / RATE < 90.0
    assert not list((state / "evidence").rglob(".writing-*"))
