"""The one owner of the connection to the broker.

The thread ``mqtt-pump`` connects, sends what waits, and deletes a row of the outbox only when the
broker acknowledged it. Rows under way when a connection ends are sent again on the next one, so a
subscriber may see a message twice, and its ``id`` and ``seq`` tell. Messages of a monitor first
arrive in the order of their ``seq``, with one exception: while a broker refuses messages (MQTT 5;
health is critical), the few behind them that are already under way, and those of the monitor's
other topics, may pass them. A topic that is refused must not silence the others.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable

from edge_asd.errors import StorageError
from edge_asd.health import Health
from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.absence import Absence
from edge_asd.publish.incoming import Handler, Subscriptions, is_topic
from edge_asd.publish.mailbox import Mailbox, Reply
from edge_asd.publish.mqtt_condition import Condition
from edge_asd.publish.mqtt_dial import Dialer
from edge_asd.publish.mqtt_link import Link
from edge_asd.publish.mqtt_records import OFFLINE, ONLINE, Opened, Opening
from edge_asd.publish.mqtt_session import Refusals, Session, full_jitter
from edge_asd.publish.mqtt_settings import DEFAULT_TIMING, MqttSettings, Timing
from edge_asd.publish.outbox import Outbox
from edge_asd.publish.outbox_watch import OutboxWatch
from edge_asd.publish.topics import Topics
from edge_asd.publish.twins import Twins

logger = logging.getLogger(__name__)

INFLIGHT = 8

_STEP_S = 0.5
_GOODBYE_S = 2.0


class MqttSink:
    """Delivers the outbox, retained states and telemetry to one broker.

    ``start`` and ``close`` are called once, by one thread; everything else by any.

    Args:
        settings: The broker.
        topics: Names of the topics of this device.
        outbox: What must arrive.
        birth: Payload of the ``info`` topic; ``set_retained`` replaces it.
        metrics: Counts attempts and messages.
        rng: For the jitter.
        timing: Waits, for tests.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        topics: Topics,
        outbox: Outbox,
        birth: bytes,
        metrics: Metrics,
        rng: random.Random,
        timing: Timing = DEFAULT_TIMING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.progress = 0
        """Grows while the pump moves, waiting included; for the watchdog. Looking up a name or
        opening a connection may hold it for some 20 s."""
        self._settings = settings
        self._topics = topics
        self._outbox = outbox
        self._metrics = metrics
        self._rng = rng
        self._timing = timing
        self._clock = clock
        self._mailbox = Mailbox()
        self._subscriptions = Subscriptions(metrics)
        # The first entries of the mailbox are the first messages of every connection.
        self._mailbox.set_retained(topics.status, ONLINE)
        self._mailbox.set_retained(topics.info, birth)
        self._refusals = Refusals(rng, timing.backoff_s)
        self._dialer = Dialer(settings, topics.status, timing, metrics, clock)
        self._watch = OutboxWatch(outbox, metrics, clock=clock)
        self._twins = Twins(
            birth,
            said=lambda: self._mailbox.was_taken(topics.info),
            metrics=metrics,
            clock=clock,
        )
        self._condition = Condition(
            settings, timing, self._refusals, self._subscriptions, self._twins, clock=clock
        )
        # Some brokers let a device write there and not read; then it goes without.
        self._subscriptions.add(topics.info, self._twins.hear, optional=True)
        self._attendants: list[Callable[[], None]] = []
        self._absence = Absence(clock)
        self._close_at_s: float | None = None
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.settimeout(0)
        self._wake_write.settimeout(0)
        self._thread = threading.Thread(target=self._run, name="mqtt-pump", daemon=True)

    def start(self) -> None:
        """Begin to connect; never waits for the broker."""
        self._outbox.on_put = self._wake
        self._thread.start()

    def close(self, drain_s: float = 5.0) -> None:
        """Deliver what can be delivered, say ``offline`` and disconnect.

        Args:
            drain_s: Time for what waits; the rest stays in the outbox for the next start.
        """
        self._close_at_s = self._clock() + drain_s
        self._wake()
        if self._thread.is_alive():
            self._thread.join(drain_s + 2 * _GOODBYE_S + self._timing.connect_s)
        if self._thread.is_alive():
            logger.warning("mqtt pump does not stop, left behind broker=%s", self._settings.address)
            return
        self._outbox.on_put = lambda: None
        self._wake_read.close()
        self._wake_write.close()

    def set_retained(self, topic: str, payload: bytes) -> None:
        """Publish a state, QoS 1 and retained, now and at every later connection."""
        self._mailbox.set_retained(topic, payload)
        self._wake()

    def telemetry(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0; dropped and counted while there is no connection."""
        lost = self._mailbox.post(topic, payload) if self.connected else 1
        for _ in range(lost):
            self._metrics.mqtt_publish("telemetry", "dropped")
        self._wake()

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Hear what others publish, QoS 1, on every connection; only before ``start``.

        Args:
            topic_filter: Which topics, wildcards allowed.
            handler: Called in the pump thread, so it must be quick; should it raise, that is logged
                and counted and nothing else. The answer of a command goes out with ``reply``.
        """
        self._subscriptions.add(topic_filter, handler)

    def reply(self, topic: str, payload: bytes, correlation: bytes | None = None) -> None:
        """Answer a command, QoS 1, not retained, best effort; older answers make room.

        Args:
            topic: Where the answer is expected; one that nobody may publish to is ignored.
            payload: The answer.
            correlation: What the asker recognises it by (MQTT 5).
        """
        usable = is_topic(topic)
        lost = self._mailbox.reply(Reply(topic, payload, correlation)) if usable else 1
        for _ in range(lost):
            self._metrics.mqtt_publish("reply", "dropped")
        self._wake()

    def forget_retained(self, topic: str) -> None:
        """Have the broker drop a state, once, and send it no more."""
        self._mailbox.forget(topic)
        self._wake()

    def adopt_states(self, older: MqttSink) -> None:
        """Take over the states of the connection before this one; only before ``start``."""
        for topic, payload in older.states().items():
            if topic not in (self._topics.status, self._topics.info):
                self.set_retained(topic, payload)

    def states(self) -> dict[str, bytes]:
        """The states that every connection gets, by topic."""
        return self._mailbox.states()

    def retained_topics(self) -> frozenset[str]:
        """Topics of the states that every connection gets."""
        return self._mailbox.topics()

    def forgetting(self) -> frozenset[str]:
        """Topics of states that the broker has yet to drop."""
        return self._mailbox.forgetting()

    def resend(self, topics: Iterable[str]) -> None:
        """Send states once more, for a subscriber that has just started."""
        for topic in topics:
            self._mailbox.mark(topic)
        self._wake()

    def leave(self, seconds: float) -> None:
        """Vanish without goodbye, so that the broker tells the last will, and stay away so long."""
        self._absence.begin(seconds)
        self._wake()

    def come_back(self) -> None:
        """Stay away no longer."""
        self._absence.end()

    def attend(self, look: Callable[[], None]) -> None:
        """Have ``look`` called by the pump thread, at every turn; only before ``start``."""
        self._attendants.append(look)

    @property
    def connected(self) -> bool:
        """Whether a broker accepted the connection."""
        return self._condition.connected

    @property
    def idle(self) -> bool:
        """Whether the broker has every message of the outbox and every state, and no answer waits.

        Raises:
            StorageError: The outbox cannot be read.
        """
        return self._mailbox.settled and not self._outbox.stats().messages

    def health(self) -> tuple[Health, str]:
        """What an operator should know about the connection."""
        return self._condition.health()

    def outbox_health(self) -> tuple[Health, str]:
        """Whether messages were given up lately, or soon will be."""
        return self._watch.health()

    # Pump thread

    def _run(self) -> None:
        failures = 0
        while self._close_at_s is None:
            if self._absence.lasts:
                failures = 0  # it has done nothing wrong
                self._wait(_STEP_S)
                continue
            link, opened = self._open()
            if opened.result is Opening.ACCEPTED:
                self._serve(link)
                if self._condition.ended(f"{link.down}", closing=self._close_at_s is not None):
                    failures = 0
            if self._absence.lasts:
                continue
            failures += 1
            wait_s = full_jitter(self._rng, failures, self._timing.backoff_s)
            logger.debug("mqtt waits wait_s=%.1f error=%s", wait_s, opened.text)
            self._wait(wait_s)

    def _open(self) -> tuple[Link, Opened]:
        link, opened = self._dialer.dial(self._wake_read, self._go_on)
        self._condition.opened(link.protocol, opened)
        if not self.connected:
            self._twins.broker_was_away()
        self._metrics.set_mqtt_connected(self.connected)
        return link, opened

    def _serve(self, link: Link) -> None:
        """Send until the connection ends or the sink is closed."""
        session = Session(
            link,
            outbox=self._outbox,
            mailbox=self._mailbox,
            subscriptions=self._subscriptions,
            refusals=self._refusals,
            metrics=self._metrics,
            inflight=INFLIGHT,
        )
        while link.down is None and self._close_at_s is None:
            if self._absence.lasts:
                link.abort("rehearsal: left without goodbye")
                break
            self._turn(link, session)
        if link.down is None:
            self._say_goodbye(link, session)
        if link.unanswered:
            self._subscriptions.cut_off()
        self._condition.connected = False
        self._metrics.set_mqtt_connected(False)

    def _say_goodbye(self, link: Link, session: Session) -> None:
        """Drain, say ``offline`` and disconnect; without the broker's word let the will say it."""
        while link.down is None and self._clock() < (self._close_at_s or 0.0):
            if self._condition.storage_fault or self._quiet(session):
                break
            self._turn(link, session)
        self._mailbox.set_retained(self._topics.status, OFFLINE)
        deadline_s = self._clock() + _GOODBYE_S
        while link.down is None and self._clock() < deadline_s:
            self._turn(link, session)
            if not session.in_flight and not self._mailbox.unsent:
                link.close(self._wake_read)
        link.abort("closed without goodbye")

    def _quiet(self, session: Session) -> bool:
        try:
            return session.quiet(self._clock())
        except StorageError:
            return True  # what cannot be read cannot be sent

    def _turn(self, link: Link, session: Session) -> None:
        """One round: send, wait for the network, take in acknowledgements."""
        self.progress += 1
        for look in self._attendants:
            look()
        fault = self._fault_of(lambda: session.fill(self._clock()))
        link.step(self._wake_read, _STEP_S)
        session.hear()
        fault = self._fault_of(lambda: session.settle(self._clock())) or fault
        fault = self._fault_of(self._watch.look) or fault
        self._condition.stored(fault)
        oldest_s = session.oldest_s()
        if oldest_s is not None and self._clock() - oldest_s > self._timing.puback_s:
            link.abort(f"no acknowledgement within {self._timing.puback_s:g} s")

    @staticmethod
    def _fault_of(action: Callable[[], None]) -> str:
        """Run ``action``; what is wrong with the store, else nothing."""
        try:
            action()
        except StorageError as error:
            return str(error)
        return ""

    def _wait(self, wait_s: float) -> None:
        """Rest between attempts; messages that arrive meanwhile do not hurry it."""
        until_s = self._clock() + wait_s
        while self._close_at_s is None and self._clock() < until_s:
            self.progress += 1
            self._condition.stored(self._fault_of(self._watch.look))
            time.sleep(min(0.1, max(0.0, until_s - self._clock())))

    def _go_on(self) -> bool:
        self.progress += 1
        return self._close_at_s is None

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"\0")
        except OSError:
            logger.debug("mqtt pump is awake or gone")
