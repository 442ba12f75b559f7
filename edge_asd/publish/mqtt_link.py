"""One connection to a broker, from CONNECT to its end; never used again after that.

A fresh paho client for each connection, driven from one thread through its interface for external
event loops: paho keeps nothing that a later connection could send a second time, and there is no
thread of paho's to race with.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_asd.publish.incoming import MAX_INCOMING_BYTES, Incoming
from edge_asd.publish.mqtt_records import OFFLINE, Ack, Opened, Opening, Outgoing, Protocol
from edge_asd.publish.mqtt_settings import MqttSettings

_UNSUPPORTED_VERSION = 0x84
_UNSPECIFIED = 0x80
_LOGIN = (0x86, 0x87)  # bad user name or password, not authorized
_STEP_S = 0.5
# A broker that speaks MQTT 5 does not even send what is larger than this.
_MAX_PACKET_BYTES = 4 * MAX_INCOMING_BYTES
_LONGEST_S = 2**32 - 1


class Link:
    """One connection; used by one thread.

    Args:
        settings: The broker.
        will_topic: Where the broker says ``offline`` should this process vanish.
        protocol: Version to speak.
        timeout_s: For the connection, the encryption and the answer, each.
        will_delay_s: How long the broker keeps the will back (MQTT 5).
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: MqttSettings,
        will_topic: str,
        protocol: Protocol,
        *,
        timeout_s: float,
        will_delay_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.protocol = protocol
        self.down: str | None = None
        """Why the connection ended; None while it lasts."""
        self.receive_maximum = 65535
        """Unacknowledged messages that the broker accepts."""
        self._settings = settings
        self._timeout_s = timeout_s
        self._will_delay_s = will_delay_s
        self._clock = clock
        self._connack: ReasonCode | None = None
        self._acks: list[Ack] = []
        self._incoming: list[Incoming] = []
        self._asked: tuple[str, ...] = ()
        self.unanswered = False
        """The broker has not yet said what it thinks of a subscription."""
        self._answers: dict[str, str] | None = None
        self._client = self._make_client(will_topic)

    def open(self, wake: socket.socket, go_on: Callable[[], bool]) -> Opened:
        """Connect and wait for the broker's answer.

        Args:
            wake: Readable when the thread should look up.
            go_on: Asked now and then; False gives up.
        """
        address = self._settings.address
        try:
            self._connect()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            text = str(error) or type(error).__name__
            return Opened(Opening.UNREACHABLE, f"cannot connect to {address}: {text}")
        deadline = self._clock() + self._timeout_s
        while self._connack is None and self.down is None:
            if not go_on() or self._clock() > deadline:
                self.abort("no answer")
                text = f"{address} takes the connection but does not answer as a broker"
                return Opened(Opening.SILENT, text)
            self.step(wake, _STEP_S)
        if self._connack is None:
            text = f"{address} closed the connection without an answer{self._certificate_hint}"
            return Opened(Opening.UNREACHABLE, text, try_older=True)
        if self._connack.is_failure:
            self.abort("refused")
            text = f"{address} refused the connection: {self._connack}"
            if self._connack.value in _LOGIN:
                text += "; check mqtt.username and mqtt.password_file"
            older = self._connack.value == _UNSUPPORTED_VERSION
            return Opened(Opening.REFUSED, text, try_older=older)
        return Opened(Opening.ACCEPTED)

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for messages of some topics, QoS 1; only for an open connection."""
        if not filters:
            return
        self._asked = tuple(filters)
        self.unanswered = True
        code, _ = self._client.subscribe([(topic_filter, 1) for topic_filter in filters])
        if code != MQTT_ERR_SUCCESS:
            self.abort(f"subscribe failed: {code}")

    def publish(self, message: Outgoing) -> int | None:
        """Hand over a message; only for an open connection.

        Returns:
            Its number, which the ``Ack`` of QoS 1 repeats; None when the connection just ended.
        """
        info = self._client.publish(
            message.topic,
            message.payload,
            qos=message.qos,
            retain=message.retain,
            properties=self._properties(message),
        )
        if info.rc != MQTT_ERR_SUCCESS:
            self.abort(f"publish failed: {info.rc}")
            return None
        return info.mid

    @property
    def congested(self) -> bool:
        """Whether earlier messages still wait to be written to the socket."""
        return self._client.want_write()

    def step(self, wake: socket.socket, timeout_s: float) -> None:
        """Read, write and keep alive; returns when something happened or the time is over."""
        sock = self._client.socket()
        if self.down is not None or sock is None:
            self.down = self.down or "connection lost"
            return
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        writing = select.POLLOUT if self._client.want_write() else 0
        poller.register(sock, select.POLLIN | writing)
        # What the encryption layer has read already never shows up in a poll.
        buffered = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        ready = dict(poller.poll(0 if buffered else timeout_s * 1000))
        if wake.fileno() in ready:
            wake.recv(4096)
        events = ready.get(sock.fileno(), 0)
        try:
            if buffered or events & ~select.POLLOUT:
                self._client.loop_read()
            if events & select.POLLOUT:
                self._client.loop_write()
            self._client.loop_misc()
        except Exception as error:  # noqa: BLE001 - whatever the parser makes of hostile bytes
            self.abort(f"protocol error: {type(error).__name__}: {error}")
        if self._client.socket() is None:
            self.down = self.down or "connection lost"

    def take_acks(self) -> list[Ack]:
        """What the broker acknowledged since the last call."""
        acks, self._acks = self._acks, []
        return acks

    def take_incoming(self) -> list[Incoming]:
        """What others published since the last call."""
        incoming, self._incoming = self._incoming, []
        return incoming

    def take_refusals(self) -> dict[str, str] | None:
        """Filters that the broker refused, and why, once it answered; None at other times."""
        answers, self._answers = self._answers, None
        return answers

    def close(self, wake: socket.socket) -> None:
        """Say goodbye; the broker then discards the will."""
        self._client.disconnect()
        deadline = self._clock() + 1.0
        while self._client.socket() is not None and self._clock() < deadline:
            self.step(wake, 0.1)
        self.abort("closed")

    def abort(self, why: str) -> None:
        """Cut the connection without a goodbye; the broker then publishes the will."""
        self.down = self.down or why
        sock = self._client.socket()
        if sock is not None:
            sock.close()
            # paho notices and cleans up behind itself, unless it chokes on the same bytes again.
            with suppress(Exception):
                self._client.loop_read()

    @property
    def _certificate_hint(self) -> str:
        """With TLS 1.3 a certificate is refused after the handshake, and without a word to us."""
        if self._settings.tls is None:
            return ""
        if self._settings.cert_file is None:
            return "; if it asks for certificates, set mqtt.cert_file and mqtt.key_file"
        return "; look into its log: it may not accept the certificate in mqtt.cert_file"

    def _properties(self, message: Outgoing) -> Properties | None:
        bare = message.expiry_s is None and message.correlation is None
        if bare or self.protocol is not Protocol.V5:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if message.expiry_s is not None:
            properties.MessageExpiryInterval = min(_LONGEST_S, max(1, int(message.expiry_s)))
        if message.correlation is not None:
            properties.CorrelationData = message.correlation
        return properties

    def _connect(self) -> None:
        settings = self._settings
        if self.protocol is Protocol.V5:
            # The will waits only as long as the session lives.
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._will_delay_s
            properties.MaximumPacketSize = _MAX_PACKET_BYTES
            self._client.connect(
                settings.host,
                settings.port,
                settings.keepalive_s,
                clean_start=True,
                properties=properties,
            )
        else:
            self._client.connect(settings.host, settings.port, settings.keepalive_s)
        # An event goes at once: else it waits until the broker has confirmed a score before it,
        # which TCP puts off for 40 ms.
        opened = self._client.socket()
        if isinstance(opened, socket.socket):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _make_client(self, will_topic: str) -> Client:
        settings = self._settings
        v5 = self.protocol is Protocol.V5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if v5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._timeout_s
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
        properties = None
        if v5:
            properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
            properties.WillDelayInterval = self._will_delay_s
        client.will_set(will_topic, OFFLINE, qos=1, retain=True, properties=properties)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        self._connack = reason
        self.receive_maximum = getattr(properties, "ReceiveMaximum", 65535)

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            why = f"the broker ended it: {reason}"
        elif reason.value == _UNSPECIFIED:
            why = "it was cut"
        else:
            why = str(reason)
        self.down = self.down or why

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        self._acks.append(Ack(mid, reason.value, str(reason)))

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        self.unanswered = False
        answers = zip(self._asked, reasons, strict=False)
        self._answers = {name: str(reason) for name, reason in answers if reason.is_failure}

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        properties = message.properties
        self._incoming.append(
            Incoming(
                topic=message.topic,
                payload=bytes(message.payload),
                retain=bool(message.retain),
                response_topic=getattr(properties, "ResponseTopic", None),
                correlation=getattr(properties, "CorrelationData", None),
            )
        )
