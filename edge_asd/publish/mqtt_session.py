"""What is under way on one connection, and what was refused on earlier ones."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.incoming import Subscriptions
from edge_asd.publish.mailbox import Mailbox
from edge_asd.publish.mqtt_link import Link
from edge_asd.publish.mqtt_records import Ack, Outgoing
from edge_asd.publish.outbox import Outbox, Row

NO_MATCHING_SUBSCRIBERS = 0x10
FAILURE = 0x80

_STATE, _REPLY, _TELEMETRY = "state", "reply", "telemetry"
# What a broker may drop when it cannot deliver it so soon (MQTT 5).
_TELEMETRY_S = 60.0
_REPLY_S = 600.0

logger = logging.getLogger(__name__)


def full_jitter(rng: random.Random, attempt: int, bounds_s: tuple[float, float]) -> float:
    """Time to wait after ``attempt`` failures in a row, counted from 1.

    Source: M. Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015.
    """
    first_s, cap_s = bounds_s
    # 2**30 first steps exceed every cap; without the limit the power overflows some day.
    return rng.uniform(0, min(cap_s, first_s * 2 ** min(attempt - 1, 30)))


@dataclass(frozen=True, slots=True)
class _Refusal:
    count: int
    until_s: float
    text: str


class Refusals:
    """Topics that the broker refuses; each rests for a while after every refusal.

    Args:
        rng: For the jitter.
        bounds_s: First and longest rest.
    """

    def __init__(self, rng: random.Random, bounds_s: tuple[float, float]) -> None:
        self._rng = rng
        self._bounds_s = bounds_s
        # Replaced, never changed: other threads read ``text`` meanwhile.
        self._topics: dict[str, _Refusal] = {}

    def add(self, topic: str, text: str, now_s: float) -> None:
        """Take note of a refusal."""
        count = 1 + (self._topics[topic].count if topic in self._topics else 0)
        # Half of it is certain: a refused message must not come back at once.
        rest_s = 0.5 * self._bounds_s[0] + full_jitter(self._rng, count, self._bounds_s)
        self._topics = self._topics | {topic: _Refusal(count, now_s + rest_s, text)}

    def clear(self, topic: str) -> None:
        """The broker took a message of the topic."""
        if topic in self._topics:
            self._topics = {t: refusal for t, refusal in self._topics.items() if t != topic}

    def resting(self, now_s: float) -> frozenset[str]:
        """Topics that must not be tried now."""
        return frozenset(t for t, refusal in self._topics.items() if now_s < refusal.until_s)

    def probing(self, topic: str) -> bool:
        """Whether the topic was refused last time, so that one message at a time is enough."""
        return topic in self._topics

    @property
    def text(self) -> str:
        """One line for the operator; empty while nothing is refused."""
        return "; ".join(f"{topic}: {r.text}" for topic, r in sorted(self._topics.items()))


@dataclass(frozen=True, slots=True)
class _Flight:
    """A message without a PUBACK yet."""

    topic: str
    payload: bytes
    message_class: str
    row: Row | None
    sent_at_s: float


class Session:
    """Sends over one open connection; used by the pump thread.

    Messages under way when the connection ends are sent again by the next session: their rows are
    still there and the states are marked again.

    Args:
        link: The open connection.
        outbox: Rows to deliver.
        mailbox: States, replies and telemetry.
        subscriptions: Who hears what comes in.
        refusals: Lives longer than the session.
        metrics: Counts results.
        inflight: Most unacknowledged messages.
    """

    def __init__(
        self,
        link: Link,
        *,
        outbox: Outbox,
        mailbox: Mailbox,
        subscriptions: Subscriptions,
        refusals: Refusals,
        metrics: Metrics,
        inflight: int,
    ) -> None:
        self._link = link
        self._outbox = outbox
        self._mailbox = mailbox
        self._subscriptions = subscriptions
        self._refusals = refusals
        self._metrics = metrics
        self._limit = min(inflight, link.receive_maximum)
        self._flights: dict[int, _Flight] = {}
        self._delivered: set[int] = set()
        mailbox.mark_all()
        # Before anything is published: what the broker kept then comes before its echo of us.
        link.subscribe(subscriptions.filters)

    @property
    def in_flight(self) -> int:
        """Messages without a PUBACK."""
        return len(self._flights)

    def oldest_s(self) -> float | None:
        """When the oldest message under way was sent, monotonic; None when there is none."""
        return min((flight.sent_at_s for flight in self._flights.values()), default=None)

    def fill(self, now_s: float) -> None:
        """Send what fits: states first, then replies, rows, oldest first, and telemetry.

        Raises:
            StorageError: The outbox cannot be read.
        """
        while self._room() and (state := self._mailbox.take_state(self._refusals.resting(now_s))):
            topic, payload = state
            self._launch(Outgoing(topic, payload, retain=True), _STATE, now_s)
        while self._room() and (reply := self._mailbox.take_reply()):
            answer = Outgoing(
                reply.topic, reply.payload, expiry_s=_REPLY_S, correlation=reply.correlation
            )
            self._launch(answer, _REPLY, now_s)
        if self._room():
            self._fill_rows(now_s)
        for topic, payload in self._mailbox.take_telemetry():
            # On a connection that does not drain, telemetry must not pile up in memory.
            lost = self._link.congested or self._link.down is not None
            if not lost:
                self._link.publish(Outgoing(topic, payload, qos=0, expiry_s=_TELEMETRY_S))
            self._metrics.mqtt_publish(_TELEMETRY, "dropped" if lost else "sent")

    def hear(self) -> None:
        """Hand on what others published; before ``settle``, as it came before later answers."""
        refused = self._link.take_refusals()
        if refused is not None:
            self._subscriptions.answered(refused)
        for message in self._link.take_incoming():
            self._subscriptions.hand(message)

    def settle(self, now_s: float) -> None:
        """Take in PUBACKs; rows that the broker has are deleted, and only those.

        Raises:
            StorageError: They could not be deleted; the next call tries again.
        """
        for ack in self._link.take_acks():
            flight = self._flights.pop(ack.mid, None)
            if flight is not None:  # telemetry has no flight
                self._settle(ack, flight, now_s)
        if self._delivered:
            self._outbox.ack(*self._delivered)
            self._delivered.clear()

    def quiet(self, now_s: float) -> bool:
        """Whether nothing is under way and nothing more can be sent now."""
        if self._flights or self._delivered:
            return False
        resting = self._refusals.resting(now_s)
        return not self._mailbox.unsent and not self._outbox.head(1, skip_topics=resting)

    def _room(self) -> int:
        return 0 if self._link.down is not None else self._limit - len(self._flights)

    def _fill_rows(self, now_s: float) -> None:
        resting = self._refusals.resting(now_s)
        rows = [flight.row for flight in self._flights.values() if flight.row is not None]
        under_way = {row.id for row in rows} | self._delivered
        busy = {f.topic for f in self._flights.values() if self._refusals.probing(f.topic)}
        # Rows behind a topic that is being tried out must not wait for its answer.
        for row in self._outbox.head(self._limit + len(under_way), skip_topics=resting | busy):
            message = row.message
            if not self._room():
                return
            if row.id in under_way or message.topic in busy:
                continue
            if self._refusals.probing(message.topic):
                busy.add(message.topic)
            self._launch(self._of(row), message.row_class.value, now_s, row)

    def _of(self, row: Row) -> Outgoing:
        message = row.message
        expiry_s = None if message.retain else self._outbox.remaining_s(row)
        return Outgoing(message.topic, message.payload, retain=message.retain, expiry_s=expiry_s)

    def _launch(
        self, message: Outgoing, message_class: str, now_s: float, row: Row | None = None
    ) -> None:
        mid = self._link.publish(message)
        if mid is not None:
            self._flights[mid] = _Flight(message.topic, message.payload, message_class, row, now_s)

    def _settle(self, ack: Ack, flight: _Flight, now_s: float) -> None:
        if ack.code >= FAILURE:
            self._metrics.mqtt_publish(flight.message_class, "refused")
            self._refused(ack, flight, now_s)
            return
        heard = ack.code != NO_MATCHING_SUBSCRIBERS
        self._metrics.mqtt_publish(flight.message_class, "delivered" if heard else "no_subscribers")
        self._refusals.clear(flight.topic)
        if flight.row is not None:
            self._delivered.add(flight.row.id)
            self._outbox.receipts.received(flight.row.message.monitor, flight.row.message.seq)
        elif flight.message_class == _STATE:
            self._mailbox.taken(flight.topic, flight.payload)

    def _refused(self, ack: Ack, flight: _Flight, now_s: float) -> None:
        """Keep what must arrive; an answer is for the one who asked, who chose its topic."""
        if flight.message_class == _REPLY:
            logger.warning("reply refused topic=%s reason=%s", flight.topic, ack.text)
            return
        self._refusals.add(flight.topic, ack.text, now_s)
        if flight.message_class == _STATE:
            self._mailbox.refused(flight.topic)
