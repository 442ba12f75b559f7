"""Messages that must not be lost, on their way to the disk: kept while the disk refuses them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable

from edge_asd.errors import StorageError
from edge_asd.health import Health, HealthBoard
from edge_asd.publish.messages import EventMessage, MicrophoneMessage
from edge_asd.publish.outbox import Dropped, DropReason, RowClass
from edge_asd.publish.receipts import Receipt
from edge_asd.publish.store import EventStore, Recorded
from edge_asd.publish.topics import Topics
from edge_asd.records import EventType

logger = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""Messages that wait for the disk at most, some 1 kB each."""

Kept = EventMessage | MicrophoneMessage
AnyRecorded = Recorded[EventMessage] | Recorded[MicrophoneMessage]


class EventLog:
    """Alerts and notices in order, stored as soon as the disk takes them; used by one thread.

    Where the disk refuses for so long that too many wait, the oldest updates are only logged, and
    counted, before anything that begins or ends an alert.

    Args:
        store: Where they are kept.
        topics: Where they are published; None without MQTT.
        health: The board of checks.
        stored: Told of everything that is on the disk.
        lost: Told of what was only logged.
    """

    def __init__(
        self,
        store: EventStore,
        topics: Topics | None,
        health: HealthBoard,
        stored: Callable[[AnyRecorded], None],
        lost: Callable[[Iterable[Dropped]], None],
    ) -> None:
        self._store, self._topics, self._health = store, topics, health
        self._told, self._lost = stored, lost
        self.dropped = 0
        """Messages that were only logged because too many waited."""
        self._waiting: deque[tuple[str, Kept, Receipt | None]] = deque()
        self._fine()

    @property
    def waiting(self) -> int:
        """Messages that the disk has not taken."""
        return len(self._waiting)

    def publish_under(self, topics: Topics | None) -> None:
        """Publish what comes from now on there; None without MQTT."""
        self._topics = topics

    def add(self, monitor: str, message: Kept, on_receipt: Receipt | None = None) -> None:
        """Store a message, after all that wait; ``on_receipt``: the broker has this event."""
        self._waiting.append((monitor, message, on_receipt))
        self.retry()
        if len(self._waiting) > MAX_WAITING:
            self._drop()

    def retry(self) -> None:
        """Store what the disk refused before, oldest first."""
        while self._waiting:
            try:
                recorded = self._record(*self._waiting[0])
            except StorageError as error:
                lost = f"; {self.dropped} only in the log" if self.dropped else ""
                self._health.set("events", Health.CRITICAL, f"{error}{lost}")
                return
            self._waiting.popleft()
            self._fine()
            self._told(recorded)

    def give_up(self) -> None:
        """Write to the log what the disk refuses to the last."""
        for monitor, message, _ in self._waiting:
            _only_log(monitor, message)
        self._waiting.clear()

    def _drop(self) -> None:
        updates = (i for i, (_, m, _) in enumerate(self._waiting) if m.type is EventType.UPDATE)
        at = next(updates, 0)
        monitor, message, _ = self._waiting[at]
        _only_log(monitor, message)
        del self._waiting[at]
        self.dropped += 1
        self._lost([Dropped(RowClass(f"event_{message.type.value}"), DropReason.DISK, 1)])

    def _record(self, monitor: str, message: Kept, on_receipt: Receipt | None) -> AnyRecorded:
        topics = self._topics
        if isinstance(message, MicrophoneMessage):
            topic = topics.microphone(monitor) if topics else None
            return self._store.record_notice(message, monitor=monitor, topic=topic)
        topic = topics.event(monitor) if topics and not message.held else None
        return self._store.record(message, monitor=monitor, topic=topic, on_receipt=on_receipt)

    def _fine(self) -> None:
        aside = self._store.moved_aside
        if aside is None:
            self._health.set("events", Health.HEALTHY, "events are stored")
        else:
            text = f"the database was damaged and lies at {aside}; look into it, then restart"
            self._health.set("events", Health.WARNING, text)


def _only_log(monitor: str, message: Kept) -> None:
    logger.error(
        "monitor=%s event not stored, only logged: %s", monitor, message.to_json().decode()
    )
