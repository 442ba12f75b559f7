"""Another configuration for a daemon that goes on listening: all of it, or nothing."""

from __future__ import annotations

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from brokers import PATIENCE_S, Subscriber, eventually, free_port
from paho.mqtt.publish import single
from support.processes import (
    FAULT,
    PUMP,
    QUICK,
    DaemonProcess,
    assert_refused,
    cli,
    retained,
    stored_events,
    write_config,
)
from support.service_manager import ServiceManager
from support.tiny import HOP, WINDOW

from edge_asd.books.ledger_timeline import Account
from edge_asd.books.ledger_view import LedgerReader
from edge_asd.errors import BusyError, EdgeAsdError
from edge_asd.operators.control import ask_daemon
from edge_asd.state_dir import socket_path

SLOW = f"{PUMP}&speed=1"
OTHER = "sim:pump?seed=2&rate=16000&speed=1"


def section(name, source=SLOW, **fields):
    return {"name": name, "source": source, "alert": QUICK} | fields


class Reloaded(DaemonProcess):
    """A daemon whose file is written anew and read again."""

    def __init__(self, state, path, **fields) -> None:
        self.path, self.listen = path, f"127.0.0.1:{free_port()}"
        self.write(**fields)
        super().__init__(state, "--config", path, http=False)

    @property
    def port(self):
        """Where it listens by its present file."""
        return int(self.fields["http"]["listen"].rpartition(":")[2])

    def write(self, **fields):
        defaults = {"device": "hall", "http": {"listen": self.listen}}
        self.fields = defaults | fields
        write_config(self.path, **self.fields)

    def reload(self, **fields):
        """The daemon's answer to a file like this."""
        if fields:
            self.write(**fields)
        return ask_daemon(socket_path(self.state, {}), {"command": "reload"}, lambda *_: None)

    def refuses(self, *words):
        """It refuses the file as it is, and says why wherever somebody may look."""
        refused = self.metric("config_reloads_total", result="refused")
        with pytest.raises(EdgeAsdError) as error:
            self.reload()
        for word in words:
            assert word in str(error.value)
            assert word in self.checks()["configuration"]["text"]
        assert "\n" not in str(error.value)
        assert self.checks()["configuration"]["status"] == "warning"
        assert self.metric("config_reloads_total", result="refused") == refused + 1
        assert self.metric("config_last_reload_successful") == 0
        return error.value

    def handles(self):
        """Open files, threads and children, once they have settled."""
        proc = Path(f"/proc/{self.process.pid}")
        children = proc / "task" / str(self.process.pid) / "children"
        return (
            len(list((proc / "fd").iterdir())),
            len(list((proc / "task").iterdir())),
            len(children.read_text().split()),
        )

    def settles_at(self, handles):
        """No more than these, once what has ended is gone."""
        self.until(lambda: all(n <= m for n, m in zip(self.handles(), handles, strict=True)))

    def windows(self, monitor="pump"):
        """Windows of every kind, and sample frames, in one look."""
        page = self.get("/metrics")[1]
        label = f'monitor="{monitor}"'
        windows = [
            float(line.rsplit(" ", 1)[1])
            for line in page.splitlines()
            if line.startswith("edge_asd_windows_total") and label in line
        ]
        frames = next(
            float(line.rsplit(" ", 1)[1])
            for line in page.splitlines()
            if line.startswith("edge_asd_capture_frames_total") and label in line
        )
        return sum(windows), frames


@pytest.fixture
def start(plant, tmp_path):
    """Starts daemons with the tiny bundle; ends them with the test."""
    running = []

    def started(monitors=None, **fields):
        fields = {"monitors": monitors or [section("pump")]} | fields
        daemon = Reloaded(plant.state(tmp_path), tmp_path / "config.yaml", **fields)
        running.append(daemon)
        daemon.logged("ready monitors=")
        return daemon

    yield started
    for daemon in running:
        daemon.__exit__()


