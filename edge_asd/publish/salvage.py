"""Repairs ``events.db`` while nobody else uses it; what can be read is kept, always."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_asd.database import KEEP_CORRUPT_FILES, Database
from edge_asd.errors import StorageError
from edge_asd.files import sync_folder
from edge_asd.publish.fsck import open_to_read
from edge_asd.publish.incoming import is_topic
from edge_asd.publish.outbox import RowClass
from edge_asd.publish.stored import parse_stored
from edge_asd.publish.tables import SCHEMA

_SIDES = ("-wal", "-shm")
# Numbers of rows are dense: how far to look beyond damage, in steps smaller than a page.
_FARTHEST = 1_000_000
_LEAF = 64


def mend(path: Path) -> None:
    """Set right what follows from other rows: counters and sizes.

    Raises:
        StorageError: The file cannot be written.
    """
    database = Database(path, SCHEMA)
    try:
        database.write(_mend)
    finally:
        database.close()


def salvage(path: Path, *, now_s: float) -> tuple[Path, dict[str, int]]:
    """Carry every row that can be read over into a new file; the damaged one is kept beside it.

    Args:
        path: The damaged file.
        now_s: Wall time, seconds since 1970 UTC.

    Returns:
        Where the damaged file is now, and how many rows of each table were saved.

    Raises:
        StorageError: The new file cannot be written; then the old one is still in its place.
    """
    fresh = _fresh(path)
    _remove(fresh)
    try:
        Database(fresh, SCHEMA, clock=lambda: now_s).close()
        with closing(open_to_read(path)) as old, closing(sqlite3.connect(fresh)) as new, new:
            saved = {table: _carry(old, new, table, now_s) for table in _tables(new)}
            _adopt(new)
            _mend(new)
        _sync(fresh)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
        aside = path.with_name(f"{path.name}.corrupt-{stamp}")
        for suffix in ("", *_SIDES):
            side = path.with_name(path.name + suffix)
            if side.exists():
                side.replace(aside.with_name(aside.name + suffix))
        fresh.replace(path)
        sync_folder(path.parent)
        for old_file in sorted(path.parent.glob(f"{path.name}.corrupt-*Z"))[:-KEEP_CORRUPT_FILES]:
            _remove(old_file)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{fresh}: {error}: make space, and check the disk") from error
    return aside, saved


def resume(path: Path) -> bool:
    """Put the file of a salvage in its place that was interrupted at the very end.

    Returns:
        Whether there was one.

    Raises:
        StorageError: It cannot be moved.
    """
    fresh = _fresh(path)
    if path.exists() or not fresh.exists():
        return False
    try:
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{fresh}: {error}: move it to {path.name} by hand") from error
    return True


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _tables(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [name for (name,) in connection.execute(query)]


def _carry(old: sqlite3.Connection, new: sqlite3.Connection, table: str, now_s: float) -> int:
    """Copy what can be read of a table; how many rows."""
    known = _columns(new, table)
    columns = [name for name in _columns(old, table) if name in known]
    if not columns:
        return 0
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - of a schema
    before = new.total_changes
    for row in _readable(old, table, names):
        values = dict(zip(columns, row, strict=True))
        if _fit(table, values, now_s):
            new.execute(insert, tuple(values.values()))
    return new.total_changes - before


def _fit(table: str, row: dict[str, Any], now_s: float) -> bool:
    """Set right what was spoiled within a row; False where nothing can be made of it."""
    if table == "monitors":
        opened = [column for column in row if column.startswith("open_")]
        row |= {column: row[column] if _reads(row[column]) else None for column in opened}
        return isinstance(row["name"], str) and isinstance(row["seq"], int)
    if table == "events":
        return isinstance(row["seq"], int) and _reads(row["payload"])
    if table == "outbox":
        row["class"] = RowClass.of(str(row["class"])).value
        row["retain"] = int(row["retain"] == 1)
        if not isinstance(row["created_at"], float):
            row["created_at"] = now_s
        usable = isinstance(row["topic"], str) and is_topic(row["topic"])
        event = row["class"] != RowClass.REPORT.value
        return usable and isinstance(row["seq"], int) and (not event or _reads(row["payload"]))
    return True


def _reads(payload: object) -> bool:
    try:
        return isinstance(payload, (str, bytes)) and bool(parse_stored(payload))
    except ValueError:
        return False


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    try:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    except sqlite3.Error:
        return []


def _readable(old: sqlite3.Connection, table: str, names: str) -> Iterator[tuple[Any, ...]]:
    """Rows from both ends towards the damage, and then whatever lies between."""
    query = f"SELECT rowid, {names} FROM {table} WHERE rowid BETWEEN ? AND ? ORDER BY rowid"  # noqa: S608 - of a schema
    low, high = -(2**63), 2**63 - 1
    for number, *row in _until_damage(old, query, low, high):
        yield tuple(row)
        low = number + 1
    for number, *row in _until_damage(old, f"{query} DESC", low, high):
        yield tuple(row)
        high = number - 1
    low, high = max(low, high - _FARTHEST), min(high, low + _FARTHEST)
    step = 1
    while low <= high:
        begin = low
        for number, *row in _until_damage(old, query, low, high):
            yield tuple(row)
            low = number + 1
        step = 1 if low > begin else min(2 * step, _LEAF)
        low += step


def _until_damage(
    old: sqlite3.Connection, query: str, low: int, high: int
) -> Iterator[tuple[Any, ...]]:
    try:
        yield from old.execute(query, (low, high))
    except (sqlite3.Error, OverflowError):
        return


def _adopt(connection: sqlite3.Connection) -> None:
    """Give events a monitor whose own row was lost."""
    for table in ("events", "outbox"):
        connection.execute(
            f"INSERT OR IGNORE INTO monitors (name, seq) SELECT DISTINCT monitor, 0 FROM {table}"  # noqa: S608 - constants
        )


def _mend(connection: sqlite3.Connection) -> None:
    connection.execute(
        "UPDATE monitors SET seq = MAX(seq,"
        " COALESCE((SELECT MAX(seq) FROM events WHERE monitor = name), 0),"
        " COALESCE((SELECT MAX(seq) FROM outbox WHERE monitor = name), 0))"
    )
    connection.execute(
        "UPDATE outbox SET bytes = LENGTH(CAST(topic AS BLOB)) + LENGTH(CAST(payload AS BLOB))"
    )


def _remove(path: Path) -> None:
    for suffix in ("", *_SIDES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
