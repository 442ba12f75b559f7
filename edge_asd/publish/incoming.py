"""Messages that come from the broker, and who hears them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from paho.mqtt.client import topic_matches_sub

from edge_asd.metrics import Metrics

MAX_INCOMING_BYTES = 64 * 1024
_MAX_TOPIC_BYTES = 65535
_FORBIDDEN = re.compile("[+#\\x00\\ud800-\\udfff]")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that somebody else published."""

    topic: str
    payload: bytes
    retain: bool
    """The broker had kept it from before we subscribed."""
    response_topic: str | None = None
    """Where an answer is expected (MQTT 5)."""
    correlation: bytes | None = None
    """What the answer must repeat (MQTT 5)."""


Handler = Callable[[Incoming], None]


def is_topic(text: str) -> bool:
    """Whether one may publish to it; what others name need not be one."""
    size = len(text.encode(errors="replace"))
    return 0 < size <= _MAX_TOPIC_BYTES and not _FORBIDDEN.search(text)


class Subscriptions:
    """Topics that are listened to, with their handlers.

    Filled before the first connection; messages are handed on by the pump thread.

    Args:
        metrics: Counts what came of messages.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._handlers: list[tuple[str, Handler]] = []
        self._refused: dict[str, str] = {}  # replaced, never changed: others read it

    def add(self, topic_filter: str, handler: Handler) -> None:
        """Hand messages of some topics to ``handler``, whose exceptions are logged and counted."""
        self._handlers.append((topic_filter, handler))

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to, each once."""
        return tuple(dict.fromkeys(topic_filter for topic_filter, _ in self._handlers))

    def answered(self, refusals: dict[str, str]) -> None:
        """The broker answered: filters that it refuses, and why."""
        for topic_filter in sorted(set(refusals) - set(self._refused)):
            reason = refusals[topic_filter]
            logger.warning("subscription refused topic=%s reason=%s", topic_filter, reason)
        self._refused = dict(refusals)

    @property
    def refused(self) -> dict[str, str]:
        """Filters that the broker refused on the latest connection, and why."""
        return self._refused

    def hand(self, message: Incoming) -> None:
        """Give a message to everybody who wants it."""
        if len(message.payload) > MAX_INCOMING_BYTES:
            size = len(message.payload)
            logger.warning("message ignored, too large topic=%s bytes=%d", message.topic, size)
            self._metrics.mqtt_received("too_large")
            return
        for topic_filter, handler in self._handlers:
            if topic_matches_sub(topic_filter, message.topic):
                self._metrics.mqtt_received(self._handled(handler, message))

    @staticmethod
    def _handled(handler: Handler, message: Incoming) -> str:
        try:
            handler(message)
        except Exception:
            logger.exception("message not handled topic=%s", message.topic)
            return "failed"
        return "handled"
