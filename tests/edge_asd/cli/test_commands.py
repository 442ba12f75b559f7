"""The command line where everything is well: help, versions, what scripts read."""

from __future__ import annotations

import shutil
import sys

import pytest
import soundfile
from support.processes import RATE, assert_refused, cli, lines, render, write_config
from support.tiny import full_parts

from edge_asd import __version__
from edge_asd.bundle import write_bundle
from edge_asd.engine import openvino

COMMANDS = [
    ("run",),
    ("demo",),
    ("enrol",),
    ("score",),
    ("status",),
    ("devices",),
    ("check",),
    ("doctor",),
    ("support",),
    ("reload",),
    ("events",),
    ("events", "show"),
    ("events", "export"),
    ("events", "pin"),
    ("events", "unpin"),
    ("ledger",),
    ("threshold",),
    ("bundle",),
    ("bundle", "show"),
    ("bundle", "verify"),
]


def test_help_lists_every_command_and_the_exit_codes():
    result = cli("--help")
    assert result.returncode == 0
    for command in COMMANDS:
        assert command[0] in result.stdout
    assert "65 bad data" in result.stdout
    assert "\\b" not in result.stdout
    assert cli("-h").stdout == result.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(shell, command):
    result = shell(*command, "--help")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    text = result.stdout
    assert "Example:" in text
    assert "\n      edge-asd " + " ".join(command[:1]) in text  # on a line of its own, indented
    assert "\\b" not in text


def test_the_version_is_that_of_the_package():
    result = cli("--version")
    assert (result.returncode, result.stdout) == (0, f"edge-asd, version {__version__}\n")


def test_score_gives_a_json_line_a_file(shell, plant, tmp_path):
    short = tmp_path / "short.wav"
    soundfile.write(short, render("sim:pump?seed=1&speed=max&seconds=0.5"), RATE)
    result = shell(
        *("score", "--monitor", "pump", "--state-dir", plant.enrolled),
        *(plant.normal, plant.faulty, short, "--json"),
    )
    assert result.returncode == 0, result.stderr
    normal, faulty, padded = lines(result)
    assert set(normal) == {
        *("file", "score", "threshold", "percentile", "anomalous", "windows", "padded")
    }
    assert [row["file"] for row in (normal, faulty)] == [str(plant.normal), str(plant.faulty)]
    assert (normal["anomalous"], faulty["anomalous"]) == (False, True)
    assert (normal["padded"], padded["padded"], padded["windows"]) == (False, True, 1)
    windows = lines(
        shell(
            *("score", "--monitor", "pump", "--state-dir", plant.enrolled),
            *(plant.faulty, "--json", "--windows"),
        )
    )
    assert len(windows) == faulty["windows"]
    assert windows[0]["start_s"] == 0.0
    mean = sum(row["score"] for row in windows) / len(windows)
    assert faulty["score"] == pytest.approx(mean, rel=1e-6)


