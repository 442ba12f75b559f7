"""The other end: an MQTT client that knows nothing but the broker's address."""

from __future__ import annotations

import json
import queue
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from typing_extensions import Self

from edge_asd.errors import PublishError

_QUEUED = 1000
"""Messages that may wait to be shown; what arrives beyond them is dropped and counted."""
# Of no interest to a human reader, or the same in every message.
_ENVELOPE = ("schema", "device", "source", "clock", "monotonic_ns", "boot_id", "model")
_IDENTIFIERS = {"id", "event_id"}


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it arrived."""

    topic: str
    payload: bytes

    @property
    def leaf(self) -> str:
        """Last part of the topic: ``state``, ``event`` or ``score``."""
        return self.topic.rpartition("/")[2]

    @property
    def fields(self) -> dict[str, Any]:
        """The payload's JSON object; empty where it is plain text."""
        try:
            value = json.loads(self.payload)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def shortened(self) -> str:
        """The payload for people: without its envelope and what is not set."""
        fields = self.fields
        if not fields:
            return self.payload.decode(errors="replace")
        told = {k: v for k, v in fields.items() if k not in _ENVELOPE and v not in (None, "")}
        for key in _IDENTIFIERS & told.keys():
            told[key] = f"{told[key]:.8}..."
        return json.dumps(told, separators=(",", ":"))


class Subscriber:
    """Receives everything below ``edge-asd/``, MQTT 3.1.1 with QoS 1; a context manager.

    Args:
        host: The broker's.
        port: The broker's.

    Raises:
        PublishError: The broker cannot be reached.
    """

    def __init__(self, host: str, port: int) -> None:
        self.dropped = 0
        self.port = port
        self._address = (host, port)
        self._arrived: queue.Queue[Message] = queue.Queue(_QUEUED)
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        self._client.on_connect = lambda client, *_: client.subscribe("edge-asd/#", qos=1)
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        try:
            self._client.connect(*self._address)
        except OSError as error:
            host, port = self._address
            raise PublishError(f"{host}:{port}: the demo's broker is silent: {error}") from error
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def get(self, timeout_s: float) -> Message | None:
        """Take the oldest message; None if none comes in time."""
        try:
            return self._arrived.get(timeout=max(0.001, timeout_s))
        except queue.Empty:
            return None

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            self._arrived.put_nowait(Message(message.topic, bytes(message.payload)))
        except queue.Full:
            self.dropped += 1
