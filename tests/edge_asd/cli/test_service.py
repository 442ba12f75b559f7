"""``edge-asd service`` says what it would do, and says clearly why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.processes import assert_refused

from edge_asd.service import host as h
from edge_asd.service.status import ServiceStatus

PROPERTIES = {
    "ActiveState": "failed",
    "SubState": "failed",
    "Result": "watchdog",
    "UnitFileState": "enabled",
    "ActiveEnterTimestamp": "",
    "StatusText": "",
    "NRestarts": "3",
    "WatchdogUSec": "30s",
    "WatchdogTimestamp": "",
    "MemoryCurrent": "18446744073709551615",
    "TasksCurrent": "[not set]",
    "FragmentPath": "/etc/systemd/system/edge-asd.service",
    "DropInPaths": "/etc/a.conf /etc/b.conf",
    "NeedDaemonReload": "yes",
}


@pytest.fixture
def no_systemd(monkeypatch, tmp_path):
    monkeypatch.setattr(h, "_BOOTED", tmp_path / "nothing")


@pytest.mark.usefixtures("no_systemd")
@pytest.mark.parametrize("command", [("install", "--program", "/usr/bin/env"), ("uninstall",)])
def test_without_systemd_it_says_what_to_do_instead(shell, command):
    assert_refused(shell("service", *command), 69, "no systemd runs here", "--root DIR")


@pytest.mark.usefixtures("no_systemd")
def test_status_without_systemd_is_an_error_too(shell):
    assert_refused(shell("service", "status"), 69, "no systemd runs here")


def test_without_root_it_asks_for_sudo(shell, monkeypatch, tmp_path):
    monkeypatch.setattr(h, "_BOOTED", tmp_path)
    monkeypatch.setattr(h.os, "geteuid", lambda: 1000)
    assert_refused(shell("service", "install"), 69, "sudo")


def test_a_dry_run_prints_every_step_and_does_none(shell, tmp_path):
    result = shell(
        *("service", "install", "--dry-run", "--root", tmp_path, "--program", "/usr/bin/edge-asd")
    )
    assert result.returncode == 0
    assert "would write   /etc/systemd/system/edge-asd.service\n" in result.stdout
    assert not [path for path in tmp_path.iterdir() if path.name == "etc"]


def test_an_image_that_does_not_exist_is_refused(shell, tmp_path):
    missing = tmp_path / "nowhere"
    assert_refused(shell("service", "install", "--root", missing), 69, missing)


def test_the_drop_in_is_printed(shell):
    result = shell("service", "drop-in")
    assert result.returncode == 0
    assert "DeviceAllow=char-alsa rw\n" in result.stdout


def test_a_service_that_failed_shows_why_and_what_was_not_measured():
    text = "\n".join(
        ServiceStatus(active=False, properties=PROPERTIES, exposure=None, monitors=()).lines()
    )
    assert "failed (failed, watchdog) since never" in text
    assert "restarted 3 times" in text
    assert "takes      -, - threads" in text
    assert "exposure   unknown" in text
    assert "systemctl daemon-reload" in text
    assert text.count("  file  ") == 3


def test_the_configuration_that_is_installed_first_is_valid(shell, tmp_path):
    import edge_asd.service

    starter = Path(edge_asd.service.__file__).parent / "starter.yaml"
    result = shell("check", "--config", starter, "--state-dir", tmp_path)
    assert result.returncode == 0, result.stderr
