"""Tables of ``events.db``."""

from __future__ import annotations

import sqlite3

from edge_asd.database import Schema

_SWITCHES = """CREATE TABLE switches (
        monitor TEXT PRIMARY KEY,
        payload TEXT NOT NULL
    )"""

_STATEMENTS = (
    """CREATE TABLE monitors (
        name TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        open_event TEXT,
        open_notice TEXT,
        open_rehearsal TEXT
    )""",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        monitor TEXT NOT NULL REFERENCES monitors (name),
        seq INTEGER NOT NULL,
        updated_at TEXT NOT NULL,
        recorded_at REAL NOT NULL,
        payload TEXT NOT NULL,
        UNIQUE (monitor, seq)
    )""",
    "CREATE INDEX events_updated ON events (updated_at)",
    "CREATE INDEX events_recorded ON events (recorded_at)",
    """CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL,
        payload BLOB NOT NULL,
        retain INTEGER NOT NULL CHECK (retain IN (0, 1)),
        class TEXT NOT NULL
            CHECK (class IN ('event_new', 'event_update', 'event_end', 'report')),
        monitor TEXT NOT NULL,
        seq INTEGER NOT NULL,
        created_at REAL NOT NULL,
        bytes INTEGER NOT NULL
    )""",
    # Covers the sums and the overflow order, so that neither reads a payload.
    "CREATE INDEX outbox_class ON outbox (class, id, bytes, created_at)",
    _SWITCHES,
)

_MIGRATIONS = {
    1: ("ALTER TABLE monitors ADD COLUMN open_notice TEXT",),
    2: ("ALTER TABLE monitors ADD COLUMN open_rehearsal TEXT", _SWITCHES),
}


def _seed(connection: sqlite3.Connection, now_s: float) -> None:
    # Ids must not start over after a damaged file was replaced: an acknowledgement that is
    # still under way for an old row would delete a new one.
    base = max(1, int(now_s * 1e6))
    connection.execute("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", (base,))


SCHEMA = Schema(
    version=3,
    statements=_STATEMENTS,
    holds="unsent messages",
    migrations=_MIGRATIONS,
    seed=_seed,
)
