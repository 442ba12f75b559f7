"""Messages that must reach the broker, in order, until it says that it has them.

Promise: at least once, in order per monitor, bounded by size and age. On overflow the oldest report
goes first, then the oldest ``update`` of an alert; ``new`` and ``end`` go only when they alone
exceed the bound. Every loss is counted, logged, returned and told by the health check ``outbox``.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from edge_asd.database import Database, has_table, restamp
from edge_asd.errors import ConfigError, DataError
from edge_asd.publish.receipts import Receipts
from edge_asd.publish.rows import (
    Dropped,
    DropReason,
    Losses,
    Message,
    Row,
    RowClass,
    Stats,
    Waiting,
)

__all__ = [
    "DropReason",
    "Dropped",
    "Losses",
    "Message",
    "Outbox",
    "Row",
    "RowClass",
    "Stats",
    "Waiting",
]

logger = logging.getLogger(__name__)


# In this order rows are given up; within a group the oldest first.
_VICTIMS = (
    (RowClass.REPORT,),
    (RowClass.EVENT_UPDATE,),
    (RowClass.EVENT_NEW, RowClass.EVENT_END),
)


class Outbox:
    """The queue of one database; safe to use from every thread.

    Args:
        database: Where the rows lie.
        max_bytes: Bound on topics and payloads together.
        max_age_s: Rows older than this are given up.
        clock: Wall time, seconds since 1970 UTC.

    Raises:
        ConfigError: A bound is not positive.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_bytes: int = 64 * 2**20,
        max_age_s: float = 30 * 86400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_bytes <= 0 or max_age_s <= 0:
            raise ConfigError(
                f"outbox bounds must be positive, got {max_bytes} bytes and {max_age_s} s"
            )
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s
        self.on_put: Callable[[], None] = _nothing
        """Called after a row was committed, by the thread that put it."""
        self.receipts = Receipts()
        """Who wants to know when the broker has a message."""
        self.losses = Losses()
        """Replaced with every loss, never changed."""
        self._database = database
        self._clock = clock

    def put(self, message: Message) -> tuple[Dropped, ...]:
        """Store a message.

        Returns:
            What had to be given up for it, itself included.

        Raises:
            StorageError: It could not be stored.
        """
        dropped = self._database.write(lambda connection: self.insert(connection, message))
        self.announce(dropped)
        return dropped

    def insert(self, connection: sqlite3.Connection, message: Message) -> tuple[Dropped, ...]:
        """Store a message within the caller's transaction; ``announce`` must follow its commit."""
        now_s = self._clock()
        _insert(connection, message, now_s)
        restamp(connection, "outbox", "created_at", now_s)
        losses: Counter[tuple[RowClass, DropReason]] = Counter()
        too_old = connection.execute(
            "SELECT id, class FROM outbox WHERE created_at < ?", (now_s - self.max_age_s,)
        ).fetchall()
        _drop(connection, too_old, DropReason.AGE, losses)
        _drop(connection, list(self._over_size(connection)), DropReason.SIZE, losses)
        return tuple(Dropped(c, reason, count) for (c, reason), count in losses.items())

    def insert_again(self, connection: sqlite3.Connection, messages: Sequence[Message]) -> None:
        """Store messages that were delivered before, within the caller's transaction.

        Raises:
            DataError: Others that never were delivered would have to go for them.
        """
        (present,) = connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM outbox").fetchone()
        size, room = sum(map(_size, messages)), self.max_bytes - present
        if size > room:
            raise DataError(
                f"{len(messages)} messages take {size / 2**20:.1f} MB, the outbox has room for "
                f"{room / 2**20:.1f}: choose a shorter span, or raise outbox.max_mb"
            )
        now_s = self._clock()
        for message in messages:
            _insert(connection, message, now_s)

    def announce(self, dropped: Iterable[Dropped]) -> None:
        """Log losses and wake whoever empties the outbox."""
        for loss in dropped:
            logger.error(
                "outbox overflow, messages given up class=%s reason=%s count=%d",
                loss.row_class.value,
                loss.reason.value,
                loss.count,
            )
            counts = Counter(self.losses.counts) + Counter({loss.row_class: loss.count})
            self.losses = Losses(counts, time.monotonic())
        self.on_put()

    def remaining_s(self, row: Row) -> float:
        """How long a row may still wait."""
        return max(0.0, row.created_at + self.max_age_s - self._clock())

    def head(self, limit: int, *, skip_topics: Iterable[str] = ()) -> list[Row]:
        """Oldest rows first, leaving out some topics.

        Raises:
            StorageError: It cannot be read.
        """
        skipped = tuple(skip_topics)
        marks = ", ".join("?" * len(skipped))
        query = (
            "SELECT id, topic, payload, retain, class, monitor, seq, created_at FROM outbox"  # noqa: S608 - only marks are inserted
            f" WHERE topic NOT IN ({marks}) ORDER BY id LIMIT ?"
        )
        rows = self._database.read(lambda c: c.execute(query, (*skipped, limit)).fetchall())
        return [
            Row(
                id=number,
                message=Message(
                    topic=topic,
                    payload=payload,
                    row_class=RowClass.of(row_class),
                    monitor=monitor,
                    seq=seq,
                    retain=bool(retain),
                ),
                created_at=created_at,
            )
            for number, topic, payload, retain, row_class, monitor, seq, created_at in rows
        ]

    def waiting(self) -> Iterator[Waiting]:
        """Everything that waits, oldest first, without its payload.

        Raises:
            StorageError: It cannot be read.
        """
        query = "SELECT id, class, monitor, seq, topic, created_at, bytes FROM outbox ORDER BY id"

        def select(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            exists = has_table(connection, "outbox")
            return connection.execute(query).fetchall() if exists else []

        for number, row_class, monitor, seq, topic, created_at, size in self._database.read(select):
            yield Waiting(number, RowClass.of(row_class), monitor, seq, topic, created_at, size)

    def ack(self, *ids: int) -> None:
        """Delete rows that the broker has; an unknown id is fine.

        Raises:
            StorageError: They could not be deleted and will be sent again.
        """
        self._database.write(
            lambda c: c.executemany("DELETE FROM outbox WHERE id = ?", [(i,) for i in ids])
        )

    def stats(self) -> Stats:
        """Count what waits.

        Raises:
            StorageError: It cannot be read.
        """
        query = "SELECT COUNT(*), COALESCE(SUM(bytes), 0), MIN(created_at) FROM outbox"
        return Stats(*self._database.read(lambda c: c.execute(query).fetchone()))

    def _over_size(self, connection: sqlite3.Connection) -> Iterator[tuple[int, str]]:
        """Rows to give up until the rest fits, the least valuable first."""
        (total,) = connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM outbox").fetchone()
        excess = total - self.max_bytes
        for group in _VICTIMS:
            if excess <= 0:
                return
            marks = ", ".join("?" * len(group))
            query = f"SELECT id, class, bytes FROM outbox WHERE class IN ({marks}) ORDER BY id"  # noqa: S608 - only marks are inserted
            for number, row_class, size in connection.execute(query, [c.value for c in group]):
                if excess <= 0:
                    return
                excess -= size
                yield number, row_class


def _insert(connection: sqlite3.Connection, message: Message, now_s: float) -> None:
    connection.execute(
        "INSERT INTO outbox (topic, payload, retain, class, monitor, seq, created_at, bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.topic,
            message.payload,
            int(message.retain),
            message.row_class.value,
            message.monitor,
            message.seq,
            now_s,
            _size(message),
        ),
    )


def _size(message: Message) -> int:
    return len(message.topic.encode()) + len(message.payload)


def _drop(
    connection: sqlite3.Connection,
    rows: list[tuple[int, str]],
    reason: DropReason,
    losses: Counter[tuple[RowClass, DropReason]],
) -> None:
    connection.executemany("DELETE FROM outbox WHERE id = ?", [(number,) for number, _ in rows])
    losses.update((RowClass.of(row_class), reason) for _, row_class in rows)


def _nothing() -> None:
    """Nobody empties the outbox."""
