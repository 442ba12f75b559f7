"""Another bundle, or another engine, for a daemon that goes on listening."""

from __future__ import annotations

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from brokers import eventually
from support.processes import (
    FAULT,
    PUMP,
    QUICK,
    DaemonProcess,
    assert_refused,
    cli,
    render,
    retained,
    write_config,
)
from support.tiny import (
    HOP,
    WINDOW,
    golden_vectors,
    tiny_fields,
    tiny_network,
    write_tiny_bundle,
)

from edge_asd.bundle import write_bundle
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
            defaults = {"device": "hall", "monitors": sections, "engine": "onnxruntime"}
            write_config(path, **(defaults | fields))

        def launch(self, *options):
            daemon = DaemonProcess(state, "--config", path, *options)
            running.append(daemon)
            return daemon

        def run(self, *options):
            daemon = self.launch(*options)
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
    # Another engine for the same bundle: nothing has to be learned.
    device.write(mqtt=mqtt, bundle=str(second), engine={"name": "onnxruntime", "threads": 2})
    told = json.loads(device.reload().stdout)
    assert (told["kept"], told["relearned"], told["sections"]) == (["pump"], [], ["engine"])
    heard = len(logged_scores(daemon.log))
    daemon.until(lambda: len(logged_scores(daemon.log)) > heard + 5)
    assert daemon.metric("windows_total", monitor="pump", result="gapped") == 0
    assert daemon.stop()[0] == 0
    scores = logged_scores(daemon.log)
    sound = tmp_path / "heard.wav"
    seconds = (len(scores) * HOP + WINDOW) / RATE + 1
    soundfile.write(sound, render(f"{PUMP}&speed=max&seconds={seconds:.0f}"), RATE, subtype="FLOAT")
    for begin, end, state in ((0, at, former.parent), (at, len(scores), device.folder)):
        expected = file_scores(state, sound)
        np.testing.assert_allclose(scores[begin:end], expected[begin:end], atol=2e-3)


def test_a_bundle_that_cannot_take_over_is_refused_in_a_line_and_nothing_changes(
    device, second, longer, tmp_path
):
    device.write()
    daemon = device.run()
    reservoir = profile_dir(device.folder, "pump") / "reservoir"
    wrong = tmp_path / "wrong.asd"
    wrong.write_bytes(second.read_bytes()[:-100])
    untrue = tmp_path / "untrue.asd"
    network, other = tiny_network(7), golden_vectors(tiny_network(8))
    write_bundle(untrue, tiny_fields(version="9"), {"tiny": network}, other)

    def refuses(code, *words, bundle, sections=(SECTION,)):
        device.write(*sections, bundle=str(bundle))
        answer = device.reload()
        assert_refused(answer, code, *words)
        assert answer.stderr.count("\n") == 1
        assert daemon.metric("model_info", version="1") == 1
        assert daemon.checks()["configuration"]["status"] == "warning"
        assert device.bundle() == "tiny-1"
        assert not list(device.folder.glob("profiles/*/next"))

    refuses(65, "bundle", bundle=wrong)
    refuses(69, "misses golden vector", bundle=untrue)
    hasty = SECTION | {"alert": QUICK | {"above_s": 1.0}}
    refuses(78, "above_s", "transients", bundle=second, sections=[hasty])
    added = {"name": "saw", "source": SOURCE, "alert": QUICK | {"above_s": 1.5}}
    refuses(78, "above_s", "transients", bundle=longer, sections=[SECTION, added])
    kept = reservoir.rename(tmp_path / "kept")
    refuses(65, "pump", "holds no recorded audio", bundle=second)
    reservoir.mkdir()
    first = min(kept.glob("*.flac"))
    samples, rate = soundfile.read(first, stop=30 * RATE)
    soundfile.write(reservoir / first.name, samples, rate)
    refuses(65, "pump", "at least 60 s", bundle=second)
    # All of it was only a question of the file: now nothing is in the way.
    shutil.rmtree(reservoir)
    kept.rename(reservoir)
    device.write(bundle=str(second))
    assert json.loads(device.reload().stdout)["relearned"] == ["pump"]
    assert daemon.checks()["configuration"]["status"] == "healthy"
    assert daemon.metric("windows_total", monitor="pump", result="gapped") == 0
    assert daemon.stop()[0] == 0


def test_a_daemon_listens_with_what_it_has_learned_until_it_has_learned_what_the_file_names(
    device, longer
):
    fan = SECTION | {"name": "fan", "source": SOURCE.replace("seed=1", "seed=2")}
    shutil.copytree(profile_dir(device.folder, "pump"), profile_dir(device.folder, "fan"))
    profile = profile_dir(device.folder, "fan") / "profile.json"
    profile.write_text(profile.read_text().replace('"monitor": "pump"', '"monitor": "fan"'))
    device.write(SECTION, fan, bundle=str(longer))
    daemon = device.run("--verbose")
    daemon.logged(r"reload step='pump: ")
    daemon.kill()
    assert device.bundle("pump") == device.bundle("fan") == "tiny-1"
    daemon = device.run("--verbose")
    daemon.logged(r"networks serve now='tiny-3 on onnxruntime fp32'")
    daemon.until(lambda: device.bundle("pump") == device.bundle("fan") == "tiny-3")
    at = len(logged_scores(daemon.log))
    assert at  # with the one before it
    daemon.until(lambda: len(logged_scores(daemon.log)) > at + 10)
    daemon.until(lambda: daemon.state_of("pump") == "normal")
    for monitor in ("pump", "fan"):
        assert daemon.metric("windows_total", monitor=monitor, result="gapped") == 0
    assert daemon.stop()[0] == 0
    # A window covered every second of it, up to the last one before the end.
    told = json.loads(cli("ledger", "--json", "--state-dir", device.folder).stdout)
    for row in told["monitors"]:
        assert row["seconds"]["scored"] > 5
        assert row["seconds"]["gapped"] <= 2
    daemon = device.run()
    assert daemon.metric("model_info", version="3") == 1
    assert "reload step" not in daemon.log
    assert daemon.stop()[0] == 0


