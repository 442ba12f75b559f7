"""What is wrong with the database of events is found; a repair loses no row that can be read."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from publish_samples import WALL_S, message, notice_message

from edge_asd.errors import StorageError
from edge_asd.publish.fsck import look_through
from edge_asd.publish.salvage import mend, resume, salvage
from edge_asd.publish.store import EventStore
from edge_asd.publish.tables import SCHEMA

DAY_S = 86400.0


@pytest.fixture
def path(tmp_path):
    """Two monitors, twelve events each, all waiting."""
    return filled(tmp_path, 12)


def filled(folder, count, clock=lambda: WALL_S):
    store = EventStore(folder, clock=clock)
    for number in range(count):
        for monitor in ("pump-1", "fan"):
            if number % 3 == 2:
                store.record_notice(notice_message(monitor=monitor), monitor=monitor, topic="t/m")
            else:
                store.record(message(monitor=monitor), monitor=monitor, topic="t/e")
    store.close()
    return folder / "events.db"


def checks(path, now_s=WALL_S + 60, max_age_s=30 * DAY_S):
    return [f.check for f in look_through(path, max_age_s=max_age_s, now_s=now_s)]


def spoiled(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def contents(path):
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in ("monitors", "events", "outbox")
        }


def test_a_sound_file_has_no_findings_and_is_not_touched(path):
    before = path.read_bytes()
    assert checks(path) == []
    assert path.read_bytes() == before


def test_a_file_that_a_daemon_is_writing_is_looked_at(tmp_path):
    path = filled(tmp_path, 3)
    store = EventStore(tmp_path, clock=lambda: WALL_S)
    store.record(message(), monitor="pump-1", topic="t")
    assert checks(path) == []
    store.close()


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError, match="nothing there"):
        checks(tmp_path / "events.db")


def test_an_empty_file_is_a_database_without_tables(tmp_path):
    (tmp_path / "events.db").touch()
    assert checks(tmp_path / "events.db") == []


@pytest.mark.parametrize(("version", "word"), [(1, "older"), (SCHEMA.version + 1, "newer")])
def test_other_versions_are_told_apart(path, version, word):
    spoiled(path, f"PRAGMA user_version = {version}")
    if version == 1:
        spoiled(path, "ALTER TABLE outbox RENAME COLUMN bytes TO octets")
    with pytest.raises(StorageError, match=word):
        checks(path)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM events WHERE monitor = 'fan' AND seq = 5", ["gap", "orphan"]),
        ("UPDATE monitors SET seq = 3 WHERE name = 'fan'", ["counter"]),
        ("UPDATE events SET payload = '{}' WHERE id = 4", ["unreadable", "differs"]),
        ("UPDATE outbox SET payload = CAST('7' AS BLOB) WHERE seq = 2 AND monitor = 'fan'",
         ["differs", "unreadable", "size"]),
        ("UPDATE outbox SET bytes = 1 WHERE seq = 2 AND monitor = 'fan'", ["size"]),
        ("UPDATE outbox SET created_at = created_at - 31 * 86400 WHERE seq = 1", ["old", "old"]),
        ("UPDATE outbox SET created_at = created_at + 2 * 86400 WHERE seq = 1", ["future"] * 2),
        ("UPDATE outbox SET created_at = 12 WHERE seq = 1", []),
        ("DELETE FROM monitors WHERE name = 'fan'", ["damaged"] * 12),
        ("DELETE FROM events WHERE seq < 4", []),
        ("UPDATE events SET seq = -seq WHERE seq = 12", ["orphan"] * 2),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_found(path, statement, found):
    spoiled(path, statement)
    if "seq = -seq" in statement:
        spoiled(path, "DELETE FROM outbox WHERE seq = 12")
        found = ["unreadable"] * 2  # a step without a number says 0
    assert checks(path) == found


def test_gaps_are_named(path):
    spoiled(path, "DELETE FROM events WHERE monitor = 'fan' AND seq IN (3, 4, 5, 9)")
    (gap, *_) = look_through(path, max_age_s=DAY_S, now_s=WALL_S)
    assert "monitor fan: no event has the numbers 3 to 5, 9" in gap.text


def test_counters_and_sizes_are_set_right(path):
    before = contents(path)
    spoiled(path, "UPDATE monitors SET seq = 3 WHERE name = 'fan'")
    spoiled(path, "UPDATE outbox SET bytes = 1 WHERE seq = 2")
    mend(path)
    assert checks(path) == []
    assert contents(path) == before


def damage(path, rng, pages):
    """Overwrite some pages, the first one excepted."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in rng.sample(range(1, size // 4096), pages):
            file.seek(4096 * page)
            file.write(rng.randbytes(4096))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Bytes of a file with sixty events of two monitors each."""
    return filled(tmp_path_factory.mktemp("large"), 60).read_bytes()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), pages=st.integers(1, 6))
def test_whatever_page_is_damaged_the_rest_is_saved(large, tmp_path_factory, seed, pages):
    path = tmp_path_factory.mktemp("s") / "events.db"
    path.write_bytes(large)
    before = contents(path)
    damage(path, random.Random(seed), pages)
    if not checks(path):
        return  # only unused space
    aside, _ = salvage(path, now_s=WALL_S)
    assert aside.read_bytes() != large
    assert set(checks(path)) <= {"gap", "orphan", "unreadable", "differs", "size"}
    after = contents(path)
    for table in ("events", "outbox"):
        # A page holds some twenty rows at most; an inner page of such a small file holds all.
        found = [row for row in after[table] if row in before[table]]
        assert len(found) == len(after[table]), "rows were made up"
    assert {row[0] for row in after["monitors"]} <= {"pump-1", "fan"}
    store = EventStore(path.parent, clock=lambda: WALL_S)
    last = max((row[2] for row in after["events"] if row[1] == "fan"), default=0)
    assert store.record(message(), monitor="fan", topic="t").message.seq > last
    store.close()


def leaf_of(data, table_root, child):
    """Page of a child of a table's inner page."""
    inner = data[4096 * (table_root - 1) : 4096 * table_root]
    assert inner[0] == 5, "the table has an inner page"
    cell = int.from_bytes(inner[12 + 2 * child : 14 + 2 * child], "big")
    return int.from_bytes(inner[cell : cell + 4], "big")


