"""An event that was recorded is on the disk, whole, with everything that belongs to it."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from publish_samples import WALL_S, message, notice_message, record

import edge_asd
from edge_asd.clock import rfc3339
from edge_asd.errors import StorageError
from edge_asd.publish.store import EventStore
from edge_asd.publish.tables import SCHEMA

DAY_S = 86400.0


def recorded(store, kind="new", monitor="pump-1", topic="t", **changes):
    return store.record(message(kind, monitor, **changes), monitor=monitor, topic=topic)


def test_sequence_numbers_count_each_monitor_across_restarts(tmp_path):
    store = EventStore(tmp_path)
    assert [recorded(store).message.seq for _ in range(2)] == [1, 2]
    assert recorded(store, monitor="fan").message.seq == 1
    store.close()
    assert recorded(EventStore(tmp_path)).message.seq == 3


def test_row_and_message_carry_the_same_payload(tmp_path):
    store = EventStore(tmp_path)
    stored = recorded(store).message
    (row,) = store.outbox.head(5)
    assert json.loads(row.message.payload)["seq"] == 1
    assert row.message.payload == stored.to_json()
    assert store.events() == [stored]


def test_a_restart_goes_on_with_the_open_alert(tmp_path):
    store = EventStore(tmp_path)
    assert store.open_event("pump-1") is None
    recorded(store)
    last = recorded(store, "update", score=7.25).message
    store.close()
    again = EventStore(tmp_path)
    assert again.open_event("pump-1") == last
    assert again.open_event("pump-1").to_event() == record("update", score=7.25)
    recorded(again, "end", ended_at=WALL_S + 60)
    assert again.open_event("pump-1") is None


def test_without_mqtt_nothing_waits(tmp_path):
    store = EventStore(tmp_path)
    recorded(store, topic=None)
    assert store.outbox.stats().messages == 0
    assert len(store.events()) == 1


def test_events_are_found_by_time_and_the_newest_are_shown(tmp_path):
    store = EventStore(tmp_path)
    for offset in range(5):
        recorded(store, updated_at=WALL_S + offset)
    assert [e.seq for e in store.events(since=WALL_S + 3)] == [4, 5]
    assert [e.seq for e in store.events(limit=2)] == [4, 5]
    assert store.events(limit=1)[0].updated_at == rfc3339(WALL_S + 4)


def test_old_and_surplus_events_are_forgotten_but_not_what_waits(tmp_path):
    now = [WALL_S]
    store = EventStore(
        tmp_path, clock=lambda: now[0], keep_s=400 * DAY_S, max_age_s=900 * DAY_S, keep_events=3
    )
    recorded(store)
    now[0] += 401 * DAY_S
    recorded(store)  # pruning runs along
    assert [e.seq for e in store.events()] == [2]
    for _ in range(4):
        recorded(store)
    store.prune()
    assert [e.seq for e in store.events()] == [4, 5, 6]
    assert store.outbox.stats().messages == 6


def test_a_full_disk_is_told_and_leaves_nothing_half_done(tmp_path):
    store = EventStore(tmp_path)
    recorded(store)
    (pages,) = store._database._connection.execute("PRAGMA page_count").fetchone()
    store._database._connection.execute(f"PRAGMA max_page_count = {pages}")
    stored = 1
    with pytest.raises(StorageError, match="free space"):  # noqa: PT012 - any of them may fail
        while True:
            recorded(store)
            stored += 1
    assert len(store.events()) == stored == store.outbox.stats().messages
    store._database._connection.execute("PRAGMA max_page_count = 100000")
    assert recorded(store).message.seq == stored + 1


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    with pytest.raises(StorageError, match=r"events\.db.*folder exists"):
        EventStore(tmp_path / "missing")


def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    EventStore(tmp_path).close()
    path = tmp_path / "events.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    connection.close()
    with pytest.raises(StorageError, match="newer edge-asd"):
        EventStore(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if "corrupt" in p.name] == []


def spoil(path):
    with path.open("r+b") as file:
        size = path.stat().st_size
        for offset in range(4096, size, 512):
            file.seek(offset)
            file.write(b"\xa5" * 400)


@pytest.mark.parametrize("damage", ["header", "pages"])
def test_a_damaged_file_is_moved_aside_loudly(tmp_path, caplog, damage):
    store = EventStore(tmp_path)
    for _ in range(50):
        recorded(store)
    store.close()
    path = tmp_path / "events.db"
    if damage == "header":
        path.write_bytes(b"this was a database once" * 400)
    else:
        spoil(path)
    fresh = EventStore(tmp_path)
    assert fresh.moved_aside is not None
    assert fresh.moved_aside.name.startswith("events.db.corrupt-")
    assert fresh.moved_aside.exists()
    assert [r.levelno for r in caplog.records if "damaged" in r.message] == [logging.ERROR]
    assert recorded(fresh).message.seq == 1


def test_damage_while_running_costs_the_old_rows_and_not_the_new_event(tmp_path):
    store = EventStore(tmp_path)
    for _ in range(200):
        recorded(store)
    old_ids = [row.id for row in store.outbox.head(8)]
    # Write everything to the main file and drop what SQLite remembers of it.
    store._database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._database._connection.execute("PRAGMA cache_size = 0")
    spoil(tmp_path / "events.db")
    assert recorded(store).message.seq == 1
    assert store.moved_aside is not None
    # A late acknowledgement for a lost row must not take a new one along.
    store.outbox.ack(*old_ids)
    assert store.outbox.stats().messages == 1


def test_damaged_files_do_not_pile_up(tmp_path):
    for number in range(6):
        (tmp_path / "events.db").write_bytes(b"not a database at all" * 100)
        EventStore(tmp_path, clock=lambda now_s=WALL_S + number: now_s).close()
    assert len(list(tmp_path.glob("events.db.corrupt-*"))) == 3


def test_a_reader_looks_on_while_the_daemon_writes_and_changes_nothing(tmp_path):
    store = EventStore(tmp_path)
    recorded(store)
    reader = EventStore(tmp_path, read_only=True)
    recorded(store)
    assert [e.seq for e in reader.events()] == [1, 2]
    with pytest.raises(StorageError):
        recorded(reader)
    with pytest.raises(StorageError):
        EventStore(tmp_path / "nowhere", read_only=True)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "events.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageError, match="start the daemon"):
        EventStore(tmp_path / "bad", read_only=True)
    assert [p.name for p in (tmp_path / "bad").iterdir()] == ["events.db"]


def test_threads_share_one_store(tmp_path):
    store = EventStore(tmp_path)
    threads = [
        threading.Thread(target=lambda: [recorded(store) for _ in range(20)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.message.seq for row in store.outbox.head(100)] == list(range(1, 81))


@pytest.mark.parametrize("promised", [1, 20, 70])
def test_what_was_promised_before_a_kill_is_there_after_it(tmp_path, promised):
    script = Path(__file__).with_name("store_process.py")
    source = str(Path(edge_asd.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, script, tmp_path],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        text=True,
    )
    said = [int(process.stdout.readline()) for _ in range(promised)]
    process.kill()
    said += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    process.stdout.close()
    store = EventStore(tmp_path)
    stored = [event.seq for event in store.events()]
    assert stored[: len(said)] == said
    assert len(stored) - len(said) <= 1  # recorded, killed before it could say so
    assert [row.message.seq for row in store.outbox.head(10**6)] == stored
    is_open = len(stored) % 3 != 0
    assert (store.open_event("pump-1") is not None) == is_open


def test_who_looks_before_the_tables_are_made_sees_no_events(tmp_path):
    (tmp_path / "events.db").touch()
    store = EventStore(tmp_path, read_only=True)
    assert store.events() == []
    store.close()


VERSION_1 = """
CREATE TABLE monitors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, open_event TEXT);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, monitor TEXT NOT NULL REFERENCES monitors (name),
    seq INTEGER NOT NULL, updated_at TEXT NOT NULL, recorded_at REAL NOT NULL,
    payload TEXT NOT NULL, UNIQUE (monitor, seq));
