"""Real recordings of a fan: its held-out normal sound raises nothing, its faults do."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from brokers import PATIENCE_S, eventually
from support.processes import ROOT, DaemonProcess, cli, retained, stored_events

from edge_asd.bundle import builtin_bundle

FAN = ROOT.parent / "shared" / "data" / "mimii_ch0" / "fan" / "id_02_0dB"
pytestmark = [pytest.mark.recordings, pytest.mark.broker]


@pytest.fixture(params=["built-in", "tiny"])
def bundle(request, tiny_bundle):
    """Path of a bundle, None for the one that ships."""
    if request.param == "tiny":
        return tiny_bundle.path
    if not builtin_bundle().exists():
        pytest.skip("there is no built-in bundle in this source tree")
    return None


@pytest.fixture
def fan(tmp_path, bundle):
    """State directory with a monitor learned from seven normal clips, and the other clips."""
    if not FAN.is_dir():
        pytest.skip("the recordings of mimii_ch0 are not there")
    normal = sorted((FAN / "normal").glob("*.wav"))
    held_out = tmp_path / "held-out"
    held_out.mkdir()
    for clip in normal[7:]:
        shutil.copy(clip, held_out)
    state = tmp_path / "state"
    chosen = () if bundle is None else ("--bundle", bundle)
    learned = cli("enrol", "--monitor", "fan", "--from", *normal[:7], "--state-dir", state, *chosen)
    assert learned.returncode == 0, learned.stderr
    return state, held_out


def test_a_real_fan_is_normal_when_it_is_and_raises_when_it_is_not(fan, mosquitto, tmp_path):
    state, held_out = fan
    mosquitto.start()
    run = ("--monitor", "fan", "--mqtt", mosquitto.url, "--once")
    with DaemonProcess(state, *run, "--source", f"file:{held_out}") as daemon:
        assert daemon.wait(4 * PATIENCE_S) == 0, daemon.log
    assert stored_events(state) == []
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed")
    heard = tmp_path / "heard.txt"
    subscribe = ["mosquitto_sub", "-p", str(mosquitto.port), "-t", "edge-asd/#", "-v"]
    with heard.open("wb") as output:
        subscriber = subprocess.Popen(subscribe, stdout=output)
        try:
            eventually(lambda: "/status offline" in heard.read_text(), what="the subscription")
            with DaemonProcess(state, *run, "--source", f"file:{FAN / 'anomaly'}") as daemon:
                assert daemon.wait(4 * PATIENCE_S) == 0, daemon.log
            eventually(lambda: heard.read_text().count("/status offline") == 2, what="goodbye")
        finally:
            subscriber.terminate()
            subscriber.wait()
    lines = [line.partition(" ") for line in heard.read_text().splitlines()]
    events = [json.loads(text) for topic, _, text in lines if topic.endswith("/fan/event")]
    assert events[0]["type"] == "new"
    assert events == stored_events(state)
    shown = retained(mosquitto.port)
    kept = {topic.partition("/")[2].partition("/")[2]: text for topic, text in shown.items()}
    assert kept["status"] == b"offline"
    assert json.loads(kept["fan/state"])["state"] == "unknown"
    assert json.loads(kept["fan/state"])["reason"] == "source ended"
    assert "fan/event" not in kept