@pytest.mark.broker
def test_ten_reloads_cost_a_monitor_whose_section_is_the_same_nothing(start, mosquitto, tmp_path):
    mosquitto.start()
    pump = section("pump")
    files = [
        {"monitors": [pump, section("fan", OTHER)], "mqtt": {"url": mosquitto.url}},
        {"monitors": [section("press"), pump], "jsonl": {"path": str(tmp_path / "events.jsonl")}},
        {
            "monitors": [pump, section("fan", OTHER, channel=0, settle_s=3)],
            "evidence": {"before_s": 3, "quota_mb": 77},
            "history": {"score_days": 3, "ledger_days": 5},
            "microphone": {"notify_after_s": 3},
            "outbox": {"max_mb": 3},
        },
        {"monitors": [pump], "mqtt": {"url": mosquitto.url, "protocol": "5"}},
        {
            "monitors": [section("press", settle_s=2), pump],
            "http": {"listen": f"127.0.0.1:{free_port()}"},
        },
    ]
    daemon = start([pump])
    daemon.until(lambda: daemon.state_of("pump") == "normal")
    windows, frames = daemon.windows()
    for fields in (*files, *files):
        answer = daemon.reload(**fields)
        assert answer["applied"]
        assert answer["kept"] == ["pump"]
        before, _ = daemon.windows()
        daemon.until(lambda before=before: daemon.windows()[0] > before)
        assert set(daemon.status()) == {monitor["name"] for monitor in fields["monitors"]}
    windows_then, frames_then = daemon.windows()
    # Had a window been begun anew by each of them, ten would be missing.
    assert abs((windows_then - windows) - (frames_then - frames) / HOP) <= 2
    assert daemon.metric("windows_total", monitor="pump", result="gapped") == 0
    assert daemon.metric("capture_lost_seconds_total", monitor="pump") == 0
    assert daemon.metric("config_reloads_total", result="applied") == 10
    reloaded_at = daemon.metric("config_last_reload_success_timestamp_seconds")
    assert reloaded_at > daemon.metric("start_time_seconds")
    assert daemon.stop()[0] == 0
    heard = accounts(daemon.state, "pump")
    # What the first window lacked, and the last second, which none covers.
    assert set(heard) <= {Account.STARTING, Account.GAPPED, Account.SCORED}
    assert heard.get(Account.GAPPED, 0) <= 2 + WINDOW / 16_000


