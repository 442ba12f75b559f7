"""One SQLite file that survives SIGKILL and power loss, and says so when it cannot.

WAL with ``synchronous=FULL``: a committed transaction is on the disk. Transactions are explicit
(``isolation_level=None`` switches off Python's own). One connection serves all threads of the
process behind one lock; other processes may read the file at the same time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge_asd.clock import CLOCK_FLOOR_S
from edge_asd.errors import StorageError

logger = logging.getLogger(__name__)

T = TypeVar("T")
Action = Callable[[sqlite3.Connection], T]

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 5.0
KEEP_CORRUPT_FILES = 3

_SCHEMA = (
    """CREATE TABLE monitors (
        name TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        open_event TEXT
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
)


class _CorruptError(Exception):
    """The file is not what SQLite wrote."""


class Database:
    """A transactional file, safe to use from every thread of the process.

    A damaged file is moved aside as ``<name>.corrupt-<time>``, loudly, and a fresh one started:
    monitoring and new alerts matter more than old ones.

    Args:
        path: The file; its folder must exist.
        clock: Wall time, seconds since 1970 UTC.
        read_only: Look only: never creates, repairs or moves anything.

    Raises:
        StorageError: It cannot be opened, or a newer version wrote it.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.time, read_only: bool = False
    ) -> None:
        self.path = path
        self.moved_aside: Path | None = None
        """Where a damaged file went during this run."""
        self._clock = clock
        self._read_only = read_only
        self._lock = threading.RLock()
        try:
            self._connection = self._open()
        except _CorruptError as error:
            self._connection = self._replaced(error)

    def read(self, action: Action[T]) -> T:
        """Run ``action`` on one consistent view.

        Raises:
            StorageError: The file cannot be read.
        """
        return self._run("BEGIN", action)

    def write(self, action: Action[T]) -> T:
        """Run ``action`` as one transaction: on return it is on the disk, else nothing happened.

        ``action`` may run twice, when the file turns out to be damaged the first time.

        Raises:
            StorageError: The file cannot be written.
        """
        return self._run("BEGIN IMMEDIATE", action)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            self._connection.close()

    def _run(self, begin: str, action: Action[T]) -> T:
        with self._lock:
            try:
                return self._transaction(begin, action)
            except _CorruptError as error:
                self._connection.close()
                self._connection = self._replaced(error)
            try:
                return self._transaction(begin, action)
            except _CorruptError as error:
                raise StorageError(
                    f"{self.path}: damaged again at once ({error}): replace the disk"
                ) from error

    def _replaced(self, damage: _CorruptError) -> sqlite3.Connection:
        """Start afresh beside the damaged file."""
        if self._read_only:
            raise StorageError(
                f"{self.path}: damaged ({damage}): start the daemon, which moves it aside"
            ) from damage
        self._move_aside(str(damage))
        try:
            return self._open()
        except _CorruptError as error:
            raise StorageError(
                f"{self.path}: damaged again at once ({error}): replace the disk"
            ) from error

    def _transaction(self, begin: str, action: Action[T]) -> T:
        connection = self._connection
        try:
            connection.execute(begin)
            try:
                result = action(connection)
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after a full disk or an I/O error.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._translated(error) from error
        return result

    def _open(self) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rwc"
        try:
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise self._translated(error) from error
        try:
            self._prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            raise self._translated(error) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StorageError(
                f"{self.path}: schema {version} was written by a newer edge-asd, this one knows "
                f"{SCHEMA_VERSION}: upgrade edge-asd, or move the file away to start afresh"
            )
        if self._read_only:
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        if version == 0:
            self._create(connection)
            return
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _CorruptError(verdict)

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        # Ids must not start over after a damaged file was replaced: an acknowledgement that is
        # still under way for an old row would delete a new one.
        base = max(1, int(self._clock() * 1e6))
        connection.execute("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", (base,))
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")

    def _move_aside(self, why: str) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        target = self.path.with_name(f"{self.path.name}.corrupt-{stamp}")
        try:
            self.path.replace(target)
            for suffix in ("-wal", "-shm"):
                side = self.path.with_name(self.path.name + suffix)
                if side.exists():
                    side.replace(target.with_name(target.name + suffix))
            older = sorted(self.path.parent.glob(f"{self.path.name}.corrupt-*Z"))
            for path in older[:-KEEP_CORRUPT_FILES]:
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.path}: damaged ({why}) and cannot be moved aside: {error.strerror}: "
                "move it away by hand"
            ) from error
        self.moved_aside = target
        logger.error(
            "database damaged, unsent messages in it are lost; moved aside and started afresh "
            "path=%s moved_to=%s error=%s",
            self.path,
            target,
            why,
        )

    def _translated(self, error: sqlite3.Error) -> Exception:
        """Say what SQLite's error means for the operator."""
        text = str(error)
        if "malformed" in text or "not a database" in text:
            return _CorruptError(text)
        remedy = "check the state directory and its disk"
        for symptom, cure in _REMEDIES:
            if symptom in text:
                remedy = cure
        return StorageError(f"{self.path}: {text}: {remedy}")


_REMEDIES = (
    ("disk is full", "free space on its file system; until then nothing more can be stored"),
    ("locked", "another process holds it: stop the other edge-asd"),
    ("readonly", "make it writable for the user that runs edge-asd"),
    ("unable to open", "check that its folder exists and belongs to the user that runs edge-asd"),
    ("disk I/O error", "check the disk, for example with smartctl and in the kernel's log"),
)


def restamp(connection: sqlite3.Connection, table: str, column: str, now_s: float) -> None:
    """Give rows that were written before the clock was set the present time.

    Without it, the first synchronisation of a board without a battery would make everything that
    it recorded look fifty years old, and age limits would delete it.
    """
    if now_s >= CLOCK_FLOOR_S:
        connection.execute(
            f"UPDATE {table} SET {column} = ? WHERE {column} < ?",  # noqa: S608 - constants
            (now_s, CLOCK_FLOOR_S),
        )
