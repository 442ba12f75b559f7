"""A file of an older version becomes one of this version, whole or not at all."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import edge_asd
from edge_asd.database import Database, Schema, has_table
from edge_asd.errors import StorageError

FIRST = Schema(1, ("CREATE TABLE notes (text TEXT NOT NULL)",), "notes")
THIRD = Schema(
    3,
    (
        "CREATE TABLE notes (text TEXT NOT NULL, author TEXT)",
        "CREATE TABLE tags (tag TEXT NOT NULL)",
    ),
    "notes",
    {
        1: ("ALTER TABLE notes ADD COLUMN author TEXT",),
        2: (
            "CREATE TABLE tags (tag TEXT NOT NULL)",
            "INSERT INTO tags SELECT 'tag of ' || text FROM notes",
        ),
    },
)


def noted(path, text="a note"):
    """A file of the first version with one note in it."""
    database = Database(path, FIRST)
    database.write(lambda c: c.execute("INSERT INTO notes VALUES (?)", (text,)))
    database.close()


def content(path):
    """Version, columns of the notes, and the tables."""
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    columns = [row[1] for row in connection.execute("PRAGMA table_info(notes)")]
    tables = {n for (n,) in connection.execute("SELECT name FROM sqlite_master")}
    notes = [text for (text,) in connection.execute("SELECT text FROM notes")]
    connection.close()
    return version, columns, tables, notes


def test_a_file_passes_through_every_version_in_between(tmp_path):
    path = tmp_path / "notes.db"
    noted(path)
    database = Database(path, THIRD)
    assert database.read(lambda c: c.execute("SELECT tag FROM tags").fetchall()) == [
        ("tag of a note",)
    ]
    database.close()
    assert content(path) == (3, ["text", "author"], {"notes", "tags"}, ["a note"])
    Database(path, THIRD).close()  # nothing is left to do
    assert content(path)[3] == ["a note"]


def test_a_new_file_is_of_this_version_and_seeded(tmp_path):
    def seed(connection, now_s):
        connection.execute("INSERT INTO notes VALUES (?, NULL)", (f"made at {now_s:.0f}",))

    schema = Schema(3, THIRD.statements, "notes", THIRD.migrations, seed)
    Database(tmp_path / "notes.db", schema, clock=lambda: 12.0).close()
    assert content(tmp_path / "notes.db") == (
        3,
        ["text", "author"],
        {"notes", "tags"},
        ["made at 12"],
    )


def test_a_version_without_its_migration_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="version 3"):
        Schema(3, FIRST.statements, "notes", {2: ()})


def test_a_migration_that_fails_leaves_the_older_file(tmp_path):
    path = tmp_path / "notes.db"
    noted(path)
    broken = Schema(
        3,
        THIRD.statements,
        "notes",
        {1: THIRD.migrations[1], 2: ("INSERT INTO nowhere VALUES (1)",)},
    )
    with pytest.raises(StorageError):
        Database(path, broken)
    assert content(path) == (1, ["text"], {"notes"}, ["a note"])


CRASH = """
import os, signal, sqlite3, sys
sys.path.insert(0, sys.argv[3])
import test_database
from pathlib import Path
from edge_asd.database import Database

deadly = int(sys.argv[2])

class Connection(sqlite3.Connection):
    steps = 0

    def execute(self, *arguments):
        Connection.steps += 1
        if Connection.steps == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*arguments)

real = sqlite3.connect
sqlite3.connect = lambda *a, **k: real(*a, factory=Connection, **k)
Database(Path(sys.argv[1]), test_database.THIRD)
"""


def test_a_kill_at_any_step_of_a_migration_leaves_the_older_file_or_the_new_one(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(edge_asd.__file__).parents[1])}
    outcomes = []
    for step in range(1, 40):
        path = tmp_path / f"{step}.db"
        noted(path)
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", textwrap.dedent(CRASH), str(path), str(step), here]
        code = subprocess.run(command, env=environment, check=False).returncode
        version, columns, tables, notes = content(path)
        assert notes == ["a note"]
        assert (version, columns, tables) in (
            (1, ["text"], {"notes"}),
            (3, ["text", "author"], {"notes", "tags"}),
        )
        outcomes.append(version)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {1, 3}


def test_a_reader_of_an_older_file_is_told_what_to_do(tmp_path):
    path = tmp_path / "notes.db"
    noted(path)
    reader = Database(path, THIRD, read_only=True)
    assert reader.read(lambda c: c.execute("SELECT text FROM notes").fetchall()) == [("a note",)]
    assert not reader.read(lambda c: has_table(c, "tags"))
    with pytest.raises(StorageError, match="start the daemon once"):
        reader.read(lambda c: c.execute("SELECT author FROM notes").fetchall())
    reader.close()
    assert content(path)[0] == 1


def test_the_log_says_what_a_damaged_file_has_cost(tmp_path, caplog):
    (tmp_path / "notes.db").write_bytes(b"not a database at all" * 100)
    Database(tmp_path / "notes.db", FIRST).close()
    (line,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "notes in it are lost" in line.getMessage()


def test_a_damaged_file_is_replaced_once_the_disk_lets_us(tmp_path, monkeypatch):
    path = tmp_path / "notes.db"
    database = Database(path, FIRST)
    database.write(lambda c: c.execute("INSERT INTO notes VALUES ('lost')"))
    database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database._connection.execute("PRAGMA cache_size = 0")
    path.write_bytes(b"\xa5" * 20_000)
    opening = Database._open

    def full(_):
        raise StorageError("disk is full")

    def note():
        database.write(lambda c: c.execute("INSERT INTO notes VALUES ('kept')"))

    monkeypatch.setattr(Database, "_open", full)
    for _ in range(2):
        with pytest.raises(StorageError, match="full"):
            note()
    monkeypatch.setattr(Database, "_open", opening)
    note()
    assert database.moved_aside is not None
    assert database.moved_aside.exists()
    database.close()
    assert content(path)[3] == ["kept"]
    with pytest.raises(StorageError):
        database.read(lambda c: c.execute("SELECT 1").fetchone())