def spoil_leaf(path, data):
    """Damage one page of the outbox that holds rows."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'outbox'"
        (root,) = connection.execute(query).fetchone()
    with path.open("r+b") as file:
        file.seek(4096 * (leaf_of(data, root, 3) - 1))
        file.write(b"\xa5" * 4096)


def test_one_damaged_leaf_costs_only_the_rows_on_it(large, tmp_path):
    path = tmp_path / "events.db"
    path.write_bytes(large)
    before = contents(path)["outbox"]
    spoil_leaf(path, large)
    assert "damaged" in checks(path)
    _, saved = salvage(path, now_s=WALL_S)
    after = contents(path)["outbox"]
    assert saved["outbox"] == len(after) >= len(before) - 12
    assert [row for row in before if row in after] == after


def test_a_message_whose_class_was_damaged_is_delivered_all_the_same(path):
    before = contents(path)["outbox"]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE outbox SET class = 'event_upd', retain = 7 WHERE seq = 4")
    assert set(checks(path)) == {"damaged"}
    # A daemon that finds it so goes on with everything that was in it.
    store = EventStore(path.parent, clock=lambda: WALL_S)
    assert store.moved_aside is not None
    store.close()
    assert checks(path) == []
    repaired = contents(path)["outbox"]
    assert [row[:3] for row in repaired] == [row[:3] for row in before]


def test_a_salvage_that_was_interrupted_at_its_very_end_is_finished(path):
    before = contents(path)
    path.rename(path.with_name("events.db.salvaged"))
    assert resume(path)
    assert contents(path) == before
    assert not resume(path)


@pytest.mark.parametrize("running", [False, True])
def test_a_daemon_goes_on_with_what_a_damaged_leaf_left_of_its_events(large, tmp_path, running):
    path = tmp_path / "events.db"
    path.write_bytes(large)
    before = contents(path)
    store = EventStore(tmp_path, clock=lambda: WALL_S)
    if not running:
        store.close()
    else:
        store._database._connection.execute("PRAGMA cache_size = 0")
    spoil_leaf(path, large)
    if not running:
        store = EventStore(tmp_path, clock=lambda: WALL_S)
    recorded = store.record(message(monitor="fan"), monitor="fan", topic="t").message
    store.outbox.head(999)  # whoever reads the page finds it out
    assert recorded.seq == 61
    assert store.moved_aside.exists()
    waiting = [row.id for row in store.outbox.head(999)]
    assert len(before["outbox"]) - 12 <= len(waiting) - 1 < len(before["outbox"])
    assert store.record(message(monitor="fan"), monitor="fan", topic="t").message.seq == 62
    store.close()


def test_a_file_of_which_nothing_can_be_read_is_kept_and_replaced(path):
    path.write_bytes(b"this was a database once" * 400)
    assert checks(path) == ["damaged"]
    aside, saved = salvage(path, now_s=WALL_S)
    assert aside.read_bytes().startswith(b"this was")
    assert set(saved.values()) == {0}
    assert checks(path) == []
