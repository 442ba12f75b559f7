"""What evidence there is, in SQLite: what is reserved, kept or left over, and why there is none.

The folders are the truth; the index is rebuilt from them at every start. Only the reservations of a
running daemon and why an alert has no evidence are known here alone.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edge_asd.database import Database, Schema, has_table, restamp
from edge_asd.evidence.records import Absence, EvidenceRecord, Kept, KeptFile
from edge_asd.evidence.scan import INDEX_NAME
from edge_asd.records import Severity

MAX_ABSENCES = 10_000

SCHEMA = Schema(
    version=1,
    holds="why alerts have no evidence",
    statements=(
        """CREATE TABLE evidence (
            event_id TEXT PRIMARY KEY,
            stage TEXT NOT NULL CHECK (stage IN ('reserved', 'kept', 'deleting')),
            monitor TEXT NOT NULL,
            device TEXT NOT NULL,
            folder TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            started_at REAL NOT NULL,
            created_at REAL NOT NULL,
            severity TEXT NOT NULL,
            score REAL,
            provisional INTEGER NOT NULL,
            files TEXT NOT NULL
        )""",
        """CREATE TABLE absent (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            event_id TEXT NOT NULL UNIQUE,
            at REAL NOT NULL,
            text TEXT NOT NULL
        )""",
    ),
)

_COLUMNS = (
    "event_id, stage, monitor, device, folder, bytes, started_at, created_at, severity, score, "
    "provisional, files"
)
_UPSERT = (
    f"INSERT INTO evidence ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (event_id) DO UPDATE SET stage = excluded.stage, folder = excluded.folder,"
    " bytes = excluded.bytes, files = excluded.files"
    # created_at stays: it may have been corrected once the clock was set
)


class Stage(str, Enum):
    """Where a piece of evidence is in its life."""

    RESERVED = "reserved"
    KEPT = "kept"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row."""

    stage: Stage
    folder: Path
    """Relative to the root."""
    kept: Kept
    """``pinned`` is not known here: the folder says it."""


