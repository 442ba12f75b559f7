"""Stored events sent once more: under the same id and number, so that subscribers can tell."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from edge_asd.clock import rfc3339
from edge_asd.errors import DataError
from edge_asd.publish.messages import EventMessage
from edge_asd.publish.outbox import Message, Outbox, RowClass
from edge_asd.publish.stored import StoredMessage, parse_stored
from edge_asd.publish.topics import Topics

MAX_MESSAGES = 10_000
"""Sent again at once, at most; some 10 MB."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which events; what is None does not matter."""

    since: float | None = None
    """Wall time of the first, seconds since 1970 UTC."""
    until: float | None = None
    """Wall time before which the last was."""
    event_id: str | None = None
    """One alert or microphone fault, all its steps."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What is sent again."""

    messages: int
    alerts: int
    """Alerts and microphone faults that they belong to."""
    waiting: int
    """Messages of the span that wait for their first delivery and are left as they are."""


def replay(
    connection: sqlite3.Connection, span: Span, topics: Topics, outbox: Outbox, *, dry_run: bool
) -> Replayed:
    """Put what was stored into the outbox, within the caller's transaction.

    Args:
        connection: The database of both.
        span: Which events.
        topics: Where they are published.
        outbox: Its bound must not push out what was never delivered.
        dry_run: Only say how many.

    Raises:
        DataError: They are too many, too large or cannot be read.
    """
    waiting = set(connection.execute("SELECT monitor, seq FROM outbox"))
    found = list(_found(connection, span))
    fresh = [(name, m) for name, m in found if (name, m.seq) not in waiting]
    if len(fresh) > MAX_MESSAGES:
        raise DataError(
            f"{len(fresh)} messages are more than the {MAX_MESSAGES} that are sent again at once: "
            "choose a shorter span"
        )
    messages = [_message(name, m, topics) for name, m in fresh]
    if messages and not dry_run:
        outbox.insert_again(connection, messages)
    return Replayed(
        messages=len(fresh),
        alerts=len({m.id for _, m in fresh}),
        waiting=len(found) - len(fresh),
    )


def _found(connection: sqlite3.Connection, span: Span) -> Iterator[tuple[str, StoredMessage]]:
    query = (
        "SELECT monitor, payload FROM events WHERE updated_at >= ? AND updated_at < ? AND seq > 0"
        " ORDER BY id"
    )
    bounds = (
        "" if span.since is None else rfc3339(span.since),
        "~" if span.until is None else rfc3339(span.until),  # sorts behind every time
    )
    for monitor, payload in connection.execute(query, bounds):
        if span.event_id is not None and span.event_id not in payload:
            continue  # cheaper than to read it
        try:
            message = parse_stored(payload)
        except ValueError as error:
            raise DataError("an event cannot be read: edge-asd outbox fsck says which") from error
        if span.event_id in (None, message.id):
            yield monitor, message


def _message(monitor: str, message: StoredMessage, topics: Topics) -> Message:
    alert = isinstance(message, EventMessage)
    return Message(
        topics.event(monitor) if alert else topics.microphone(monitor),
        message.to_json(),
        RowClass(f"event_{message.type.value}"),
        monitor=monitor,
        seq=message.seq,
    )
