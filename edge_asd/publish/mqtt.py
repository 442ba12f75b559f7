"""The one owner of the connection to the broker.

The thread ``mqtt-pump`` connects, sends what waits, and deletes a row of the outbox only when the
broker acknowledged it. Rows under way when a connection ends are sent again on the next one, so a
subscriber may see a message twice, and its ``id`` and ``seq`` tell. Order holds for each topic; a
broker that refuses a single message may let the few behind it, already under way, pass it.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable

from edge_asd.errors import StorageError
from edge_asd.health import Health
from edge_asd.metrics import Metrics
from edge_asd.publish.incoming import Handler, Subscriptions, is_topic
from edge_asd.publish.mailbox import Mailbox, Reply
from edge_asd.publish.mqtt_link import OFFLINE, Link, Opened, Opening, Protocol
from edge_asd.publish.mqtt_session import Refusals, Session, full_jitter
from edge_asd.publish.mqtt_settings import DEFAULT_TIMING, MqttSettings, Timing
from edge_asd.publish.outbox import Outbox
from edge_asd.publish.topics import Topics

logger = logging.getLogger(__name__)

ONLINE = b"online"
INFLIGHT = 8

_STEP_S = 0.5
_STATS_EVERY_S = 1.0
_GOODBYE_S = 2.0
_CUT_SHORT = 3


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
        self._older = settings.protocol == "3.1.1"
        self._connected = False
        self._in_flight = 0
        self._cut_short = 0  # connections in a row
        self._opened_at_s = 0.0
        self._health = (Health.UNKNOWN, f"connecting to {settings.address}")
        self._storage_fault = ""
        self._stats_at_s = -_STATS_EVERY_S
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
        lost = self._mailbox.post(topic, payload) if self._connected else 1
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

    def retained_topics(self) -> frozenset[str]:
        """Topics of the states that every connection gets."""
        return self._mailbox.topics()

    @property
    def connected(self) -> bool:
        """Whether a broker accepted the connection."""
        return self._connected

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is under way.

        Raises:
            StorageError: The outbox cannot be read.
        """
        return (
            not self._in_flight and not self._mailbox.unsent and not self._outbox.stats().messages
        )

    def health(self) -> tuple[Health, str]:
        """What an operator should know about the connection."""
        if self._storage_fault:
            return Health.CRITICAL, self._storage_fault
        refused = self._refusals.text
        if self._connected and refused:
            text = f"{self._settings.address} refuses messages, which are kept: {refused}"
            return Health.CRITICAL, f"{text}: check what the broker allows this user to publish"
        if self._cut_short >= _CUT_SHORT and not (self._connected and self._lasts()):
            text = f"{self._settings.address} ends every connection soon after it began"
            own = self._settings.client_id
            return Health.WARNING, f"{text}: does another client use the identifier {own}?"
        return self._health

    # Pump thread

    def _run(self) -> None:
        failures = 0
        while self._close_at_s is None:
            link, opened = self._open()
            if opened.result is Opening.ACCEPTED:
                self._opened_at_s = self._clock()
                self._serve(link)
                if self._lasts():
                    failures = self._cut_short = 0
                else:
                    self._cut_short += 1
            failures += 1
            wait_s = full_jitter(self._rng, failures, self._timing.backoff_s)
            logger.debug("mqtt waits wait_s=%.1f error=%s", wait_s, opened.text)
            self._wait(wait_s)

    def _open(self) -> tuple[Link, Opened]:
        """Try to connect once, or twice when the broker may not know MQTT 5."""
        link, opened = self._attempt(Protocol.V3_1_1 if self._older else Protocol.V5)
        if opened.try_older and self._settings.protocol == "auto" and self._close_at_s is None:
            other = Protocol.V5 if link.protocol is Protocol.V3_1_1 else Protocol.V3_1_1
            first = opened
            link, opened = self._attempt(other)
            # A refusal is final. A connection that was just closed may have had other reasons, so
            # the next one begins with MQTT 5 again.
            if opened.result is Opening.ACCEPTED:
                refused = first.result is Opening.REFUSED
                self._older = refused and other is Protocol.V3_1_1
            elif opened.result is not Opening.REFUSED:
                opened = first
        if opened.result is Opening.ACCEPTED:
            self._connected = True
            text = f"connected to {self._settings.address} with MQTT {link.protocol.value}"
            self._report(Health.HEALTHY, text)
        else:
            refused = opened.result is Opening.REFUSED
            self._report(Health.CRITICAL if refused else Health.WARNING, opened.text)
        self._metrics.set_mqtt_connected(self._connected)
        return link, opened

    def _attempt(self, protocol: Protocol) -> tuple[Link, Opened]:
        self.progress += 1
        link = Link(
            self._settings,
            self._topics.status,
            protocol,
            timeout_s=self._timing.connect_s,
            will_delay_s=self._timing.will_delay_s,
            clock=self._clock,
        )
        opened = link.open(self._wake_read, self._go_on)
        self._metrics.mqtt_connect(opened.result.value)
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
            self._turn(link, session)
        if link.down is None:
            self._say_goodbye(link, session)
        self._connected = False
        self._in_flight = 0
        self._metrics.set_mqtt_connected(False)
        closing = self._close_at_s is not None
        status = Health.UNKNOWN if closing else Health.WARNING
        self._report(status, f"connection to {self._settings.address} ended: {link.down}")

    def _say_goodbye(self, link: Link, session: Session) -> None:
        """Drain, say ``offline`` and disconnect; without the broker's word let the will say it."""
        while link.down is None and self._clock() < (self._close_at_s or 0.0):
            if self._storage_fault or self._quiet(session):
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
        fault = self._fault_of(lambda: session.fill(self._clock()))
        self._in_flight = session.in_flight
        link.step(self._wake_read, _STEP_S)
        session.hear()
        fault = self._fault_of(lambda: session.settle(self._clock())) or fault
        self._in_flight = session.in_flight
        fault = self._fault_of(self._count_outbox) or fault
        if fault and not self._storage_fault:
            logger.error("outbox not usable error=%s", fault)
        self._storage_fault = fault
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

    def _count_outbox(self) -> None:
        now_s = self._clock()
        if now_s - self._stats_at_s >= _STATS_EVERY_S:
            self._stats_at_s = now_s
            self._metrics.set_outbox(self._outbox.stats())

    def _wait(self, wait_s: float) -> None:
        """Rest between attempts; messages that arrive meanwhile do not hurry it."""
        until_s = self._clock() + wait_s
        while self._close_at_s is None and self._clock() < until_s:
            self.progress += 1
            self._storage_fault = self._fault_of(self._count_outbox)
            time.sleep(min(0.1, max(0.0, until_s - self._clock())))

    def _lasts(self) -> bool:
        """Whether the latest connection lasted long enough to be called stable."""
        return self._clock() - self._opened_at_s >= self._timing.stable_s

    def _go_on(self) -> bool:
        self.progress += 1
        return self._close_at_s is None

    def _report(self, status: Health, text: str) -> None:
        """Keep the finding, and log it once when it changes."""
        if (status, text) != self._health:
            bad = status in (Health.WARNING, Health.CRITICAL)
            level = logging.WARNING if bad else logging.INFO
            logger.log(level, "mqtt %s", text)
        self._health = (status, text)

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"\0")
        except OSError:
            logger.debug("mqtt pump is awake or gone")