class Index:
    """The index of one folder of evidence; safe to use from every thread.

    Args:
        root: The folder of all evidence.
        clock: Wall time, seconds since 1970 UTC.
        read_only: For commands that look while a daemon runs.

    Raises:
        StorageError: It cannot be opened, or a newer version wrote it.
    """

    def __init__(
        self, root: Path, *, clock: Callable[[], float] = time.time, read_only: bool = False
    ) -> None:
        self._root = root
        self._clock = clock
        self._database = Database(root / INDEX_NAME, SCHEMA, clock=clock, read_only=read_only)

    @property
    def moved_aside(self) -> Path | None:
        """Where a damaged file went; when this changes, the index must be rebuilt."""
        return self._database.moved_aside

    def entries(self) -> list[Entry]:
        """Every row, oldest first.

        Raises:
            StorageError: It cannot be read.
        """
        query = f"SELECT {_COLUMNS} FROM evidence ORDER BY created_at, event_id"  # noqa: S608

        def select(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
            exists = has_table(connection, "evidence")
            return connection.execute(query).fetchall() if exists else []

        return [self._entry(row) for row in self._database.read(select)]

    def reserve(self, record: EvidenceRecord, folder: Path, size: int) -> None:
        """Count ``size`` bytes before they are written.

        Raises:
            StorageError: Nothing was reserved.
        """
        kept = Kept(record, self._root / folder, {}, size)
        self._database.write(lambda c: self._put(c, Entry(Stage.RESERVED, folder, kept)))

    def keep(self, kept: Kept) -> None:
        """Evidence is on the disk.

        Raises:
            StorageError: Nothing changed.
        """

        def write(connection: sqlite3.Connection) -> None:
            folder = kept.folder.relative_to(self._root)
            self._put(connection, Entry(Stage.KEPT, folder, kept))
            connection.execute("DELETE FROM absent WHERE event_id = ?", (kept.record.event_id,))

        self._database.write(write)

    def leave_over(self, entry: Entry, size: int) -> None:
        """Evidence whose deletion could not be finished still takes ``size`` bytes.

        Raises:
            StorageError: Nothing changed.
        """
        kept = entry.kept
        rest = Kept(kept.record, kept.folder, kept.files, size)
        self._database.write(lambda c: self._put(c, Entry(Stage.DELETING, entry.folder, rest)))

    def drop(self, event_id: str, why: str = "") -> None:
        """Forget evidence; ``why`` is remembered in its stead.

        Raises:
            StorageError: Nothing changed.
        """

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM evidence WHERE event_id = ?", (event_id,))
            if why:
                self._note(connection, event_id, why)

        self._database.write(write)

    def note(self, event_id: str, why: str) -> None:
        """Remember why an alert has no evidence.

        Raises:
            StorageError: Nothing was stored.
        """
        self._database.write(lambda c: self._note(c, event_id, why))

    def absence(self, event_id: str) -> Absence | None:
        """Why an alert has no evidence, if that is known.

        Raises:
            StorageError: It cannot be read.
        """
        query = "SELECT event_id, at, text FROM absent WHERE event_id = ?"

        def select(connection: sqlite3.Connection) -> tuple[str, float, str] | None:
            if not has_table(connection, "absent"):
                return None
            row: tuple[str, float, str] | None = connection.execute(query, (event_id,)).fetchone()
            return row

        row = self._database.read(select)
        return None if row is None else Absence(*row)

    def replace(self, entries: Iterable[Entry], forget: Iterable[str]) -> None:
        """Take in what the folders say.

        Args:
            entries: What is there.
            forget: Ids of what is not.

        Raises:
            StorageError: Nothing changed.
        """
        entries, forget = list(entries), list(forget)

        def write(connection: sqlite3.Connection) -> None:
            for event_id in forget:
                connection.execute("DELETE FROM evidence WHERE event_id = ?", (event_id,))
            for entry in entries:
                self._put(connection, entry)

        self._database.write(write)

    def correct_times(self) -> None:
        """Date what was kept before the clock was set as of now.

        Raises:
            StorageError: Nothing changed.
        """
        self._database.write(lambda c: restamp(c, "evidence", "created_at", self._clock()))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._database.close()

    def _note(self, connection: sqlite3.Connection, event_id: str, why: str) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO absent (event_id, at, text) VALUES (?, ?, ?)",
            (event_id, self._clock(), why),
        )
        connection.execute(
            "DELETE FROM absent WHERE id <= (SELECT MAX(id) FROM absent) - ?", (MAX_ABSENCES,)
        )

    @staticmethod
    def _put(connection: sqlite3.Connection, entry: Entry) -> None:
        kept, record = entry.kept, entry.kept.record
        files = {name: [file.bytes, file.sha256] for name, file in kept.files.items()}
        connection.execute(
            _UPSERT,
            (
                record.event_id,
                entry.stage.value,
                record.monitor,
                record.device,
                entry.folder.as_posix(),
                kept.bytes,
                record.started_at,
                record.created_at,
                record.severity.value,
                record.score if math.isfinite(record.score) else None,
                record.provisional,
                json.dumps(files),
            ),
        )

    def _entry(self, row: tuple[object, ...]) -> Entry:
        (event_id, stage, monitor, device, folder, size, began, made, severity, score, *rest) = row
        provisional, files = rest
        record = EvidenceRecord(
            event_id=str(event_id),
            monitor=str(monitor),
            device=str(device),
            started_at=float(str(began)),
            created_at=float(str(made)),
            severity=Severity(severity),
            score=math.nan if score is None else float(str(score)),
            provisional=bool(provisional),
        )
        named = {
            name: KeptFile(name, length, digest)
            for name, (length, digest) in json.loads(str(files)).items()
        }
        kept = Kept(record, self._root / str(folder), named, int(str(size)))
        return Entry(Stage(stage), Path(str(folder)), kept)
