"""Every step of every alert and of every microphone fault, kept and handed to the outbox with it.

The row of the event, the counter of its monitor, what is open and the row of the outbox are one
transaction: an event that was recorded is delivered, whatever dies in between.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from edge_asd.clock import rfc3339
from edge_asd.database import Database, has_table, restamp
from edge_asd.errors import StorageError
from edge_asd.operators.switches import SwitchTable
from edge_asd.publish.messages import EventMessage, MicrophoneMessage
from edge_asd.publish.outbox import Dropped, Message, Outbox, RowClass
from edge_asd.publish.receipts import Receipt
from edge_asd.publish.replay import Replayed, Span, replay
from edge_asd.publish.salvage import resume, salvage
from edge_asd.publish.stored import StoredMessage, parse_stored
from edge_asd.publish.tables import SCHEMA
from edge_asd.publish.topics import Topics
from edge_asd.records import EventType

FILE_NAME = "events.db"
_PRUNE_EVERY_S = 3600.0

logger = logging.getLogger(__name__)

M = TypeVar("M", EventMessage, MicrophoneMessage)


@dataclass(frozen=True, slots=True)
class Recorded(Generic[M]):
    """A message that is on the disk."""

    message: M
    """With its sequence number."""
    dropped: tuple[Dropped, ...]
    """What the outbox had to give up for it."""


class EventStore:
    """Events of all monitors; safe to use from every thread.

    Args:
        directory: The state directory.
        max_bytes: Bound of the outbox.
        max_age_s: Age at which the outbox gives a row up.
        keep_s: Age at which an event is forgotten.
        keep_events: Steps of alerts kept at most; the oldest are forgotten first.
        clock: Wall time, seconds since 1970 UTC.
        read_only: For commands that look while a daemon runs.

    Raises:
        StorageError: The file cannot be opened, or a newer version wrote it.
        ConfigError: A bound is not positive.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = 64 * 2**20,
        max_age_s: float = 30 * 86400.0,
        keep_s: float = 400 * 86400.0,
        keep_events: int = 100_000,
        clock: Callable[[], float] = time.time,
        read_only: bool = False,
    ) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._keep_events = keep_events
        path = directory / FILE_NAME
        if not read_only:
            resume(path)
        self._database = Database(
            path,
            SCHEMA,
            clock=clock,
            read_only=read_only,
            salvage=lambda path: salvage(path, now_s=clock())[0],
        )
        self.outbox = Outbox(self._database, max_bytes=max_bytes, max_age_s=max_age_s, clock=clock)
        self.switches = SwitchTable(self._database)
        self._prune_at = clock()

    @property
    def moved_aside(self) -> Path | None:
        """Where a damaged file went during this run; worth a health warning."""
        return self._database.moved_aside

    def record(
        self,
        message: EventMessage,
        *,
        monitor: str,
        topic: str | None,
        on_receipt: Receipt | None = None,
    ) -> Recorded[EventMessage]:
        """Store a step of an alert and queue it for delivery, both or neither.

        What is rehearsed leaves the alert that is open as it is, as ``open_rehearsal``.

        Args:
            message: The step; its ``seq`` is given here.
            monitor: Name of the monitor.
            topic: Where it will be published; None without MQTT.
            on_receipt: Called once the broker has it, unless this process ends before.

        Raises:
            StorageError: Nothing was stored.
        """
        column = "open_rehearsal" if message.rehearsal else "open_event"
        return self._stored(message, column, monitor, topic, on_receipt)

    def record_notice(
        self, message: MicrophoneMessage, *, monitor: str, topic: str | None
    ) -> Recorded[MicrophoneMessage]:
        """Store a step of a microphone fault and queue it, both or neither; as ``record``.

        The alert that is open stays as it is.

        Raises:
            StorageError: Nothing was stored.
        """
        column = "open_rehearsal" if message.rehearsal else "open_notice"
        return self._stored(message, column, monitor, topic)

    def open_event(self, monitor: str) -> EventMessage | None:
        """The last step of the alert that was going on, so that a restart goes on with its id.

        Raises:
            StorageError: It cannot be read.
        """
        found = self._open(monitor, "open_event")
        return found if isinstance(found, EventMessage) else None

    def open_notice(self, monitor: str) -> MicrophoneMessage | None:
        """The microphone fault that was going on, so that a restart can end it.

        Raises:
            StorageError: It cannot be read.
        """
        found = self._open(monitor, "open_notice")
        return found if isinstance(found, MicrophoneMessage) else None

    def open_rehearsals(self) -> list[StoredMessage]:
        """What rehearsals began and had not ended yet, so that a restart can end it.

        Raises:
            StorageError: It cannot be read.
        """
        query = "SELECT open_rehearsal FROM monitors WHERE open_rehearsal IS NOT NULL"
        rows = self._database.read(lambda c: c.execute(query).fetchall())
        return [self._parsed(payload) for (payload,) in rows]

    def events(self, since: float | None = None, limit: int | None = None) -> list[StoredMessage]:
        """Read steps of alerts and microphone faults in the order they were recorded.

        Args:
            since: Wall time; earlier steps are left out.
            limit: At most this many, the newest.

        Raises:
            StorageError: It cannot be read.
        """
        query = (
            "SELECT payload FROM (SELECT id, payload FROM events WHERE updated_at >= ?"
            " ORDER BY id DESC LIMIT ?) ORDER BY id"
        )
        bounds = ("" if since is None else rfc3339(since), -1 if limit is None else limit)

        def select(connection: sqlite3.Connection) -> list[tuple[str]]:
            exists = has_table(connection, "events")
            return connection.execute(query, bounds).fetchall() if exists else []

        return [self._parsed(payload) for (payload,) in self._database.read(select)]

    def replay(self, span: Span, topics: Topics, *, dry_run: bool) -> Replayed:
        """Have stored steps delivered once more, with the id and number that they had.

        Raises:
            DataError: They are too many, too large or cannot be read; then none is.
            StorageError: The file cannot be used.
        """
        again = self._database.write(
            lambda c: replay(c, span, topics, self.outbox, dry_run=dry_run)
        )
        self.outbox.announce(())
        return again

    def prune(self) -> int:
        """Forget what is older or more than is kept; ``record`` calls it now and then.

        Returns:
            How many steps were forgotten.

        Raises:
            StorageError: Nothing was deleted.
        """
        now_s = self._clock()
        self._prune_at = now_s

        def delete(connection: sqlite3.Connection) -> int:
            restamp(connection, "events", "recorded_at", now_s)
            return connection.execute(
                "DELETE FROM events WHERE recorded_at < ? OR id <="
                " (SELECT MAX(id) FROM events) - ?",
                (now_s - self._keep_s, self._keep_events),
            ).rowcount

        return self._database.write(delete)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._database.close()

    def _stored(
        self,
        message: M,
        column: str,
        monitor: str,
        topic: str | None,
        on_receipt: Receipt | None = None,
    ) -> Recorded[M]:
        recorded = self._database.write(lambda c: self._record(c, message, column, monitor, topic))
        if topic is not None:
            # Before the pump is woken; should it be awake, a receipt may be missed, nothing else.
            self.outbox.receipts.expect(monitor, recorded.message.seq, on_receipt)
            self.outbox.announce(recorded.dropped)
        if abs(self._clock() - self._prune_at) >= _PRUNE_EVERY_S:
            try:
                self.prune()
            except StorageError as error:  # the event itself is safe
                logger.warning("old events not pruned error=%s", error)
        return recorded

    def _record(
        self,
        connection: sqlite3.Connection,
        message: M,
        column: str,
        monitor: str,
        topic: str | None,
    ) -> Recorded[M]:
        held = isinstance(message, EventMessage) and message.held
        connection.execute(
            "INSERT INTO monitors (name, seq) VALUES (?1, ?2)"
            " ON CONFLICT (name) DO UPDATE SET seq = seq + ?2",
            (monitor, int(not held)),
        )
        (seq,) = connection.execute(
            "SELECT seq FROM monitors WHERE name = ?", (monitor,)
        ).fetchone()
        if held:  # it has no number: who listens must not think that a message was lost
            seq = _place_of_held(connection, monitor)
        final = message.model_copy(update={"seq": max(0, seq)})
        payload = final.to_json()
        ended = final.type is EventType.END
        connection.execute(
            f"UPDATE monitors SET {column} = ? WHERE name = ?",  # noqa: S608 - one of three constants
            (None if ended else payload.decode(), monitor),
        )
        connection.execute(
            "INSERT INTO events (monitor, seq, updated_at, recorded_at, payload)"
            " VALUES (?, ?, ?, ?, ?)",
            (monitor, seq, final.updated_at, self._clock(), payload.decode()),
        )
        if topic is None:
            return Recorded(final, ())
        row_class = RowClass(f"event_{final.type.value}")
        outgoing = Message(topic, payload, row_class, monitor=monitor, seq=seq)
        return Recorded(final, self.outbox.insert(connection, outgoing))

    def _open(self, monitor: str, column: str) -> StoredMessage | None:
        query = f"SELECT {column} FROM monitors WHERE name = ?"  # noqa: S608 - one of three constants
        row = self._database.read(lambda c: c.execute(query, (monitor,)).fetchone())
        return None if row is None or row[0] is None else self._parsed(row[0])

    def _parsed(self, payload: str) -> StoredMessage:
        try:
            return parse_stored(payload)
        except ValueError as error:
            raise StorageError(
                f"{self._database.path}: an event in it cannot be read: upgrade edge-asd, or move "
                "the file away to start afresh"
            ) from error


def _place_of_held(connection: sqlite3.Connection, monitor: str) -> int:
    """Where a step that is held back goes in the table: below all that were published."""
    query = "SELECT MIN(seq) FROM events WHERE monitor = ?"
    (lowest,) = connection.execute(query, (monitor,)).fetchone()
    return min(lowest or 0, 0) - 1
