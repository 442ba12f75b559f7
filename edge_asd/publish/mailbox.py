"""What other threads hand to the pump thread: retained states, replies and telemetry."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

MAX_TELEMETRY = 256
MAX_REPLIES = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a command."""

    topic: str
    payload: bytes
    correlation: bytes | None
    """What the asker recognises it by (MQTT 5)."""


class Mailbox:
    """Bounded by the number of topics for states; replies and telemetry drop the oldest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._retained: dict[str, bytes] = {}
        self._changed: dict[str, None] = {}
        self._forgotten: set[str] = set()
        self._taken: set[str] = set()  # by a broker, at least once
        self._flying: Counter[str] = Counter()  # sent on this connection, not settled
        self._replies: deque[Reply] = deque()
        self._telemetry: deque[tuple[str, bytes]] = deque()

    def set_retained(self, topic: str, payload: bytes) -> None:
        """Remember a state; only the latest of a topic is sent, and only when it changed."""
        with self._lock:
            self._forgotten.discard(topic)
            if self._retained.get(topic) != payload:
                self._retained[topic] = payload
                self._changed[topic] = None

    def forget(self, topic: str) -> None:
        """Have the broker forget the state of a topic, and forget it here once it did."""
        with self._lock:
            self._forgotten.add(topic)
            self._retained[topic] = b""
            self._changed[topic] = None

    def states(self) -> dict[str, bytes]:
        """The states that are kept, by topic."""
        with self._lock:
            return {t: p for t, p in self._retained.items() if t not in self._forgotten}

    def topics(self) -> frozenset[str]:
        """Topics of the states that are kept."""
        with self._lock:
            return frozenset(self._retained) - self._forgotten

    def forgetting(self) -> frozenset[str]:
        """Topics that the broker has yet to forget."""
        with self._lock:
            return frozenset(self._forgotten)

    def reply(self, reply: Reply) -> int:
        """Add an answer; how many older ones had to go."""
        with self._lock:
            return _append(self._replies, reply, MAX_REPLIES)

    def post(self, topic: str, payload: bytes) -> int:
        """Add telemetry; how many older messages had to go."""
        with self._lock:
            return _append(self._telemetry, (topic, payload), MAX_TELEMETRY)

    def mark_all(self) -> None:
        """A new connection needs every state, and no telemetry from before it."""
        with self._lock:
            self._changed = dict.fromkeys(self._retained)
            self._flying.clear()
            self._telemetry.clear()

    def mark(self, topic: str) -> None:
        """Send the state of a topic once more."""
        with self._lock:
            if topic in self._retained:
                self._changed[topic] = None

    def taken(self, topic: str, payload: bytes) -> None:
        """The broker has a state that was sent."""
        with self._lock:
            self._taken.add(topic)
            self._flying[topic] -= 1
            # Not before everything that was said after the wish to forget it is settled as well.
            waits = topic in self._changed or self._flying[topic] > 0
            if topic in self._forgotten and not payload and not waits:
                self._forgotten.discard(topic)
                del self._retained[topic]

    def refused(self, topic: str) -> None:
        """The broker did not take a state that was sent: it is sent once more."""
        with self._lock:
            self._flying[topic] -= 1
            self._changed[topic] = None

    def was_taken(self, topic: str) -> bool:
        """Whether a broker had a state of the topic during this run."""
        with self._lock:
            return topic in self._taken

    def take_state(self, blocked: frozenset[str]) -> tuple[str, bytes] | None:
        """Next state to send, leaving out some topics."""
        with self._lock:
            for topic in self._changed:
                if topic not in blocked:
                    del self._changed[topic]
                    self._flying[topic] += 1
                    return topic, self._retained[topic]
            return None

    def take_reply(self) -> Reply | None:
        """Next answer to send."""
        with self._lock:
            return self._replies.popleft() if self._replies else None

    def take_telemetry(self) -> list[tuple[str, bytes]]:
        """All telemetry that waits."""
        with self._lock:
            taken = list(self._telemetry)
            self._telemetry.clear()
            return taken

    @property
    def unsent(self) -> bool:
        """Whether a state or an answer waits."""
        with self._lock:
            return bool(self._changed or self._replies)

    @property
    def settled(self) -> bool:
        """Whether a broker has every state as it is now, and no answer waits."""
        with self._lock:
            waits = self._changed or self._replies
            return not waits and not any(self._flying.values())


def _append(box: deque[T], item: T, limit: int) -> int:
    """Add an item; the oldest ones make room."""
    box.append(item)
    surplus = max(0, len(box) - limit)
    for _ in range(surplus):
        box.popleft()
    return surplus
