"""The archive can always be made, is of bounded size, and holds no secret."""

from __future__ import annotations

import json
import stat
import tarfile

import pytest
from support.processes import assert_refused, write_config

from edge_asd.support import sources
from edge_asd.support.archive import PIECE_BYTES, piece
from edge_asd.support.sources import SOURCES

SECRETS = {
    "password": "S3cret-Pass-Word",
    "token": "T0ken-T0ken-T0ken-T0ken",
    "key": "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgKEYKEYKEYKEY",
    "credential": "Cr3dential-0f-Systemd",
    "camera": "Cam3ra-L0gin",
    "option": "0pti0n-Value",
    "misplaced": "Mispl@ced-Secret",
    "unit": "Un1t-Envir0nment",
    "log": "L0gged-Bearer-T0ken",
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A secret wherever one can stand; the fields of a configuration that names them."""

    def secret(name, text):
        path = tmp_path / f"{name}.secret"
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "mqtt-password").write_text(SECRETS["credential"] + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("MQTT_PASSWORD", SECRETS["unit"])
    units = tmp_path / "units" / "edge-asd.service.d"
    units.mkdir(parents=True)
    (units / "local.conf").write_text(f"[Service]\nEnvironment=X_SECRET={SECRETS['unit']}\n")
    monkeypatch.setattr(sources, "_UNITS", (str(units.parent),))
    programs = tmp_path / "bin"
    programs.mkdir()
    log = f"connecting as u:{SECRETS['password']} Authorization: Bearer {SECRETS['log']}"
    (programs / "journalctl").write_text(f"#!/bin/sh\necho '{log}; all is well'\n")
    (programs / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    pem = f"-----BEGIN PRIVATE KEY-----\n{SECRETS['key']}\n-----END PRIVATE KEY-----\n"
    return {
        "device": "hall",
        "monitors": [
            {"name": "pump", "source": f"exec:ff rtsp://u:{SECRETS['camera']}@10.0.0.1/a"},
            {"name": "fan", "source": f"exec:rec --password {SECRETS['option']}"},
        ],
        "mqtt": {
            "url": "mqtts://127.0.0.1:9",
            "username": "u",
            "password_file": secret("password", SECRETS["password"] + "\n"),
            "key_file": secret("key", pem),
            "cert_file": str(tmp_path / "none.pem"),
        },
        "http": {"listen": "127.0.0.1:1", "token_file": secret("token", SECRETS["token"])},
    }


def unpacked(path):
    """Contents by name; nothing in it may be readable for others, or leave its folder."""
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        assert all(member.isfile() and member.mode == 0o600 for member in members)
        folders = {member.name.split("/")[0] for member in members}
        assert len(folders) == 1
        return {m.name.partition("/")[2]: tar.extractfile(m).read().decode() for m in members}


def support(shell, tmp_path, config, *arguments):
    out = tmp_path / "out.tar.gz"
    state = tmp_path / "state"
    options = ("--config", config, "--state-dir", state, "--out", out)
    result = shell("support", *options, *arguments)
    assert result.returncode == 0, result.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    found = unpacked(out)
    assert set(found) == {"README.txt", *(name for name, _ in SOURCES)}
    for name, content in found.items():
        for kind, secret in SECRETS.items():
            assert secret not in content, (kind, name)
    assert all(name in result.stdout for name in found)
    return found, result


def test_no_secret_is_in_it_wherever_it_was_planted(shell, tmp_path, planted):
    config = write_config(tmp_path / "config.yaml", **planted)
    found, result = support(shell, tmp_path, config)
    assert "all is well" in found["log.txt"]
    assert "password_file:" in found["configuration.yaml"]
    assert "rtsp://<redacted>@10.0.0.1/a" in found["configuration.yaml"]
    assert "none.pem" in found["doctor.json"]
    assert "Environment=X_SECRET=<redacted>" in found["unit.txt"]
    assert "MQTT_PASSWORD\n" in found["environment.txt"]
    for secret in SECRETS.values():
        assert secret not in result.stdout + result.stderr


def test_a_configuration_that_is_wrong_gives_no_secret_away(shell, tmp_path, planted):
    planted["mqtt"]["url"] = f"mqtt://u:{SECRETS['camera']}@broker"
    planted["mqtt"]["password"] = SECRETS["misplaced"]
    planted["token"] = ""
    config = write_config(tmp_path / "config.yaml", **planted)
    found, _ = support(shell, tmp_path, config)
    assert "password: <redacted>" in found["configuration.yaml"]
    assert "token: <empty>" in found["configuration.yaml"]
    assert "mqtt.password" in found["doctor.json"]


def test_a_configuration_that_is_no_yaml_gives_no_secret_away(shell, tmp_path, planted):
    lines = [
        f"# password: {SECRETS['misplaced']} of last year",
        f"mqtt: {{password_file: {planted['mqtt']['password_file']}, url: mqtts://b",
        f"  token: |\n    {SECRETS['option']}\n    {SECRETS['option']}",
        f"http: {{token_file: '{planted['http']['token_file']}'}}",
        f"source: rtsp://u:{SECRETS['camera']}@x [[[",
    ]
    config = tmp_path / "config.yaml"
    config.write_text("\n".join(lines))
    found, _ = support(shell, tmp_path, config)
    assert "not YAML" in found["doctor.json"]
    assert "mqtts://b" in found["configuration.yaml"]


def test_a_damaged_state_directory_is_what_it_is_for(shell, tmp_path, planted):
    state = tmp_path / "state"
    (state / "profiles").mkdir(parents=True)
    for name in ("events.db", "ledger.db", "scores.db"):
        (state / name).write_bytes(b"\x00damaged" * 999)
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    config = write_config(tmp_path / "config.yaml", **planted)
    found, _ = support(shell, tmp_path, config)
    assert "not available: StorageError" in found["events.jsonl"]
    assert "not available: StorageError" in found["ledger.json"]
    assert "events.db" in found["files.txt"]
    assert before == {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}


def test_a_text_of_any_length_is_cut_and_its_end_kept():
    cut = piece("log.txt", "old\n" * PIECE_BYTES + "newest")
    assert len(cut.content) < PIECE_BYTES + 100
    assert cut.content.endswith(b"newest")
    assert piece("log.txt", "short").content == b"short"


def test_what_is_there_is_not_overwritten(shell, tmp_path):
    config = write_config(tmp_path / "config.yaml")
    out = tmp_path / "out.tar.gz"
    out.write_text("precious")
    options = ("--config", config, "--state-dir", tmp_path / "state", "--out", out)
    assert_refused(shell("support", *options), 69, out, "--out")
    assert out.read_text() == "precious"
    assert_refused(shell("support", *options, "--with-evidence", "x"), 2, "edge-asd events")


def test_scripts_are_told_what_is_in_it(shell, tmp_path):
    out = tmp_path / "out.tar.gz"
    options = ("--config", write_config(tmp_path / "c.yaml"), "--state-dir", tmp_path / "state")
    result = shell("support", *options, "--out", out, "--json")
    answer = json.loads(result.stdout)
    assert (answer["path"], answer["bytes"]) == (str(out), out.stat().st_size)
    assert {entry["name"] for entry in answer["entries"]} == set(unpacked(out))
