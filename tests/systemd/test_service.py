"""A real systemd boots once and runs the service; what it saw is asserted here."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import tempfile
from pathlib import Path

import brokers
import pytest
from support.container import PYTHON, CannotBoot, Container, why_not
from support.player import RATE
from support.processes import QUICK, ROOT, write_config

from edge_asd.logs.journal_classes import CLASSES

HERE = Path(__file__).parent
BOOT_S = 600
"""The machine may be slow and busy: everything inside waits for what it needs."""

TARGET = """[Unit]
Wants=probe.service
"""
PROBE = f"""[Unit]
Requires=basic.target
After=basic.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
Environment=PYTHONPATH=/opt/tests PYTHONDONTWRITEBYTECODE=1
ExecStart={PYTHON} /opt/tests/systemd/probe.py
ExecStopPost=/bin/systemctl poweroff --no-block
"""


@pytest.fixture(scope="session")
def found(request, tmp_path_factory):
    """What the probe found; one boot for all processes of a test run."""
    reason = why_not() or (brokers.BINARY is None and "mosquitto is not installed")
    if reason:
        pytest.skip(reason)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    with (shared / "booted.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = shared / "booted.json"
        if not results.exists():
            try:
                booted = _boot(request.getfixturevalue("plant"))
            except CannotBoot as reason:
                pytest.skip(str(reason))
            results.write_text(json.dumps(booted))
        return json.loads(results.read_text())


def _boot(plant):
    folder = Path(tempfile.mkdtemp(prefix="edge-asd-boot-"))
    try:
        with Container(folder / "machine") as container:
            outside = folder / "probe"
            outside.mkdir()
            container.bind(outside, "/probe", writable=True)
            container.bind(ROOT / "tests", "/opt/tests")
            _furnish(container, plant)
            seconds = container.boot("test.target", BOOT_S)
            try:
                found = json.loads((outside / "found.json").read_text())
            except FileNotFoundError:
                found = {"failure": "the probe wrote nothing"}
        # Here it is unmounted.
        more = {"seconds": seconds, "log": container.log, "left behind": container.left_behind}
        return found | more
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _furnish(container, plant):
    container.write("/etc/systemd/system/test.target", TARGET)
    container.write("/etc/systemd/system/probe.service", PROBE)
    container.path("/etc/systemd/system/timers.target").symlink_to("/dev/null")
    container.path("/etc/machine-id").unlink()
    container.write("/etc/machine-id", "")
    player = plant.player(container.path("/opt"), speed=3.0)
    player.play("normal")
    shutil.copy(HERE / "spy.py", container.path("/opt/spy.py"))
    source = f"exec:{PYTHON} /opt/spy.py /opt/player?rate={RATE}"
    settings = {
        "device": "hall",
        "monitors": [
            {"name": "pump", "source": source, "alert": QUICK},
            {"name": "mic", "source": "alsa:mic0?rate=16000"},
        ],
        "mqtt": {"username": "press", "password_file": "credential:mqtt-password"},
    }
    write_config(container.path("/opt/settings.json"), **settings)
    wedged = {
        "device": "hall",
        "monitors": [
            {"name": "pump", "source": f"exec:{PYTHON} /opt/player/play.py /opt/player?rate={RATE}"}
        ],
        "http": {"listen": "127.0.0.1:9109"},
        "jsonl": {"path": "/opt/full.fifo"},
    }
    container.path("/etc/wedged").mkdir()
    write_config(container.path("/etc/wedged/config.yaml"), **wedged)
    for name in ("edge-asd", "wedged"):
        shutil.copytree(plant.enrolled, container.path(f"/var/lib/{name}"))


def test_the_probe_came_to_its_end_and_nothing_is_left_here(found):
    told = "\n".join(str(found.get(key, "")) for key in ("failure", "journal", "shown", "log"))
    assert found.get("end"), told
    assert found["left behind"] == []


def test_install_writes_everything_and_a_second_one_changes_nothing(found):
    assert not found["written by dry run"]
    first, second = (found[name] for name in ("install", "start"))
    assert (first["code"], second["code"]) == (0, 0)
    written = [line.split()[1] for line in first["out"].splitlines() if line.startswith("write")]
    assert written == [
        "/etc/sysusers.d/edge-asd.conf",
        "/etc/edge-asd/config.yaml",
        "/etc/systemd/system/edge-asd.service",
        "/etc/systemd/system/edge-asd.service.d/10-devices.conf",
        "/etc/systemd/system/edge-asd.service.d/20-credentials.conf",
        "/usr/local/lib/systemd/catalog/edge-asd.catalog",
    ]
    would = [
        line for line in found["dry run"]["out"].splitlines() if line.startswith("would write")
    ]
    assert [line.split()[2] for line in would] == written
    again = {line.split()[0] for line in second["out"].splitlines()}
    assert again == {"keep", "run"}
    assert 'source: "alsa:"' in found["starter"]  # and the operator's own was not written over


def test_systemd_hears_that_it_is_ready_and_how_it_does(found):
    running = found["running"]
    assert (running["ActiveState"], running["SubState"]) == ("active", "running")
    assert (running["Type"], running["NotifyAccess"]) == ("notify", "main")
    assert running["StatusText"].endswith("broker up")
    assert running["WatchdogUSec"] == "30s"
    assert running["UnitFileState"] == "enabled"


def test_its_limits_are_in_force(found):
    running = found["running"]
    assert int(running["MemoryHigh"]) == 768 * 2**20
    assert int(running["MemoryMax"]) == 2**30
    assert int(running["LimitMEMLOCK"]) == 64 * 2**20
    assert (running["TasksMax"], running["OOMPolicy"]) == ("256", "continue")
    assert (running["DevicePolicy"], running["SupplementaryGroups"]) == ("closed", "audio")


def test_a_password_comes_as_a_credential_that_nobody_else_can_read(found):
    credential = found["credential"]
    assert credential["text"] == "correct horse"  # and the broker took it: see StatusText
    assert credential["mode"] == "-r--------"
    assert credential["others"]["code"] != 0
    assert not credential["shown"]
    assert not found["secret in journal"]


def test_directories_belong_to_the_service_and_the_configuration_does_not(found):
    own = ["drwxr-x---", "edge-asd", "edge-asd"]
    assert found["directories"] == {
        "/var/lib/edge-asd": own,
        "/var/cache/edge-asd": own,
        "/run/edge-asd": own,
        "/etc/edge-asd": ["drwxr-x---", "root", "edge-asd"],
        "/etc/edge-asd/config.yaml": ["-rw-r-----", "root", "edge-asd"],
    }


def test_a_child_of_the_daemon_can_do_its_work_and_nothing_else(found):
    spy = found["spy"]
    allowed = {path for path, how in spy["write"].items() if how == "ok"}
    assert allowed == {"/var/lib/edge-asd", "/var/cache/edge-asd", "/run/edge-asd", "/tmp"}
    assert spy["tmp"] == []  # its own
    assert spy["inet socket"] == "ok"
    tried = (
        *("kernel setting", "executable memory", "packet socket", "netlink socket"),
        *("user namespace", "mount", "clock", "real time", "become root", "set-user-id"),
        *("kernel log", "homes"),
    )
    assert {name: spy[name] for name in tried if spy[name] == "ok"} == {}
    assert len(spy["seen users"]) == 1
    assert spy["self"] == {
        "NoNewPrivs": "1",
        "Seccomp": "2",
        "CapEff": "0000000000000000",
        "CapBnd": "0000000000000000",
    }
    assert spy["user"][0] != 0


def test_a_microphone_is_heard_under_all_of_this(found):
    if found["no microphone"]:
        pytest.skip(found["no microphone"])
    assert found["microphone heard"] > 16_000


def test_a_reload_takes_what_can_be_used_and_refuses_what_cannot(found):
    assert found["reloaded"] == {"monitors": ["fan", "mic", "pump"], "same process": True}
    assert "window" in found["kinds"]["reload-refused"]["EDGE_ASD_REASON"]
    assert found["kinds"]["reloaded"]["EDGE_ASD_ADDED"] == "fan"


def test_a_killed_service_is_back_with_its_alert(found):
    assert found["killed"]["NRestarts"] == "1"
    state, event = found["state after kill"]
    assert state in ("warning", "alarm")
    assert {e[0] for e in found["stored"]} == {event}  # the same alert goes on, no second one


def test_a_stop_is_clean_and_what_the_broker_missed_arrives_after_the_next_start(found):
    stop = found["stop"]
    assert (stop["ActiveState"], stop["Result"], stop["ExecMainStatus"]) == (
        *("inactive", "success"),
        "0",
    )
    # Where others took the processors, the promise cannot be told.
    assert stop["seconds"] < 5.0 or stop["busy"], stop
    assert found["waiting in outbox"] > 0
    assert found["heard"] == found["stored"]
    assert [kind for _, _, kind in found["stored"]][0 :: len(found["stored"]) - 1] == ["new", "end"]


def test_the_watchdog_ends_a_service_whose_worker_hangs(found):
    said = "\n".join(found["wedged"])
    assert "Watchdog timeout" in said
    assert "restart counter is at 1" in said


def test_the_journal_finds_lines_by_their_message_id(found):
    kinds = found["kinds"]
    wanted = {"started", "stopping", "alert-new", "alert-end", "broker-lost", "broker-connected"}
    wanted |= {"reloaded", "reload-refused", "source", "state"}
    assert wanted <= set(kinds)
    ids = {kind.name: kind.message_id for kind in CLASSES}
    for name, entry in kinds.items():
        assert entry["MESSAGE_ID"] == ids[name]
        assert entry["_SYSTEMD_UNIT"] == "edge-asd.service"
    alert = kinds["alert-new"]
    assert (alert["EDGE_ASD_MONITOR"], alert["PRIORITY"]) == ("pump", "4")
    assert alert["EDGE_ASD_EVENT_ID"] == found["first"]
    assert "EDGE_ASD_EVENT_ID" not in kinds["started"]
    assert "monitor=pump event=" in found["by monitor"]["out"]
    assert "monitor=mic" not in found["by monitor"]["out"]
    entry = json.loads(found["by id"]["out"])
    assert (entry["EDGE_ASD_KIND"], entry["EDGE_ASD_MONITOR"]) == ("alert-new", "pump")
    assert "Monitor pump sounds different" in found["catalogue"]["out"]


def test_status_is_one_screen(found):
    screen = found["status"]["out"]
    assert found["status"]["code"] == 0
    assert len(screen.splitlines()) < 24
    assert "active (running)" in screen
    assert float(re.search(r"exposure   (\S+) of 10", screen)[1]) <= 2.0
    assert "monitor    pump" in screen


def test_uninstall_leaves_what_was_learned_and_purge_leaves_nothing(found):
    assert found["uninstall"]["code"] == 0
    assert found["unit after uninstall"]["LoadState"] == "not-found"
    # The drop-in folder holds a file that is not ours.
    assert [Path(path).name for path in found["left"]] == [
        *("edge-asd.service.d", "events.db", "config.yaml"),
    ]
    assert found["purge"]["code"] == 0
    assert found["left after purge"] == []
    assert found["user after purge"] != 0
