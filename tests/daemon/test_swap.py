"""Another bundle, or another engine, for a daemon that goes on listening."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import soundfile
from brokers import eventually
from support.processes import (
    PUMP,
    QUICK,
    DaemonProcess,
    cli,
    render,
    retained,
    write_config,
)
from support.tiny import HOP, WINDOW, write_tiny_bundle

from edge_asd.profile import profile_dir

RATE = 16_000
SPEED = 4
SOURCE = f"{PUMP}&speed={SPEED}"
SECTION = {"name": "pump", "source": SOURCE, "alert": QUICK}


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another bundle whose windows lie alike."""
    return write_tiny_bundle(tmp_path_factory.mktemp("second") / "b.asd", seed=7, version="2").path


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """A bundle with longer windows that lie further apart."""
    return write_tiny_bundle(
        tmp_path_factory.mktemp("longer") / "c.asd",
        seed=8,
        version="3",
        window_samples=WINDOW + HOP,
        hop_samples=HOP + 2048,
    ).path


@pytest.fixture
def device(plant, tmp_path):
    """Starts daemons with one file and one state directory."""
    state, path, running = plant.state(tmp_path), tmp_path / "config.yaml", []

    class Device:
        """The operator's hands."""

        folder = state

        def write(self, *monitors, **fields):
            sections = [*monitors] or [SECTION]
            write_config(path, **({"device": "hall", "monitors": sections} | fields))

        def run(self, *options):
            daemon = DaemonProcess(state, "--config", path, *options)
            running.append(daemon)
            daemon.logged("ready monitors=")
            return daemon

        def reload(self):
            return cli("reload", "--json", "--state-dir", state)

        def bundle(self, monitor="pump"):
            return json.loads((profile_dir(state, monitor) / "profile.json").read_text())["bundle"]

    yield Device()
    for daemon in running:
        daemon.__exit__()


def logged_scores(log):
    """Scores in the order in which windows were heard."""
    return [float(score) for score in re.findall(r"monitor=pump score=(-?[\d.]+)", log)]


def file_scores(state, wav):
    """What ``edge-asd score`` makes of the same sound."""
    result = cli("score", "--monitor", "pump", "--windows", "--json", "--state-dir", state, wav)
    assert result.returncode == 0, result.stderr
    return [json.loads(line)["score"] for line in result.stdout.splitlines()]


@pytest.mark.broker
def test_another_bundle_takes_over_while_audio_runs_and_scores_as_it_does_for_files(
    device, mosquitto, second, tmp_path
):
    mosquitto.start()
    mqtt = {"url": mosquitto.url}
    device.write(mqtt=mqtt)
    daemon = device.run("--verbose")
    daemon.until(lambda: len(logged_scores(daemon.log)) > 20)
    former = shutil.copytree(device.folder / "profiles", tmp_path / "former" / "profiles")
    shutil.copytree(device.folder / "bundles", former.with_name("bundles"))
    device.write(mqtt=mqtt, bundle=str(second))
    answer = device.reload()
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["relearned"] == told["kept"] == ["pump"]
    assert told["serving"] == "tiny-2 on onnxruntime fp32 instead of tiny-1 on onnxruntime fp32"
    at = len(logged_scores(daemon.log.partition("networks serve")[0]))
    daemon.until(lambda: len(logged_scores(daemon.log)) > at + 20)
    daemon.until(lambda: daemon.state_of("pump") == "normal")
    # Everything follows.
    assert daemon.metric("model_info", version="2") == 1
    assert daemon.metric("windows_total", monitor="pump", result="gapped") == 0
    for topic in ("edge-asd/hall/info", "edge-asd/hall/pump/state"):
        eventually(
            lambda topic=topic: (
                json.loads(retained(mosquitto.port)[topic])["model"]["version"] == "2"
            )
        )
    assert device.bundle() == "tiny-2"
    assert cli("reload", "--state-dir", device.folder).stdout.startswith("nothing has changed")
    assert daemon.stop()[0] == 0
    scores = logged_scores(daemon.log)
    sound = tmp_path / "heard.wav"
    seconds = (len(scores) * HOP + WINDOW) / RATE + 1
    soundfile.write(sound, render(f"{PUMP}&speed=max&seconds={seconds:.0f}"), RATE, subtype="FLOAT")
    for begin, end, state in ((0, at, former.parent), (at, len(scores), device.folder)):
        expected = file_scores(state, sound)
        np.testing.assert_allclose(scores[begin:end], expected[begin:end], atol=2e-3)
