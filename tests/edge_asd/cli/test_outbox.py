"""``edge-asd outbox``: what waits, whether it is sound, and sending it again."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from brokers import Subscriber, eventually
from publish_samples import message, notice_message
from support.processes import FAULT, DaemonProcess, assert_refused, cli, lines, stored_events

from edge_asd.publish.store import EventStore
from edge_asd.state_dir import StateLock

MQTT = {"device": "hall", "mqtt": {"url": "mqtt://127.0.0.1:1"}}


@pytest.fixture
def state(tmp_path):
    """A begin and an update of one alert wait; a microphone fault was delivered."""
    folder = tmp_path / "state"
    folder.mkdir()
    store = EventStore(folder)
    notice = store.record_notice(notice_message(), monitor="pump-1", topic="edge-asd/hall/m")
    assert notice.message.seq == 1
    store.outbox.ack(store.outbox.head(1)[0].id)
    for kind in ("new", "update"):
        store.record(message(kind), monitor="pump-1", topic="edge-asd/hall/pump-1/event")
    store.close()
    return folder


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(MQTT))
    return path


def spoil(state, statement):
    with closing(sqlite3.connect(state / "events.db")) as connection, connection:
        connection.execute(statement)


def test_what_waits_is_listed_with_everything_one_asks_about(shell, state):
    out = shell("outbox", "ls", "--state-dir", state).stdout.splitlines()
    assert len(out) == 3
    assert "event_new" in out[0]
    assert "pump-1" in out[0]
    assert "number 2" in out[0]
    assert "edge-asd/hall/pump-1/event" in out[0]
    assert out[2].startswith("2 messages wait, ")
    rows = lines(shell("outbox", "ls", "--json", "--state-dir", state))
    assert [row["seq"] for row in rows] == [2, 3]
    keys = {"id", "class", "monitor", "seq", "topic", "created_at", "bytes"}
    assert rows[1].keys() == keys


def test_nothing_waits_where_nothing_ran(shell, tmp_path):
    done = shell("outbox", "ls", "--state-dir", tmp_path)
    assert (done.returncode, done.stdout) == (0, "nothing waits\n")
    assert shell("outbox", "ls", "--json", "--state-dir", tmp_path).stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_sound_database_is_told_so(shell, state):
    done = shell("outbox", "fsck", "--state-dir", state)
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith("sound")


def test_what_is_wrong_is_told_line_by_line_with_code_65(shell, state):
    spoil(state, "UPDATE monitors SET seq = 1")
    spoil(state, "UPDATE outbox SET bytes = 1")
    done = shell("outbox", "fsck", "--state-dir", state)
    assert_refused(done, 65, "3 things are wrong")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["counter", "size", "size"]
    again = shell("outbox", "fsck", "--json", "--state-dir", state)
    assert again.returncode == 65
    assert [row["repairable"] for row in lines(again)] == [True] * 3


def test_a_repair_needs_the_daemon_to_be_stopped(shell, state):
    spoil(state, "UPDATE monitors SET seq = 1")
    with StateLock(state):
        assert_refused(shell("outbox", "fsck", "--repair", "--state-dir", state), 69, "stop it")
    done = shell("outbox", "fsck", "--repair", "--state-dir", state)
    assert done.returncode == 0, done.stderr
    assert "counters and sizes set right" in done.stdout
    assert shell("outbox", "fsck", "--state-dir", state).returncode == 0


def test_a_damaged_file_is_repaired_and_kept(shell, state):
    path = state / "events.db"
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * 4096 + content[8192:])
    assert_refused(shell("outbox", "fsck", "--state-dir", state), 65)
    done = shell("outbox", "fsck", "--repair", "--state-dir", state)
    assert "saved" in done.stdout
    assert "events.db.corrupt-" in done.stdout
    assert len(list(state.glob("events.db.corrupt-*Z"))) == 1
    EventStore(state).close()


def test_a_repair_of_nothing_says_so(shell, tmp_path):
    assert_refused(
        shell("outbox", "fsck", "--repair", "--state-dir", tmp_path), 69, "nothing there"
    )


def replay(shell, state, config, *arguments):
    options = ("--state-dir", state, "--config", config)
    return shell("outbox", "replay", *arguments, *options)


def test_a_dry_run_only_counts(shell, state, config):
    done = replay(shell, state, config, "--since", "2000-01-01", "--dry-run")
    assert "1 messages of 1 alerts would be sent again" in done.stdout
    assert "2 of the span wait" in done.stdout
    assert len(lines(shell("outbox", "ls", "--json", "--state-dir", state))) == 2


def test_without_a_daemon_it_is_put_into_the_outbox(shell, state, config):
    done = replay(shell, state, config, "--since", "2000-01-01", "--yes", "--json")
    assert lines(done) == [{"messages": 1, "alerts": 1, "waiting": 2, "dry_run": False}]
    rows = lines(shell("outbox", "ls", "--json", "--state-dir", state))
    assert [row["seq"] for row in rows] == [2, 3, 1]
    assert rows[2]["topic"] == "edge-asd/hall/pump-1/microphone"


def test_it_asks_and_where_nobody_answers_it_does_nothing(shell, state, config):
    done = replay(shell, state, config, "--since", "2000-01-01")
    assert_refused(done, 2, "1 messages", "--yes")
    assert len(lines(shell("outbox", "ls", "--json", "--state-dir", state))) == 2


def test_what_makes_no_sense_is_refused(shell, state, config, tmp_path):
    assert_refused(replay(shell, state, config), 2, "--since WHEN or --event ID")
    assert_refused(replay(shell, state, config, "--since", "soon"), 2, "soon")
    assert_refused(replay(shell, state, config, "--event", "nope"), 2, "no event 'nope'")
    bare = tmp_path / "bare.yaml"
    bare.write_text("{}")
    assert_refused(replay(shell, state, bare, "--event", "last", "--yes"), 2, "mqtt.url")


@pytest.mark.broker
def test_a_running_daemon_sends_again_what_it_is_asked_for(plant, mosquitto, tmp_path):
    mosquitto.start()
    state = plant.state(tmp_path)
    config = plant.config(tmp_path, f"{FAULT}&speed=10&onset=5", mqtt={"url": mosquitto.url})
    with (
        Subscriber(mosquitto.port, "edge-asd/hall/pump/event") as heard,
        DaemonProcess(state, "--config", config) as daemon,
    ):
        daemon.until(lambda: heard.messages)
        (first, *_) = stored_events(state)
        options = ("--event", first["id"], "--yes", "--json", "--state-dir", state)
        done = cli("outbox", "replay", *options)
        assert done.returncode == 0, done.stderr
        assert lines(done)[0]["messages"] >= 1
        payload = heard.messages[0][1]
        eventually(lambda: heard.of("edge-asd/hall/pump/event").count(payload) == 2)
        assert daemon.metric("outbox_dropped_total", **{"class": "event_new"}) == 0