CREATE INDEX events_updated ON events (updated_at);
CREATE INDEX events_recorded ON events (recorded_at);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL,
    retain INTEGER NOT NULL CHECK (retain IN (0, 1)),
    class TEXT NOT NULL CHECK (class IN ('event_new', 'event_update', 'event_end', 'report')),
    monitor TEXT NOT NULL, seq INTEGER NOT NULL, created_at REAL NOT NULL, bytes INTEGER NOT NULL);
CREATE INDEX outbox_class ON outbox (class, id, bytes, created_at);
PRAGMA user_version = 1;
"""


def tables(path):
    """What is in a file, column by column."""
    connection = sqlite3.connect(path)
    names = [n for (n,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
    columns = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
    connection.close()
    return columns


def version_1(folder):
    """The file that the first release left behind: an alert is open and waits for the broker."""
    connection = sqlite3.connect(folder / "events.db")
    connection.executescript(VERSION_1)
    payload = message().model_copy(update={"seq": 7}).to_json()
    row = ("pump-1", 7, rfc3339(WALL_S + 12.5), WALL_S, payload.decode())
    with connection:
        connection.execute("INSERT INTO monitors VALUES ('pump-1', 7, ?)", (payload.decode(),))
        connection.execute(
            "INSERT INTO events (monitor, seq, updated_at, recorded_at, payload)"
            " VALUES (?, ?, ?, ?, ?)",
            row,
        )
        connection.execute(
            "INSERT INTO outbox (topic, payload, retain, class, monitor, seq, created_at, bytes)"
            " VALUES ('t', ?, 0, 'event_new', 'pump-1', 7, ?, 1)",
            (payload, WALL_S),
        )
    connection.close()


def test_a_file_of_the_first_release_goes_on_with_everything_in_it(tmp_path):
    version_1(tmp_path)
    assert [e.seq for e in EventStore(tmp_path, read_only=True).events()] == [7]
    store = EventStore(tmp_path, clock=lambda: WALL_S)
    assert store.moved_aside is None
    assert store.open_event("pump-1").seq == 7
    assert recorded(store, "update").message.seq == 8
    assert [row.message.seq for row in store.outbox.head(5)] == [7, 8]
    store.close()
    (tmp_path / "new").mkdir()
    EventStore(tmp_path / "new").close()
    assert tables(tmp_path / "events.db") == tables(tmp_path / "new" / "events.db")


def noted(store, kind="new", topic="t/microphone", **changes):
    return store.record_notice(notice_message(kind, **changes), monitor="pump-1", topic=topic)


def test_a_microphone_fault_and_an_alert_are_open_side_by_side(tmp_path):
    store = EventStore(tmp_path)
    alert = recorded(store).message
    fault = noted(store).message
    assert (alert.seq, fault.seq) == (1, 2)
    store.close()
    again = EventStore(tmp_path)
    assert again.open_event("pump-1") == alert
    assert again.open_notice("pump-1") == fault
    noted(again, "end", ended_at=WALL_S + 9)
    assert again.open_notice("pump-1") is None
    assert again.open_event("pump-1") == alert
    recorded(again, "end", ended_at=WALL_S + 60)
    noted(again)
    assert again.open_event("pump-1") is None
    assert again.open_notice("pump-1").seq == 5
    assert again.open_notice("fan-1") is None


def test_both_kinds_are_listed_and_delivered_in_the_order_they_happened(tmp_path):
    store = EventStore(tmp_path)
    sent = [recorded(store).message, noted(store).message, recorded(store, "end").message]
    sent.append(noted(store, "end").message)
    assert store.events() == sent
    rows = store.outbox.head(9)
    assert [row.message.payload for row in rows] == [m.to_json() for m in sent]
    assert [row.message.row_class.value for row in rows] == [
        "event_new",
        "event_new",
        "event_end",
        "event_end",
    ]
    assert [row.message.topic for row in rows] == ["t", "t/microphone", "t", "t/microphone"]


def test_a_microphone_fault_is_stored_whole_or_not_at_all(tmp_path):
    store = EventStore(tmp_path)
    store._database._connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    )
    with pytest.raises(StorageError, match="free space"):
        noted(store)
    assert (store.events(), store.open_notice("pump-1")) == ([], None)
    assert noted(store, topic=None).message.seq == 1