def test_enrol_answers_in_json_and_takes_several_paths(shell, plant, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for index in range(3):
        part, _ = soundfile.read(plant.normal, start=index * 25 * RATE, frames=25 * RATE)
        soundfile.write(folder / f"{index}.wav", part, RATE)
    files = sorted(folder.iterdir())
    state = tmp_path / "state"
    result = shell(
        *("enrol", "--monitor", "pump", "--from", *files, "--bundle", plant.bundle),
        *("--state-dir", state, "--json"),
    )
    assert result.returncode == 0, result.stderr
    (learned,) = lines(result)
    assert learned["monitor"] == "pump"
    assert learned["bundle"] == "tiny-1"
    assert learned["enrolled_s"] == pytest.approx(75, abs=2)
    assert learned["provisional"] is True
    # The folder is the same audio, and learning is deterministic.
    again = shell(
        *("enrol", "--monitor", "pump", "--from", folder, "--state-dir", tmp_path / "other"),
        *("--bundle", plant.bundle, "--json"),
    )
    assert lines(again) == [learned]


def test_enrol_from_a_live_source_keeps_the_audio_it_learned_from(shell, plant, tmp_path):
    state = tmp_path / "state"
    result = shell(
        *("enrol", "--monitor", "pump", "--source", "sim:pump?speed=max", "--seconds", 61),
        *("--bundle", plant.bundle, "--state-dir", state, "--json"),
    )
    assert result.returncode == 0, result.stderr
    profile = state / "profiles" / "pump"
    kept = sum(soundfile.info(piece).duration for piece in (profile / "reservoir").glob("*.flac"))
    assert kept == pytest.approx(61, abs=1.5)
    # Without naming the bundle again: the one that was enrolled with is kept.
    scored = shell("score", "--monitor", "pump", "--state-dir", state, plant.normal, "--json")
    assert scored.returncode == 0, scored.stderr


def test_status_without_a_daemon_says_so(tmp_path):
    assert_refused(cli("status", "--state-dir", tmp_path), 69, tmp_path, "start edge-asd run")


def test_events_of_a_directory_in_which_nothing_ran_are_none(shell, tmp_path):
    said = shell("events", "--state-dir", tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert "no events" in said.stdout
    as_json = shell("events", "--json", "--state-dir", tmp_path)
    assert (as_json.returncode, as_json.stdout, as_json.stderr) == (0, "", "")


def test_devices_are_listed_also_where_there_are_none():
    said = cli("devices")
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""
    assert said.stdout.strip()
    (found,) = lines(cli("devices", "--json"))
    assert isinstance(found, list)


def test_check_says_what_would_run(plant, tmp_path):
    config = plant.config(tmp_path, "alsa:USB-Audio", mqtt={"url": "mqtt://broker.local"})
    result = cli("check", "--config", config, "--state-dir", plant.enrolled, "--json")
    assert result.returncode == 0, result.stderr
    (answer,) = lines(result)
    assert answer["ok"] is True
    assert answer["bundle"] == "tiny-1"
    assert answer["monitors"][0] == {
        "monitor": "pump",
        "source": "alsa:USB-Audio",
        "enrolled": True,
        "provisional": True,
    }
    said = cli("check", "--config", config, "--state-dir", plant.enrolled)
    assert "mqtt://broker.local" in said.stdout


def test_check_refuses_what_the_daemon_would_refuse(shell, plant, tmp_path):
    short = plant.config(tmp_path, "alsa:", monitor={"alert": {"above_s": 1, "within_s": 2}})
    result = shell("check", "--config", short, "--state-dir", plant.enrolled)
    assert_refused(result, 78, "above_s=1", "one bang", "transients: true")
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    mqtt = {"url": "mqtt://b", "username": "u", "password_file": str(secret)}
    open_to_all = plant.config(tmp_path, "alsa:", name="b.yaml", mqtt=mqtt)
    result = shell("check", "--config", open_to_all, "--state-dir", plant.enrolled)
    assert_refused(result, 78, secret, "chmod")


def test_a_bundle_is_shown_and_verified(shell, plant):
    (shown,) = lines(shell("bundle", "show", plant.bundle, "--json"))
    assert (shown["label"], shown["sample_rate"]) == ("tiny-1", RATE)
    assert shown["bytes"] == plant.bundle.stat().st_size
    (verified,) = lines(shell("bundle", "verify", plant.bundle, "--json"))
    assert verified["ok"] is True
    assert verified["golden_vectors"] == 8
    assert "golden vectors" in shell("bundle", "verify", plant.bundle).stdout
    assert "parameters" in shell("bundle", "show", plant.bundle).stdout


def test_a_bundle_shows_every_precision_machine_and_measured_figure(shell, tmp_path):
    parts = full_parts()
    figures = {"official": 0.7125, "rules": 2023, "ci95": [0.68, 0.74], "data": {"folder": "own"}}
    parts["fields"]["metrics"] = {"evaluations": [figures | {"scorer": "ldn", "engine": "onnx"}]}
    parts["fields"]["data_fingerprint"] = "ab" * 32
    path = write_bundle(tmp_path / "tiny-1.asd", **parts).path
    (shown,) = lines(shell("bundle", "show", path, "--json"))
    sizes = {"fp32": len(parts["networks"]["tiny"]), "fp16": len(parts["networks_fp16"]["tiny"])}
    assert shown["network_bytes"] == {"tiny": sizes}
    assert shown["reference_centres"] == {"pump": 4, "fan/00": 1}
    assert shown["metrics"]["evaluations"][0]["official"] == 0.7125
    assert (shown["parameters"], shown["macs"]) == (513 * 16, 513 * 16)
    assert shown["data_fingerprint"] == "ab" * 32
    assert set(shown["files"]) == {
        *("golden.npz", "references.npz", "networks/tiny.onnx", "networks/tiny.fp16.onnx")
    }
    text = shell("bundle", "show", path).stdout
    assert "official 71.2 (95 % from 68.0 to 74.0) on own" in text
    assert "5 centres of pump, fan/00" in text
    assert "fp16" in text
    assert "8,208 parameters" in text
    (verified,) = lines(shell("bundle", "verify", path, "--json"))
    assert verified["precisions"] == ["fp32", "fp16"]


def test_a_bundle_is_verified_on_the_engine_that_would_serve(shell, plant, tmp_path, monkeypatch):
    verify = ("bundle", "verify", plant.bundle, "--state-dir", tmp_path)
    (verified,) = lines(shell(*verify, "--engine", "onnxruntime", "--json"))
    assert (verified["engine"], verified["reason"]) == ("onnxruntime", "as asked for")
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert "OpenVINO is not installed" in shell(*verify, "--engine", "auto").stdout
    assert_refused(shell(*verify, "--engine", "openvino"), 78, "pip install 'edge-asd[openvino]'")


@pytest.mark.skipif(not openvino.installed(), reason="OpenVINO is an extra: not here")
def test_a_profile_serves_another_engine_than_it_was_learned_with(
    shell, plant, tmp_path, monkeypatch
):
    config = write_config(tmp_path / "c.yaml", engine={"name": "openvino", "precision": "fp32"})
    score = ("score", "--monitor", "pump", "--state-dir", plant.enrolled, plant.faulty)
    (before,), (after,) = (
        lines(shell(*score, "--json", *more))
        for more in (("--engine", "onnxruntime"), ("--config", config))
    )
    assert after["score"] == pytest.approx(before["score"], rel=1e-3)
    assert after["threshold"] == before["threshold"]
    monkeypatch.setitem(sys.modules, "openvino", None)  # so it was another engine
    assert_refused(shell(*score, "--config", config), 78, "OpenVINO is not installed")


def test_the_state_directory_comes_from_the_option_then_systemd_then_xdg(plant, tmp_path):
    config = write_config(tmp_path / "empty.yaml", monitors=[{"name": "pump"}])
    systemd, xdg = tmp_path / "systemd", tmp_path / "xdg"
    shutil.copytree(plant.enrolled, systemd)
    shutil.copytree(plant.enrolled, xdg / "edge-asd")
    check = ("check", "--config", config, "--json")
    for settings in (
        {"STATE_DIRECTORY": str(systemd), "XDG_STATE_HOME": str(tmp_path / "no")},
        {"XDG_STATE_HOME": str(xdg)},
    ):
        (answer,) = lines(cli(*check, **settings))
        assert answer["monitors"][0]["enrolled"] is True
