"""Everything that is wrong with a configuration is told at once, each with its key."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from support.certificates import Authority
from support.processes import assert_refused, lines, write_config

from edge_asd.config import parse_config
from edge_asd.doctor import space
from edge_asd.doctor.findings import Status
from edge_asd.doctor.space import examine_space


def check(shell, path, *arguments):
    """The exit code, and findings by name."""
    result = shell("check", "--config", path, "--json", *arguments)
    (answer,) = lines(result)
    assert answer["ok"] == (result.returncode == 0)
    return result, {finding["name"]: finding for finding in answer["findings"]}


def test_an_engine_that_is_not_installed_is_told_before_anything_is_opened(
    shell, tmp_path, monkeypatch
):
    path = write_config(tmp_path / "config.yaml", engine="openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    result, findings = check(shell, path, "--state-dir", tmp_path)
    assert findings["engine"]["text"] == "OpenVINO is not installed"
    assert findings["engine"]["remedy"].startswith("pip install 'edge-asd[openvino]'")
    assert_refused(result, 78, "engine")


def test_all_that_is_wrong_is_told_at_once_and_the_worst_decides(shell, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o640)
    (tmp_path / "state").mkdir()
    path = write_config(
        tmp_path / "config.yaml",
        monitors=[
            {"name": "pump", "volume": 11},
            {"name": "fan", "source": "exec:/nonexistent/recorder", "channel": 3},
            {"name": "press", "source": "file:/nonexistent", "alert": {"above_s": 0.2}},
        ],
        evidence={"quota_mb": "much"},
        mqtt={
            "url": "mqtts://broker",
            "username": "u",
            "password_file": str(secret),
            "ca_file": str(secret),
        },
        http={"listen": "0.0.0.0:9108"},
        jsonl={"path": "/nonexistent/events.jsonl"},
        bundle="/nonexistent.asd",
    )
    result, findings = check(shell, path, "--state-dir", tmp_path / "state")
    failed = {name for name, finding in findings.items() if finding["status"] == "failed"}
    assert failed == {
        *("monitors[0].volume", "evidence.quota_mb", "mqtt.password_file", "mqtt.ca_file"),
        *("http.listen", "jsonl.path", "bundle"),
    }
    assert findings["fan: source"]["status"] == "warning"
    assert findings["press: source"]["status"] == "warning"
    assert_refused(result, 78, *failed)
    said = shell("check", "--config", path, "--state-dir", tmp_path / "state")
    assert "configuration not usable, 7 wrong" in said.stdout
    assert "-> chmod 600 it" in said.stdout


def test_a_certificate_that_has_expired_and_a_key_of_another(shell, tmp_path):
    authority = Authority(tmp_path / "authority")
    old, _ = authority.issue("old", begins_days=-3, ends_days=-1)
    _, other = authority.issue("other")
    path = write_config(
        tmp_path / "config.yaml",
        mqtt={"url": "mqtts://broker", "cert_file": str(old), "key_file": str(other)},
    )
    result, findings = check(shell, path)
    assert result.returncode == 78
    assert "expired" in findings["mqtt.cert_file"]["text"]
    names = [finding["name"] for finding in json.loads(result.stdout)["findings"]]
    assert names.count("mqtt.cert_file") == 2  # its date, and that its key is another's


@pytest.mark.parametrize("content", [b"\xff", b"monitors: [", b"- 1", b"a: 2024-13-01"])
def test_a_file_that_cannot_be_read_at_all(shell, tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    result, findings = check(shell, path)
    assert_refused(result, 78, path)
    assert findings["file"]["status"] == "failed"


def test_a_password_that_everybody_can_hear_is_a_warning(shell, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o600)
    login = {"username": "u", "password_file": str(secret)}
    for url, status in (
        *(("mqtt://broker", "warning"), ("mqtt://127.0.0.1", "ok"), ("mqtts://broker", "ok")),
    ):
        path = write_config(tmp_path / "config.yaml", mqtt={"url": url} | login)
        result, findings = check(shell, path)
        assert (result.returncode, findings["mqtt.url"]["status"]) == (0, status)


@pytest.mark.parametrize(
    ("free_mb", "status"),
    [
        *((10, Status.FAILED), (200, Status.WARNING), (500, Status.WARNING)),
        (5000, Status.OK),
    ],
)
def test_a_disk_is_judged_by_what_may_come(tmp_path, monkeypatch, free_mb, status):
    free = SimpleNamespace(free=free_mb * 10**6)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: free)
    (finding,) = examine_space(parse_config({}, "test"), tmp_path / "not" / "yet")
    assert finding.status is status