@pytest.fixture
def taken():
    """A port of somebody else."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


BAD = {
    "no YAML": ("monitors: [", "not YAML"),
    "not UTF-8": (b"device: \xff\xfe", "not UTF-8"),
    "no mapping": ("- pump", "must hold keys"),
    "an unknown key": ({"monitors": [section("pump", volume=3)]}, "monitors[0].volume"),
    "an impossible value": ({"monitors": [section("pump", enrol_s=-1)]}, "enrol_s"),
    "a name twice": ({"monitors": [section("pump"), section("pump")]}, "used twice"),
    "no monitor": ({"monitors": []}, "at least one monitor"),
    "a source of no kind": ({"monitors": [section("pump", "usb:1")]}, "monitors[0].source"),
    "rules too short for the bundle": (
        {"monitors": [section("pump", alert=QUICK | {"above_s": 0.5})]},
        "above_s",
    ),
    "another device": ({"device": "yard"}, "device: cannot change", "restart"),
    "a bundle that is not there": ({"bundle": "/nonexistent.asd"}, "bundle", "cannot read"),
    "no broker's address": ({"mqtt": {"url": "broker"}}, "mqtt.url"),
    "a password that is not there": (
        {"mqtt": {"url": "mqtt://localhost", "username": "u", "password_file": "/nonexistent"}},
        "mqtt.password_file",
    ),
    "no certificate": (
        {"mqtt": {"url": "mqtts://localhost", "ca_file": "/etc/hostname"}},
        "mqtt.ca_file",
    ),
    "a folder that is not there": ({"jsonl": {"path": "/nonexistent/e.jsonl"}}, "jsonl.path"),
    "an address of others": ({"http": {"listen": "192.0.2.1:1"}}, "http.listen", "token"),
    "an address in use": ({"http": {"listen": "127.0.0.1:{taken}"}}, "http.listen", "in use"),
}


def test_a_file_that_cannot_be_used_changes_nothing_and_says_why(start, taken):
    daemon = start()
    daemon.until(lambda: daemon.state_of("pump") == "normal")
    unchanged = {"monitors": [section("pump")], "http": {"listen": daemon.listen}}
    handles = None
    for kind, (content, *words) in BAD.items():
        if isinstance(content, dict):
            text = json.dumps({"device": "hall"} | unchanged | content)
            daemon.path.write_text(text.replace("{taken}", str(taken)))
        else:
            daemon.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        error = daemon.refuses(*words)
        assert error.exit_code == (65 if kind.startswith("a bundle") else 78), kind
        assert set(daemon.status()) == {"pump"}
        # The first one may have imported something.
        handles = handles or daemon.handles()
        daemon.settles_at(handles)
    daemon.path.unlink()
    daemon.refuses("cannot read the configuration")
    daemon.write(**unchanged)
    result = cli("reload", "--state-dir", daemon.state)
    assert (result.returncode, result.stdout.splitlines()[0]) == (0, "nothing has changed")
    assert daemon.checks()["configuration"]["status"] == "healthy"
    assert daemon.metric("config_last_reload_successful") == 1
    assert daemon.metric("windows_total", monitor="pump", result="gapped") == 0
    daemon.write(**(unchanged | {"device": "elsewhere"}))
    assert_refused(cli("reload", "--state-dir", daemon.state), 78, "needs a restart")


def test_nobody_can_be_asked_to_reload_where_no_daemon_runs(shell, tmp_path):
    assert_refused(shell("reload", "--state-dir", tmp_path), 69, "no daemon runs")


@pytest.mark.broker
def test_a_monitor_that_is_removed_leaves_nothing_behind(start, mosquitto, plant):
    mosquitto.start()
    # With rules for every bundle: without the pump, a daemon would start with another one.
    recorder = section(
        "side", f"exec:cat {plant.faulty}?rate=16000&format=s16le", enrol_s=900, alert={}
    )
    daemon = start(
        [section("pump", f"{FAULT}&speed=2&onset=3"), section("fan", OTHER, alert={}), recorder],
        mqtt={"url": mosquitto.url},
    )
    daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
    daemon.until(lambda: daemon.state_of("fan") == "baselining")
    daemon.until(lambda: "edge-asd/hall/pump/alarm" in retained(mosquitto.port))
    with Subscriber(mosquitto.port, "edge-asd/hall/pump/event") as listener:
        answer = daemon.reload(
            monitors=[section("fan", OTHER, alert={})], mqtt={"url": mosquitto.url}
        )
        assert (answer["removed"], answer["kept"]) == (["pump", "side"], ["fan"])
        (ended,) = eventually(
            lambda: [
                m for _, text, _ in listener.messages if (m := json.loads(text))["type"] == "end"
            ]
        )
    assert ended["reason"] == "monitor removed"
    assert stored_events(daemon.state)[-1]["type"] == "end"
    daemon.until(
        lambda: not [t for t in retained(mosquitto.port) if "/pump/" in t or "/side/" in t]
    )
    info = json.loads(retained(mosquitto.port)["edge-asd/hall/info"])
    assert [monitor["name"] for monitor in info["monitors"]] == ["fan"]
    assert set(daemon.status()) == {"fan"}
    daemon.until(
        lambda: not [name for name in daemon.checks() if name.endswith(("/pump", "/side"))]
    )
    page = daemon.get("/metrics")[1]
    assert 'monitor="fan"' in page
    assert 'monitor="pump"' not in page
    assert 'monitor="side"' not in page
    daemon.until(lambda: daemon.handles()[2] == 0)  # the recorder
    # It comes back as what it was, and what lies between is down time.
    daemon.reload(
        monitors=[section("pump"), section("fan", OTHER, alert={})], mqtt={"url": mosquitto.url}
    )
    daemon.until(lambda: daemon.state_of("pump") == "normal")
    daemon.until(lambda: "edge-asd/hall/pump/state" in retained(mosquitto.port))
    assert daemon.stop()[0] == 0
    assert accounts(daemon.state, "pump")[Account.SCORED] > 0
    assert Account.GAPPED not in accounts(daemon.state, "fan")


@pytest.mark.broker
def test_another_broker_gets_every_state_and_what_waits(start, mosquitto, tmp_path):
    nowhere = {"url": "mqtt://127.0.0.1:9"}
    daemon = start([section("pump", f"{FAULT}&speed=2&onset=3")], mqtt=nowhere)
    daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
    daemon.logged("type=new")
    mosquitto.start()
    with Subscriber(mosquitto.port, "edge-asd/hall/#") as listener:
        answer = daemon.reload(
            monitors=[section("pump", f"{FAULT}&speed=2&onset=3")], mqtt={"url": mosquitto.url}
        )
        assert (answer["sections"], answer["kept"]) == (["mqtt"], ["pump"])
        eventually(lambda: [t for t, *_ in listener.messages if t == "edge-asd/hall/pump/event"])
    assert json.loads(retained(mosquitto.port)["edge-asd/hall/pump/state"])["event_id"]
    assert retained(mosquitto.port)["edge-asd/hall/status"] == b"online"
    daemon.until(lambda: daemon.checks()["mqtt"]["status"] == "healthy")
    # Another password is another connection, though the file says the same.
    secret = tmp_path / "secret"
    secret.write_text("first")
    secret.chmod(0o600)
    login = {"url": mosquitto.url, "username": "hall", "password_file": str(secret)}
    monitors = [section("pump", f"{FAULT}&speed=2&onset=3")]
    assert daemon.reload(monitors=monitors, mqtt=login)["sections"] == ["mqtt"]
    assert daemon.reload()["sections"] == []
    secret.write_text("second")
    assert daemon.reload()["sections"] == ["mqtt"]
    secret.chmod(0o644)
    daemon.refuses("mqtt.password_file", "chmod 600")
    assert daemon.metric("mqtt_connected") == 1
    commands = {"url": mosquitto.url, "commands": ["snooze"]}
    assert daemon.reload(monitors=monitors, mqtt=commands)["sections"] == ["mqtt"]
    daemon.until(lambda: "edge-asd/hall/pump/snooze/state" in retained(mosquitto.port))
    single("edge-asd/hall/pump/snooze/set", "5", qos=1, port=mosquitto.port)
    daemon.logged("snooze")
    assert daemon.reload(monitors=monitors)["sections"] == ["mqtt"]
    daemon.until(lambda: daemon.metric("mqtt_connected") == 0)
    assert "mqtt" not in daemon.checks()
    assert retained(mosquitto.port)["edge-asd/hall/status"] == b"offline"


def test_a_signal_reloads_and_the_service_manager_is_told(plant, tmp_path):
    path = tmp_path / "config.yaml"
    write_config(path, device="hall", monitors=[section("pump")])
    with ServiceManager(tmp_path / "notify") as manager:
        settings = {"NOTIFY_SOCKET": str(manager.path)}
        with DaemonProcess(plant.state(tmp_path), "--config", path, **settings) as daemon:
            daemon.until(lambda: manager.times_of("READY=1"))
            path.write_text("monitors: []")
            daemon.process.send_signal(signal.SIGHUP)
            daemon.logged("reload result=refused reason=.*at least one monitor")
            daemon.until(lambda: len(manager.times_of("READY=1")) == 2)
            write_config(path, device="hall", monitors=[section("pump"), section("fan", OTHER)])
            daemon.process.send_signal(signal.SIGHUP)
            daemon.logged("reload result=applied added=fan removed=- changed=- kept=pump")
            daemon.until(lambda: len(manager.times_of("READY=1")) == 3)
            told = [text for _, text in manager.heard if text.startswith(("READY", "RELOADING"))]
            kinds = [text.partition("=")[0] for text in told]
            assert kinds == ["READY", "RELOADING", "READY", "RELOADING", "READY"]
            assert "MONOTONIC_USEC=" in told[1]
            assert daemon.stop()[0] == 0


@pytest.mark.parametrize("count", [10, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.broker
def test_reloads_leave_neither_files_nor_threads_nor_processes(
    start, mosquitto, plant, tmp_path, count
):
    mosquitto.start()
    files = [
        {
            "monitors": [
                section("pump"),
                section("side", f"exec:cat {plant.faulty}?rate=16000&format=s16le"),
            ],
            "mqtt": {"url": mosquitto.url},
            "jsonl": {"path": str(tmp_path / "events.jsonl")},
            "http": {"listen": f"127.0.0.1:{free_port()}"},
        },
        {"monitors": [section("pump", settle_s=3), section("fan", OTHER)]},
    ]
    daemon = start(**files[0])

    def twice():
        for fields in reversed(files):
            assert daemon.reload(**fields)["applied"]
        daemon.until(lambda: daemon.metric("mqtt_connected") == 1)

    for _ in range(2):
        twice()
    first = daemon.handles()
    for _ in range(count // 2 - 2):
        twice()
    # A program that ends is started again, and has no process for that moment.
    daemon.settles_at(first)


def test_an_alert_stays_open_when_its_rules_change(start):
    faulty = f"{FAULT}&speed=2&onset=3"
    daemon = start([section("pump", faulty)])
    daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
    (first,) = {event["id"] for event in stored_events(daemon.state)}
    answer = daemon.reload(monitors=[section("pump", faulty, alert=QUICK | {"update_s": 2})])
    assert answer["changed"] == ["pump"]
    daemon.until(lambda: daemon.state_of("pump") in ("warning", "alarm"))
    count = len(stored_events(daemon.state))
    daemon.until(lambda: len(stored_events(daemon.state)) > count)
    assert {event["id"] for event in stored_events(daemon.state)} == {first}


def test_an_enrolment_goes_on_with_its_sound_and_ends_with_it(start):
    daemon = start()
    daemon.until(lambda: daemon.state_of("pump") == "normal")
    request = {"command": "enrol", "monitor": "pump", "seconds": 3600}
    path = socket_path(daemon.state, {})
    with ThreadPoolExecutor(1) as pool:
        enrolment = pool.submit(ask_daemon, path, request, lambda *_: None)
        daemon.until(lambda: daemon.state_of("pump") == "baselining")
        rules = QUICK | {"update_s": 2}
        assert daemon.reload(monitors=[section("pump", alert=rules)])["changed"] == ["pump"]
        assert daemon.state_of("pump") == "baselining"
        assert not enrolment.done()
        assert daemon.reload(monitors=[section("pump", OTHER)])["changed"] == ["pump"]
        with pytest.raises(BusyError, match="enrol again"):
            enrolment.result(PATIENCE_S)
    daemon.until(lambda: daemon.state_of("pump") != "baselining")
    assert daemon.stop()[0] == 0


def accounts(state, monitor):
    """Seconds by what they were, those of the daemon's last run."""
    reader = LedgerReader(state)
    try:
        found = {}
        for passage in reader.passages(monitor, 0, 2**40):
            seconds = passage.end_s - passage.begin_s
            found[passage.account] = found.get(passage.account, 0) + seconds
        return found
    finally:
        reader.close()
