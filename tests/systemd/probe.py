"""Runs inside the container, as root: does everything once, and writes down what came of it.

What is right and what is wrong the tests say, outside.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import stat
import subprocess
import tempfile
import time
import traceback
import urllib.request
from contextlib import suppress
from pathlib import Path

from brokers import Mosquitto, Subscriber
from support.pulse import SoundServer, VirtualMicrophone, missing
from support.punctual import _Pressure

from edge_asd.operators.control import ask_daemon
from edge_asd.publish.store import EventStore

SHARED = Path("/probe")
PROGRAM = "/opt/edge-asd/bin/edge-asd"
STATE = Path("/var/lib/edge-asd")
CONFIG = Path("/etc/edge-asd/config.yaml")
UNITS = Path("/etc/systemd/system")
PATIENCE_S = 180.0
SECRET = "correct horse"
F_SETPIPE_SZ = 1031

BEGAN_S = time.monotonic()

found = {}


def note(name, value):
    """Write down a finding, at once: what comes later may fail."""
    found[name] = value
    found["times"] = found.get("times", {}) | {name: round(time.monotonic() - BEGAN_S, 1)}
    (SHARED / "found.tmp").write_text(json.dumps(found, default=str))
    (SHARED / "found.tmp").replace(SHARED / "found.json")


def run(*command, check=False):
    """What a program printed and its exit code."""
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def show(*names, unit="edge-asd"):
    """Properties of a unit."""
    text = run("systemctl", "show", unit, f"--property={','.join(names)}", check=True)["out"]
    return dict(line.partition("=")[::2] for line in text.splitlines())


def until(condition, what, timeout_s=PATIENCE_S):
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s} s"
        failed = show("ActiveState")["ActiveState"] == "failed"
        assert not failed, f"{what}: the service failed"
        time.sleep(0.1)
    return value


def monitors():
    """What the daemon says of its monitors."""
    with suppress(Exception):
        answer = ask_daemon(STATE / "control.sock", {"command": "status"}, lambda *_: None)
        return {row["monitor"]: row for row in (answer or {"monitors": []})["monitors"]}
    return {}


def metric(name, monitor):
    with urllib.request.urlopen("http://127.0.0.1:9108/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"edge_asd_{name}{{") and f'monitor="{monitor}"' in line:
                return float(line.rsplit(" ", 1)[1])
    return None


def journal(*matches):
    """Entries of the journal, as fields."""
    run("journalctl", "--sync")
    text = run("journalctl", "-o", "json", "--no-pager", *matches)["out"]
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def play(name):
    """Have the machine sound otherwise."""
    cue = Path("/opt/player")
    (cue / "next").write_text(f"{name} 3")
    (cue / "next").replace(cue / "cue")


def events(messages, kind=None):
    """Steps of alerts among messages."""
    steps = [json.loads(body) for topic, body, _ in messages if topic.endswith("/pump/event")]
    return [step for step in steps if kind in (None, step["type"])]


def wedge():
    """A second service, whose worker hangs: nobody reads the pipe that it writes to."""
    os.mkfifo("/opt/full.fifo")
    Path("/opt/full.fifo").chmod(0o666)
    pipe = os.open("/opt/full.fifo", os.O_RDWR)
    fcntl.fcntl(pipe, F_SETPIPE_SZ, 4096)
    os.write(pipe, bytes(4096))
    unit = (UNITS / "edge-asd.service").read_text()
    for directory in ("State", "Cache", "Runtime", "Configuration"):
        unit = unit.replace(f"{directory}Directory=edge-asd\n", f"{directory}Directory=wedged\n")
    unit = unit.replace("/etc/edge-asd/config.yaml", "/etc/wedged/config.yaml")
    unit = unit.replace("WatchdogSec=30\n", "WatchdogSec=3\nLimitCORE=0\n")
    (UNITS / "wedged.service").write_text(unit.replace("RestartSec=5\n", "RestartSec=1\n"))
    run("systemctl", "daemon-reload", check=True)
    run("systemctl", "start", "--no-block", "wedged", check=True)
    return pipe


def main():
    note("systemd", run("systemctl", "--version")["out"].split()[1])
    broker = Mosquitto(Path(tempfile.mkdtemp(dir="/run")))
    broker.users(press=SECRET)
    broker.start()
    fields = json.loads(Path("/opt/settings.json").read_text())
    fields["mqtt"]["url"] = broker.url
    secrets = Path("/etc/edge-asd/secrets")
    secrets.mkdir(parents=True, mode=0o700)
    (secrets / "mqtt-password").write_text(SECRET + "\n")
    (secrets / "mqtt-password").chmod(0o600)

    note("dry run", run(PROGRAM, "service", "install", "--dry-run"))
    note("written by dry run", (UNITS / "edge-asd.service").exists())
    note("install", run(PROGRAM, "service", "install", "--no-start"))
    note("starter", CONFIG.read_text())
    pipe = wedge()
    CONFIG.write_text(json.dumps(fields))  # as an editor does it: owner and mode stay

    tempfile.tempdir = "/run"
    reason = missing()
    note("no microphone", reason)
    sound = None if reason else SoundServer(VirtualMicrophone("mic0"))
    changes = ["[Service]", "RestartSec=1"]
    if sound:
        sound.__enter__()
        sound.folder.chmod(0o755)
        wanted = ("ALSA_CONFIG_PATH", "PULSE_SERVER")
        changes += [f"Environment={name}={sound.environment[name]}" for name in wanted]
    (UNITS / "edge-asd.service.d/90-test.conf").write_text("\n".join([*changes, ""]))
    run("systemctl", "daemon-reload", check=True)
    with Subscriber(broker.port, username="press", password=SECRET) as heard:
        operate(broker, heard)
    watch_the_wedged(pipe)
    leave(sound)
    broker.kill()


def operate(broker, heard):
    """From the first start to the last stop."""
    note("start", run(PROGRAM, "service", "install"))
    until(lambda: "broker up" in show("StatusText")["StatusText"], "the broker")
    until(lambda: monitors().get("pump", {}).get("state") == "normal", "the state normal")
    note(
        "running",
        show(
            "ActiveState",
            "SubState",
            "StatusText",
            "Type",
            "NotifyAccess",
            "WatchdogUSec",
            "MemoryMax",
            "MemoryHigh",
            "TasksMax",
            "LimitMEMLOCK",
            "OOMPolicy",
            "OOMScoreAdjust",
            "User",
            "SupplementaryGroups",
            "UnitFileState",
            "MemoryDenyWriteExecute",
            "DevicePolicy",
        ),
    )
    note("spy", json.loads((STATE / "spy.json").read_text()))
    pid = int(show("MainPID")["MainPID"])
    note("oom score", Path(f"/proc/{pid}/oom_score_adj").read_text().strip())
    note("credential", credential(pid))
    note(
        "directories",
        {
            str(path): [
                stat.filemode(Path(path).stat().st_mode),
                Path(path).owner(),
                Path(path).group(),
            ]
            for path in (STATE, "/var/cache/edge-asd", "/run/edge-asd", "/etc/edge-asd", CONFIG)
        },
    )
    if not found["no microphone"]:
        until(lambda: metric("capture_up", "mic") == 1, "the microphone")
        until(lambda: metric("capture_frames_total", "mic") > 16_000, "its sound")
        note("microphone heard", metric("capture_frames_total", "mic"))

    reload()

    play("faulty")
    first = until(lambda: events(heard.messages, "new"), "an alert")[0]
    note("status", run(PROGRAM, "service", "status"))
    os.kill(pid, signal.SIGKILL)
    until(lambda: int(show("MainPID")["MainPID"]) not in (0, pid), "the restart")
    until(lambda: show("ActiveState")["ActiveState"] == "active", "the new start")
    note("killed", show("NRestarts", "Result", "ActiveState"))
    until(lambda: monitors().get("pump", {}).get("state") in ("warning", "alarm"), "the alert")
    note("state after kill", [monitors()["pump"]["state"], first["id"]])

    until(lambda: rows("events", "/var/lib/wedged"), "the alert whose line nobody reads")
    broker.kill()
    until(lambda: "broker down" in show("StatusText")["StatusText"], "the loss of the broker")
    play("normal")
    until(lambda: monitors().get("pump", {}).get("state") == "normal", "the end of the alert")
    pressure, began = _Pressure(), time.monotonic()
    run("systemctl", "stop", "edge-asd", check=True)
    note(
        "stop",
        {
            "seconds": time.monotonic() - began,
            "busy": pressure.busy,
            **show("ActiveState", "Result", "ExecMainStatus", "ExecMainCode"),
        },
    )
    note("waiting in outbox", rows("outbox"))
    broker.start()
    heard.settle()  # nobody repeats an event for who subscribes later
    run("systemctl", "start", "edge-asd", check=True)
    until(lambda: events(heard.messages, "end"), "the end over MQTT")
    until(lambda: rows("outbox") == 0, "an empty outbox")
    note("stored", stored())
    note("heard", sorted({(e["id"], e["seq"], e["type"]) for e in events(heard.messages)}))
    note("first", first["id"])
    note("kinds", kinds())
    note("catalogue", run("journalctl", "-x", "--no-pager", "-n", "6", "EDGE_ASD_KIND=alert-new"))
    run("journalctl", "--sync")
    read = ("journalctl", "--no-pager", "-o")
    note("by monitor", run(*read, "short-iso", "EDGE_ASD_MONITOR=pump"))
    names = "MESSAGE,PRIORITY,EDGE_ASD_KIND,EDGE_ASD_MONITOR,EDGE_ASD_EVENT_ID,EDGE_ASD_SEVERITY"
    new = found["kinds"]["alert-new"]["MESSAGE_ID"]
    note("by id", run(*read, "json", f"--output-fields={names}", f"MESSAGE_ID={new}"))
    note("secret in journal", SECRET in json.dumps(journal()))


def reload():
    """A configuration that can be used, and one that cannot."""
    pid, before = show("MainPID"), CONFIG.read_text()
    fields = json.loads(before)
    fan = {"name": "fan", "source": "sim:fan?rate=16000"}
    CONFIG.write_text(json.dumps(fields | {"monitors": [*fields["monitors"], fan]}))
    run("systemctl", "reload", "edge-asd", check=True)
    until(lambda: "fan" in monitors(), "the new monitor")
    CONFIG.write_text(json.dumps(fields | {"monitors": [{"name": "pump", "window": 3}]}))
    run("systemctl", "reload", "edge-asd", check=True)
    until(lambda: journal("EDGE_ASD_KIND=reload-refused"), "a refusal")
    until(lambda: show("ActiveState")["ActiveState"] == "active", "the end of the reload")
    note("reloaded", {"monitors": sorted(monitors()), "same process": show("MainPID") == pid})
    CONFIG.write_text(before)


def kinds():
    """One entry of every kind of line in the journal."""
    return {
        e["EDGE_ASD_KIND"]: e
        for e in journal("_SYSTEMD_UNIT=edge-asd.service")
        if "EDGE_ASD_KIND" in e
    }


def credential(pid):
    """Where the password lies for the service, and who else could read it."""
    environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    folder = dict(v.partition("=")[::2] for v in environ)["CREDENTIALS_DIRECTORY"]
    inside = Path(f"/proc/{pid}/root{folder}/mqtt-password")
    others = run("runuser", "-u", "nobody", "--", "cat", f"{folder}/mqtt-password")
    return {
        "text": inside.read_text().strip(),
        "others": others,
        "mode": stat.filemode(inside.stat().st_mode),
        "shown": SECRET in run("systemctl", "show", "edge-asd")["out"],
    }


def rows(table, state=STATE):
    with sqlite3.connect(f"file:{state}/events.db?mode=ro", uri=True) as database:
        return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def stored():
    """Every step of every alert on the disk."""
    store = EventStore(STATE, read_only=True)
    try:
        steps = [json.loads(message.to_json()) for message in store.events()]
    finally:
        store.close()
    return sorted({(e["id"], e["seq"], e["type"]) for e in steps})


def watch_the_wedged(pipe):
    until(lambda: int(show("NRestarts", unit="wedged")["NRestarts"]) >= 1, "the watchdog")
    note("wedged", [e["MESSAGE"] for e in journal("UNIT=wedged.service")])
    run("systemctl", "kill", "-s", "KILL", "wedged")
    run("systemctl", "stop", "wedged")
    os.close(pipe)


def leave(sound):
    note("uninstall", run(PROGRAM, "service", "uninstall"))
    note(
        "left",
        [
            str(p)
            for p in (
                UNITS / "edge-asd.service",
                UNITS / "edge-asd.service.d",
                STATE / "events.db",
                CONFIG,
            )
            if p.exists()
        ],
    )
    note("unit after uninstall", show("LoadState", "ActiveState"))
    note("purge", run(PROGRAM, "service", "uninstall", "--purge"))
    note("left after purge", [str(p) for p in (STATE, CONFIG.parent) if p.exists()])
    note("user after purge", run("getent", "passwd", "edge-asd")["code"])
    if sound:
        sound.__exit__()


if __name__ == "__main__":
    try:
        main()
        note("end", True)  # noqa: FBT003
    except BaseException:  # noqa: BLE001 - whatever it was is told outside
        note("failure", traceback.format_exc())
        note("journal", run("journalctl", "--no-pager", "-n", "300")["out"])
        note("shown", run("systemctl", "status", "edge-asd", "wedged", "--no-pager")["out"])