@pytest.mark.long
def test_what_an_alert_kept_from_being_learned_at_the_start_is_learned_once_it_has_ended(
    device, second
):
    device.write(SECTION | {"source": f"{FAULT}&speed={SPEED}&onset=3"})
    daemon = device.run()
    daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
    daemon.kill()
    device.write(bundle=str(second))
    daemon = device.run()
    daemon.logged(r"reload result=refused reason=pump: an alert is open, .* tiny-2 can take over")
    daemon.logged(r"type=end", timeout_s=60)
    daemon.logged(r"networks serve now='tiny-2 on onnxruntime fp32'", timeout_s=120)
    assert device.bundle() == "tiny-2"


def test_with_another_bundle_come_a_monitor_that_knows_it_and_one_with_another_source(
    device, second, plant, tmp_path
):
    device.write(SECTION, SECTION | {"name": "fan", "source": SOURCE.replace("seed=1", "seed=2")})
    shutil.copytree(profile_dir(device.folder, "pump"), profile_dir(device.folder, "fan"))
    profile = profile_dir(device.folder, "fan") / "profile.json"
    profile.write_text(profile.read_text().replace('"monitor": "pump"', '"monitor": "fan"'))
    daemon = device.run()
    elsewhere = tmp_path / "elsewhere"
    where = ("--bundle", second, "--state-dir", elsewhere)
    assert cli("enrol", "--monitor", "saw", "--from", plant.normal, *where).returncode == 0
    shutil.copytree(profile_dir(elsewhere, "saw"), profile_dir(device.folder, "saw"))
    moved = SECTION | {"name": "fan", "source": SOURCE.replace("seed=1", "seed=3")}
    saw = SECTION | {"name": "saw", "source": SOURCE.replace("seed=1", "seed=4")}
    device.write(SECTION, moved, saw, bundle=str(second))
    answer = device.reload()
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert (told["added"], told["kept"]) == (["saw"], ["pump"])
    assert sorted(told["relearned"]) == ["fan", "pump"]
    for monitor in ("pump", "fan", "saw"):
        daemon.until(lambda monitor=monitor: daemon.state_of(monitor) in ("normal", "alarm"))
        assert device.bundle(monitor) == "tiny-2"
    assert daemon.stop()[0] == 0
    assert "Traceback" not in daemon.log


@pytest.fixture
def away(device, second):
    """A daemon that serves the second bundle, and a monitor that left before that came."""
    fan = SECTION | {"name": "fan", "source": SOURCE.replace("seed=1", "seed=2")}
    shutil.copytree(profile_dir(device.folder, "pump"), profile_dir(device.folder, "fan"))
    profile = profile_dir(device.folder, "fan") / "profile.json"
    profile.write_text(profile.read_text().replace('"monitor": "pump"', '"monitor": "fan"'))
    device.write(SECTION, fan)
    daemon = device.run("--verbose")
    device.write(SECTION, bundle=str(second))
    told = json.loads(device.reload().stdout)
    assert (told["removed"], told["relearned"]) == (["fan"], ["pump"])
    assert (device.bundle("pump"), device.bundle("fan")) == ("tiny-2", "tiny-1")
    return SimpleNamespace(daemon=daemon, fan=fan)


def test_a_monitor_that_was_away_while_a_bundle_came_learns_with_it_when_it_returns(
    device, away, second
):
    daemon = away.daemon
    reservoir = profile_dir(device.folder, "fan") / "reservoir"
    hidden = reservoir.rename(device.folder / "hidden")
    device.write(SECTION, away.fan, bundle=str(second))
    assert_refused(device.reload(), 65, "fan", "reservoir")
    assert set(daemon.status()) == {"pump"}
    hidden.rename(reservoir)
    answer = device.reload()
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert (told["added"], told["kept"], told["relearned"]) == (["fan"], ["pump"], ["fan"])
    assert not told["serving"]
    daemon.until(lambda: daemon.state_of("fan") == "normal")
    assert device.bundle("fan") == "tiny-2"
    assert not list(device.folder.glob("profiles/*/next"))
    # The other one went on listening.
    assert daemon.metric("windows_total", monitor="pump", result="gapped") == 0
    assert daemon.stop()[0] == 0
    assert "Traceback" not in daemon.log


def test_a_monitor_that_was_away_learns_at_the_start_and_a_start_can_be_ended(device, away, second):
    assert away.daemon.stop()[0] == 0
    device.write(SECTION, away.fan, bundle=str(second))
    early = device.launch()
    early.logged("start step='fan: ")
    assert early.stop()[0] == 0
    assert "Traceback" not in early.log
    daemon = device.run()
    daemon.until(lambda: daemon.state_of("fan") == "normal")
    assert device.bundle("fan") == "tiny-2"
    assert daemon.metric("model_info", version="2") == 1
    assert "reload step" not in daemon.log  # nothing is left to be done
    assert daemon.stop()[0] == 0
    daemon = device.run()
    assert "start step" not in daemon.log
