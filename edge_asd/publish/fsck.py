"""Looks through ``events.db`` for what is wrong; changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_asd.clock import CLOCK_FLOOR_S
from edge_asd.database import BUSY_TIMEOUT_S
from edge_asd.errors import StorageError
from edge_asd.publish.outbox import RowClass
from edge_asd.publish.stored import parse_stored
from edge_asd.publish.tables import SCHEMA

_DAY_S = 86400.0
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong."""

    check: str
    """``damaged``, ``counter``, ``gap``, ``unreadable``, ``orphan``, ``differs``, ``size``,
    ``old`` or ``future``."""
    text: str
    """What, where and what can be done."""
    repairable: bool = False


def look_through(path: Path, *, max_age_s: float, now_s: float) -> list[Finding]:
    """Check a file.

    Args:
        path: The database.
        max_age_s: Age at which the outbox gives a row up.
        now_s: Wall time, seconds since 1970 UTC.

    Raises:
        StorageError: It is not there, cannot be opened, or a newer version wrote it.
    """
    connection = open_to_read(path)
    try:
        connection.execute("BEGIN")  # one view, though a daemon may write meanwhile
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            return []
        _refuse_newer(path, version)
        damage = list(_damage(connection))
        # Rows of a damaged file say nothing about the rest of them.
        return damage or [*_events(connection), *_outbox(connection, max_age_s, now_s)]
    except sqlite3.OperationalError as error:
        if "no such" in str(error):  # column or table
            raise StorageError(
                f"{path}: an older edge-asd wrote it: start the daemon once, which brings it up "
                "to date"
            ) from error
        raise StorageError(f"{path}: {error}: try again, or stop the daemon") from error
    except sqlite3.DatabaseError as error:
        return [_damaged(str(error))]
    finally:
        connection.close()


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a file that may be damaged.

    Raises:
        StorageError: It is not there or cannot be opened.
    """
    if not path.exists():
        raise StorageError(f"{path}: nothing there: has a daemon run with this state directory?")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S
        )
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}: check who may read it") from error
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _refuse_newer(path: Path, version: int) -> None:
    if version > SCHEMA.version:
        raise StorageError(
            f"{path}: a newer edge-asd wrote it (schema {version}): upgrade this one"
        )


def _damaged(text: str) -> Finding:
    remedy = "stop the daemon and run: edge-asd outbox fsck --repair"
    return Finding("damaged", f"the file is damaged: {text}; {remedy}", repairable=True)


def _damage(connection: sqlite3.Connection) -> Iterator[Finding]:
    for (line,) in connection.execute(f"PRAGMA integrity_check({_SHOWN})"):
        if line != "ok":
            yield _damaged(line)
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield _damaged(f"row {row} of {table} belongs to nothing in {parent}")


def _events(connection: sqlite3.Connection) -> Iterator[Finding]:
    # Numbers below 1 are steps that a snooze held back: they were never published.
    query = (
        "SELECT monitor, MIN(events.seq), MAX(events.seq), COUNT(*), monitors.seq FROM events"
        " JOIN monitors ON monitors.name = monitor WHERE events.seq > 0 GROUP BY monitor"
    )
    for monitor, first, last, count, counter in connection.execute(query):
        if last - first + 1 != count:
            missing = ", ".join(_gaps(connection, monitor))
            yield Finding("gap", f"monitor {monitor}: no event has the numbers {missing}; lost")
        if counter < last:
            text = f"monitor {monitor}: counts from {counter}, but {last} was given"
            yield Finding("counter", f"{text}; numbers would be given twice", repairable=True)
    for number, monitor, seq, payload in connection.execute(
        "SELECT id, monitor, seq, payload FROM events ORDER BY id"
    ):
        if not _reads_as(payload, seq):
            yield Finding("unreadable", f"event {number}, monitor {monitor}, number {seq}")


def _gaps(connection: sqlite3.Connection, monitor: str) -> Iterator[str]:
    query = (
        "SELECT before + 1, seq - 1 FROM (SELECT seq, LAG(seq) OVER (ORDER BY seq) AS before"
        " FROM events WHERE monitor = ? AND seq > 0) WHERE seq > before + 1 LIMIT ?"
    )
    for first, last in connection.execute(query, (monitor, _SHOWN)):
        yield str(first) if first == last else f"{first} to {last}"


def _outbox(connection: sqlite3.Connection, max_age_s: float, now_s: float) -> Iterator[Finding]:
    query = (
        "SELECT outbox.id, class, outbox.monitor, outbox.seq, created_at, bytes, outbox.topic,"
        " outbox.payload, events.payload,"
        " (SELECT MIN(seq) FROM events WHERE monitor = outbox.monitor AND seq > 0)"
        " FROM outbox LEFT JOIN events"
        " ON events.monitor = outbox.monitor AND events.seq = outbox.seq ORDER BY outbox.id"
    )
    for row in connection.execute(query):
        number, row_class, monitor, seq, created_at, size, topic, payload, event, oldest = row
        name = f"message {number} ({row_class}, monitor {monitor}, number {seq})"
        if RowClass.of(row_class).value != row_class:
            yield _damaged(f"{name}: there is no such class")
        if row_class != RowClass.REPORT.value:
            # Events are forgotten oldest first, which may well be before they are delivered.
            if event is None and oldest is not None and seq > oldest:
                yield Finding(
                    "orphan", f"{name}: its event is missing; it is delivered all the same"
                )
            elif event is not None and event.encode() != payload:
                yield Finding(
                    "differs", f"{name}: is not what was stored; it is delivered as it is"
                )
            if not _reads_as(payload, seq):
                yield Finding("unreadable", f"{name}: is no event; it is delivered as it is")
        if size != len(topic.encode()) + len(payload):
            yield Finding("size", f"{name}: is not {size} bytes long", repairable=True)
        # What was written before the clock was set is dated when the next one is.
        if CLOCK_FLOOR_S <= created_at < now_s - max_age_s:
            days = (now_s - created_at) / _DAY_S
            yield Finding("old", f"{name}: waits for {days:.0f} days; the next message ends that")
        elif created_at > now_s + _DAY_S:
            yield Finding("future", f"{name}: is dated ahead of the clock: is the clock right?")


def _reads_as(payload: str | bytes, seq: int) -> bool:
    try:
        return parse_stored(payload).seq == max(0, seq)
    except ValueError:
        return False
