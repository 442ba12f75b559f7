"""Whatever is wrong is said in one line that names it and the remedy, with the right exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from brokers import PATIENCE_S, eventually
from support.processes import (
    COMMAND,
    PUMP,
    RATE,
    assert_refused,
    background,
    cli,
    environment,
    lines,
    write_config,
)
from support.tiny import write_tiny_bundle


def missing(folder):
    return folder / "missing.wav"


def empty(folder):
    (folder / "empty.wav").touch()
    return folder / "empty.wav"


def no_samples(folder):
    soundfile.write(folder / "nothing.wav", np.empty(0, np.float32), RATE)
    return folder / "nothing.wav"


def truncated(folder):
    path = folder / "truncated.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 70 * RATE), RATE)
    path.write_bytes(path.read_bytes()[:-100_000])
    return path


def no_audio(folder):
    path = folder / "letter.wav"
    path.write_text("Dear customer, " * 1000)
    return path


def not_numbers(folder):
    samples = np.random.default_rng(0).normal(0, 0.1, 70 * RATE).astype(np.float32)
    samples[30 * RATE] = np.nan
    soundfile.write(folder / "nan.wav", samples, RATE, subtype="FLOAT")
    return folder / "nan.wav"


def mixed_rates(folder):
    clips = folder / "clips"
    clips.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 40 * RATE)
    soundfile.write(clips / "a.wav", noise, RATE)
    soundfile.write(clips / "b.wav", noise, 44_100)
    return clips


BROKEN = {
    missing: ("missing.wav", "no such file", "check the path"),
    empty: ("empty.wav", "empty", "record or copy it again"),
    no_samples: ("nothing.wav", "no samples", "again"),
    truncated: ("truncated.wav", "truncated"),
    no_audio: ("letter.wav", "convert"),
    not_numbers: ("nan.wav", "NaN"),
    mixed_rates: ("b.wav", "44100", "resample"),
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda make: make.__name__)
def test_a_broken_recording_is_not_learned_from(shell, plant, tmp_path, broken):
    path = broken(tmp_path)
    state = plant.state(tmp_path)
    before = (state / "profiles" / "pump" / "profile.json").read_bytes()
    learned = shell("enrol", "--monitor", "pump", "--from", path, "--state-dir", state)
    assert_refused(learned, 65, *BROKEN[broken])
    assert (state / "profiles" / "pump" / "profile.json").read_bytes() == before


def test_broken_recordings_are_named_and_do_not_hide_the_others(plant, tmp_path):
    makers = [make for make in BROKEN if make is not mixed_rates]
    files = [make(tmp_path) for make in makers]
    score = ("score", "--monitor", "pump", "--state-dir", plant.enrolled, "--json")
    result = cli(*score, plant.faulty, *files, plant.normal)
    assert result.returncode == 65
    assert "Traceback" not in result.stderr
    said = result.stderr.splitlines()
    assert len(said) == len(makers)
    for make, line in zip(makers, said, strict=True):
        assert all(word in line for word in BROKEN[make]), line
    assert [row["file"] for row in lines(result)] == [str(plant.faulty), str(plant.normal)]


@pytest.mark.parametrize(
    "broken", [missing, truncated, not_numbers, mixed_rates], ids=lambda make: make.__name__
)
def test_a_broken_recording_ends_a_run_over_it(plant, tmp_path, broken):
    config = plant.config(tmp_path, f"file:{broken(tmp_path)}")
    run = ("run", "--config", config, "--state-dir", plant.state(tmp_path), "--once")
    assert_refused(cli(*run, "--http", "127.0.0.1:0"), 65, *BROKEN[broken])


def test_a_daemon_whose_only_file_is_broken_does_not_pretend_to_listen(plant, tmp_path):
    config = plant.config(tmp_path, f"file:{missing(tmp_path)}")
    run = ("run", "--config", config, "--state-dir", plant.state(tmp_path))
    assert_refused(cli(*run, "--http", "127.0.0.1:0"), 65, "missing.wav", "check the path")


def test_silence_and_too_little_sound_are_refused(shell, plant, tmp_path):
    silent, short = tmp_path / "silent.wav", tmp_path / "short.wav"
    soundfile.write(silent, np.zeros(90 * RATE, np.float32), RATE)
    soundfile.write(short, np.random.default_rng(0).normal(0, 0.1, 30 * RATE), RATE)
    enrol = ("enrol", "--monitor", "pump", "--state-dir", tmp_path / "state")
    bundle = ("--bundle", plant.bundle)
    assert_refused(shell(*enrol, "--from", silent, *bundle), 65, "silence", "60 s")
    assert_refused(shell(*enrol, "--from", short, *bundle), 65, "30.0 s", "60 s")
    score = ("score", "--monitor", "pump", "--state-dir", plant.enrolled)
    assert_refused(shell(*score, silent), 65, "silent.wav", "digital silence")
    assert not (tmp_path / "state" / "profiles" / "pump" / "profile.json").exists()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("rtsp://camera", ("unknown scheme 'rtsp'", "known: ")),
        ("pump.wav", ("write file:pump.wav",)),
        ("fil:/data", ("did you mean file:?",)),
        ("sim:pump?fault=cheese", ("no fault 'cheese'", "bearing_outer")),
        ("sim:toaster", ("unknown machine 'toaster'", "pump")),
        ("file:/data?speed=fast", ("speed=fast is wrong", "max or a number")),
        ("exec:", ("no command", "exec:PROGRAM")),
    ],
)
def test_a_wrong_source_is_refused(shell, plant, tmp_path, source, words):
    run = ("run", "--monitor", "m", "--source", source, "--bundle", plant.bundle)
    assert_refused(shell(*run, "--state-dir", tmp_path / "state"), 78, *words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"monitor": []}, ("monitor: unknown key",)),
        ({"monitors": [{"name": "a", "chanel": 1}]}, ("monitors[0].chanel: unknown key",)),
        ({"monitors": [{"name": "a"}, {"name": "a"}]}, ("the name a is used twice",)),
        ({"monitors": [{"name": "Pump 1"}]}, ("monitors[0].name", "'Pump 1'", "lower-case")),
        ({"monitors": [{"name": "a", "channel": -1}]}, ("monitors[0].channel", "-1")),
        ({"monitors": [{"name": "a", "enrol_s": 5}]}, ("enrol_s", "60", "got 5")),
        ({"monitors": [{"name": "a", "alert": {"above_s": 9, "within_s": 5}}]}, ("at least as",)),
        ({"monitors": []}, ("at least one monitor",)),
        ({"mqtt": {"url": "http://broker"}}, ("mqtt.url", "mqtt://")),
        ({"http": {"listen": "0.0.0.0:9108"}}, ("http.listen", "127.0.0.1")),
        ({"http": {"listen": "localhost"}}, ("http.listen", "127.0.0.1:9108")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_configuration_is_refused(shell, plant, tmp_path, fields, words):
    config = write_config(tmp_path / "config.yaml", bundle=str(plant.bundle), **fields)
    result = shell("run", "--config", config, "--state-dir", tmp_path / "state")
    assert_refused(result, 78, *words)


def test_a_configuration_that_cannot_be_read_is_refused(shell, tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("monitors: [")
    run = ("run", "--state-dir", tmp_path / "state", "--config")
    assert_refused(shell(*run, broken), 78, broken, "not YAML")
    assert_refused(shell(*run, tmp_path / "no.yaml"), 78, "no.yaml", "cannot read")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert_refused(shell(*run, binary), 78, "binary.yaml", "not UTF-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--onec"), ("--onec", "run --help")),
        (("fly",), ("fly", "--help")),
        (("enrol",), ("--monitor", "enrol --help")),
        (("enrol", "--monitor", "m"), ("--from", "--source")),
        (("enrol", "--monitor", "m", "x.wav"), ("x.wav", "--from")),
        (("enrol", "--monitor", "m", "--source", "sim:pump"), ("--seconds",)),
        (("enrol", "--monitor", "m", "--source", "sim:pump", "--seconds", "5"), ("60",)),
        (("score", "--monitor", "m"), ("FILE",)),
        (("events", "--limit", "many"), ("many", "events --help")),
        (("bundle", "show"), ("FILE",)),
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_refused_in_one_line(shell, arguments, words):
    result = shell(*arguments)
    assert_refused(result, 2, *words)
    assert result.stderr.count("\n") == 1


def test_a_profile_of_another_bundle_is_refused(plant, tmp_path):
    other = write_tiny_bundle(tmp_path / "other.asd", seed=7, version="2").path
    state = plant.state(tmp_path)
    for command in (
        ("run", "--monitor", "pump", "--source", PUMP, "--once"),
        ("score", "--monitor", "pump", plant.normal),
    ):
        result = cli(*command, "--bundle", other, "--state-dir", state)
        assert_refused(result, 65, "profile.json", "tiny-1", "tiny-2", "enrol pump again")


def damage(state, how):
    profile = state / "profiles" / "pump" / "profile.json"
    if how == "cut":
        profile.write_bytes(profile.read_bytes()[:200])
    elif how == "newer":
        profile.write_text(json.dumps(json.loads(profile.read_text()) | {"schema": 99}))
    elif how == "list":
        profile.write_text("[]")
    elif how == "field":
        profile.write_text(json.dumps(json.loads(profile.read_text()) | {"gain_db": "loud"}))
    elif how == "references":
        (references,) = profile.parent.glob("references-*.npz")
        references.write_bytes(references.read_bytes()[:-7])
    elif how == "no references":
        (references,) = profile.parent.glob("references-*.npz")
        references.unlink()


@pytest.mark.parametrize("how", ["cut", "newer", "list", "field", "references", "no references"])
def test_a_damaged_profile_is_refused(shell, plant, tmp_path, how):
    state = plant.state(tmp_path)
    damage(state, how)
    remedy = "update edge-asd" if how == "newer" else "again"
    named = "references-" if "references" in how else "profile.json"
    score = ("score", "--monitor", "pump", "--bundle", plant.bundle, "--state-dir", state)
    assert_refused(shell(*score, plant.normal), 65, named, remedy)


def test_the_daemon_does_not_start_with_a_damaged_profile(plant, tmp_path):
    state = plant.state(tmp_path)
    damage(state, "references")
    run = ("run", "--monitor", "pump", "--source", PUMP, "--http", "127.0.0.1:0")
    assert_refused(cli(*run, "--state-dir", state), 65, "references-", "enrol pump again")


def test_a_monitor_that_never_learned_cannot_score(shell, plant, tmp_path):
    score = ("score", "--monitor", "pump", "--state-dir", tmp_path, "--bundle", plant.bundle)
    assert_refused(shell(*score, plant.normal), 65, "pump", "edge-asd enrol --monitor pump")


@pytest.mark.parametrize("how", ["missing", "truncated", "altered", "text"])
def test_a_damaged_bundle_is_refused_everywhere(shell, plant, tmp_path, how):
    bundle = tmp_path / "bad.asd"
    whole = plant.bundle.read_bytes()
    if how == "truncated":
        bundle.write_bytes(whole[: len(whole) // 2])
    elif how == "altered":
        at = whole.index(b"networks/tiny.onnx") + 2000
        bundle.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    elif how == "text":
        bundle.write_text("not a bundle")
    for command in (
        ("bundle", "show", bundle),
        ("bundle", "verify", bundle),
        ("run", "--monitor", "m", "--source", PUMP, "--bundle", bundle),
        ("enrol", "--monitor", "m", "--from", plant.normal, "--bundle", bundle),
    ):
        result = shell(*command)
        assert_refused(result, 65, "bad.asd")


def test_a_state_directory_that_cannot_be_written_is_refused(plant, tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    run = ("run", "--monitor", "m", "--source", PUMP, "--bundle", plant.bundle)
    assert_refused(cli(*run, "--state-dir", file), 69, file, "--state-dir")
    enrol = ("enrol", "--monitor", "m", "--from", plant.normal, "--bundle", plant.bundle)
    assert_refused(cli(*enrol, "--state-dir", file / "below"), 69, file, "--state-dir")
    assert file.read_text() == "in the way"


def test_a_state_directory_of_another_user_is_refused(plant, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    arguments = [*COMMAND, "run", "--monitor", "m", "--source", PUMP]
    arguments += ["--state-dir", str(state), "--bundle", str(plant.bundle)]
    plant.bundle.parent.chmod(0o755)
    settings = {"env": environment(HOME="/"), "cwd": "/", "user": 65534, "group": 65534}
    try:
        probe = [sys.executable, "-c", "import edge_asd.cli.run"]
        readable = subprocess.run(probe, capture_output=True, check=False, **settings)
    except PermissionError:
        readable = None
    if readable is None or readable.returncode:
        pytest.skip("another user cannot read this source tree")
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, **settings)
    assert_refused(result, 69, state, "Permission denied", "--state-dir")


def test_a_port_that_is_taken_is_refused(plant, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        run = ("run", "--monitor", "pump", "--source", PUMP, "--state-dir", plant.state(tmp_path))
        result = cli(*run, "--http", address)
    assert_refused(result, 78, address, "in use", "another port")


def test_an_event_file_that_cannot_be_opened_is_refused(plant, tmp_path):
    run = ("run", "--monitor", "pump", "--source", PUMP, "--state-dir", plant.state(tmp_path))
    result = cli(*run, "--http", "127.0.0.1:0", "--jsonl", tmp_path / "no" / "events.jsonl")
    assert_refused(result, 69, "events.jsonl", "folder exists")


def test_ctrl_c_during_enrolment_leaves_no_half_profile(plant, tmp_path):
    state = tmp_path / "state"
    arguments = ["enrol", "--monitor", "pump", "--source", f"{PUMP}&speed=20", "--seconds", 600]
    arguments += ["--bundle", plant.bundle, "--state-dir", state]
    with background(*arguments, stderr=subprocess.PIPE, text=True) as process:
        recording = state / "profiles" / "pump" / "recording"
        eventually(lambda: recording.exists() or process.poll() is not None, what="a recording")
        process.send_signal(signal.SIGINT)  # it goes on for half a minute at least
        said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not (state / "profiles" / "pump" / "profile.json").exists()
    status = cli("status", "--state-dir", state)
    assert_refused(status, 69, "no daemon")


def test_a_reader_that_leaves_early_is_no_error(plant):
    many = [plant.faulty] * 3
    arguments = ["score", "--monitor", "pump", "--state-dir", plant.enrolled, *many]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with background(*arguments, "--windows", "--json", **streams) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(PATIENCE_S) == 0, said
    assert said == ""
