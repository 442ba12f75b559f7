"""SQLite files that survive SIGKILL and power loss, and say so when they cannot.

WAL with ``synchronous=FULL``: a committed transaction is on the disk. Transactions are explicit
(``isolation_level=None`` switches off Python's own). One connection serves all threads of the
process behind one lock; other processes may read the file at the same time. What is in a file is
its `Schema`; a file of an older version is brought up to date when it is opened for writing.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from edge_asd.clock import CLOCK_FLOOR_S
from edge_asd.errors import StorageError

logger = logging.getLogger(__name__)

T = TypeVar("T")
Action = Callable[[sqlite3.Connection], T]

BUSY_TIMEOUT_S = 5.0
KEEP_CORRUPT_FILES = 3


def _nothing(connection: sqlite3.Connection, now_s: float) -> None:
    """A new file starts empty."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What is in a file, and how the file of an older version becomes that."""

    version: int
    """Counts up from 1 with every change."""
    statements: tuple[str, ...]
    """Make the tables of a new file, as of this version."""
    holds: str
    """What is lost with a damaged file, for the log: ``unsent messages``."""
    migrations: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Statements that bring a file from version n, the key, to n + 1; every older one has some."""
    seed: Callable[[sqlite3.Connection, float], None] = _nothing
    """Fills a new file, given the wall time; part of the transaction that makes the tables."""

    def __post_init__(self) -> None:
        if set(self.migrations) != set(range(1, self.version)):
            raise ValueError(f"version {self.version} has migrations of {sorted(self.migrations)}")


class _CorruptError(Exception):
    """The file is not what SQLite wrote."""


class Database:
    """A transactional file, safe to use from every thread of the process.

    A damaged file is moved aside as ``<name>.corrupt-<time>``, loudly, and a fresh one started,
    with what can be read of the old one if it can be salvaged: monitoring goes on.

    Args:
        path: The file; its folder must exist.
        schema: What is in it.
        clock: Wall time, seconds since 1970 UTC.
        read_only: Look only: never creates, repairs or moves anything.
        salvage: Puts a new file with all that can be read in place of a damaged one, and says where
            that went; without it, or where it fails, the new file is empty.

    Raises:
        StorageError: It cannot be opened, or a newer version wrote it.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        *,
        clock: Callable[[], float] = time.time,
        read_only: bool = False,
        salvage: Callable[[Path], Path] | None = None,
    ) -> None:
        self.path = path
        self.schema = schema
        self.moved_aside: Path | None = None
        """Where a damaged file went during this run."""
        self._clock = clock
        self._read_only = read_only
        self._salvage = salvage
        self._lock = threading.RLock()
        self._damage: _CorruptError | None = None
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
            self._repair()
            try:
                return self._transaction(begin, action)
            except _CorruptError as error:
                self._damage = error
                self._connection.close()
            self._repair()
            try:
                return self._transaction(begin, action)
            except _CorruptError as error:
                raise StorageError(
                    f"{self.path}: damaged again at once ({error}): replace the disk"
                ) from error

    def _repair(self) -> None:
        """Replace a damaged file, again and again until the disk lets us."""
        if self._damage is not None:
            self._connection = self._replaced(self._damage)
            self._damage = None

    def _replaced(self, damage: _CorruptError) -> sqlite3.Connection:
        """Start afresh beside the damaged file."""
        if self._read_only:
            raise StorageError(
                f"{self.path}: damaged ({damage}): start the daemon, which moves it aside"
            ) from damage
        if not self._salvaged(damage):
            self._move_aside(str(damage))
        try:
            return self._open()
        except _CorruptError as error:
            raise StorageError(
                f"{self.path}: damaged again at once ({error}): replace the disk"
            ) from error

    def _salvaged(self, damage: _CorruptError) -> bool:
        """Whether a file with everything that could be read took the place of the damaged one."""
        if self._salvage is None:
            return False
        try:
            self.moved_aside = self._salvage(self.path)
        except StorageError as error:
            logger.error("database cannot be salvaged error=%s", error)  # noqa: TRY400 - expected
            return False
        logger.error(
            "database damaged, some %s may be lost; goes on with what could be read "
            "path=%s moved_to=%s error=%s",
            self.schema.holds,
            self.path,
            self.moved_aside,
            damage,
        )
        return True

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
        if version > self.schema.version:
            raise StorageError(
                f"{self.path}: schema {version} was written by a newer edge-asd, this one knows "
                f"{self.schema.version}: upgrade edge-asd, or move the file away to start afresh"
            )
        if self._read_only:
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        if version == 0:
            self._create(connection)
        else:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise _CorruptError(verdict)
            self._migrate(connection, version)
        # Not before: a migration may have to rebuild a table that others refer to.
        connection.execute("PRAGMA foreign_keys = ON")

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for statement in self.schema.statements:
            connection.execute(statement)
        self.schema.seed(connection, self._clock())
        self._finish(connection)

    def _migrate(self, connection: sqlite3.Connection, version: int) -> None:
        """Bring an older file up to date, all of it or, whatever dies in between, nothing."""
        if version == self.schema.version:
            return
        connection.execute("BEGIN IMMEDIATE")
        for older in range(version, self.schema.version):
            for statement in self.schema.migrations[older]:
                connection.execute(statement)
        self._finish(connection)
        logger.info(
            "database brought up to date path=%s from=%d to=%d",
            self.path,
            version,
            self.schema.version,
        )

    def _finish(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA user_version = {self.schema.version}")
        connection.execute("COMMIT")

    def _move_aside(self, why: str) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        target = self.path.with_name(f"{self.path.name}.corrupt-{stamp}")
        if not self.path.exists():  # it went there before, and then nothing could be made anew
            return
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
            "database damaged, %s in it are lost; moved aside and started afresh "
            "path=%s moved_to=%s error=%s",
            self.schema.holds,
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
    ("no such", "an older edge-asd wrote it: start the daemon once, which brings it up to date"),
    ("disk I/O error", "check the disk, for example with smartctl and in the kernel's log"),
)


def has_table(connection: sqlite3.Connection, table: str) -> bool:
    """Whether the tables are there: a reader may look in before the daemon has made them."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (table,)).fetchone() is not None


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
