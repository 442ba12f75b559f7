"""Messages that come from the broker, and who hears them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from paho.mqtt.client import topic_matches_sub

from edge_asd.metrics.metrics import Metrics

MAX_INCOMING_BYTES = 64 * 1024
_MAX_TOPIC_BYTES = 65535
_CUT_OFF = 2
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
        self._optional: set[str] = set()
        self._cut_off = 0  # in a row
        self._answer: dict[str, str] = {}  # replaced, never changed: others read it

    def add(self, topic_filter: str, handler: Handler, *, optional: bool = False) -> None:
        """Hand messages of some topics to ``handler``, whose exceptions are logged and counted.

        Args:
            topic_filter: Which topics, wildcards allowed.
            handler: Gets them.
            optional: Do without where the broker does not like the question.
        """
        self._handlers.append((topic_filter, handler))
        if optional:
            self._optional.add(topic_filter)

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to, each once."""
        wanted = dict.fromkeys(topic_filter for topic_filter, _ in self._handlers)
        without = self._optional if self._cut_off >= _CUT_OFF else set()
        return tuple(name for name in wanted if name not in without)

    def answered(self, refusals: dict[str, str]) -> None:
        """The broker answered: filters that it refuses, and why."""
        for topic_filter in sorted(set(refusals) - set(self._answer)):
            reason = refusals[topic_filter]
            logger.warning("subscription refused topic=%s reason=%s", topic_filter, reason)
        self._answer = dict(refusals)
        if self._cut_off < _CUT_OFF:
            self._cut_off = 0

    def cut_off(self) -> None:
        """The connection ended before the answer: some brokers say no in that way."""
        self._cut_off += 1
        if self._cut_off == _CUT_OFF and self._optional:
            without = ", ".join(sorted(self._optional))
            logger.warning("broker ends connections that subscribe, going without: %s", without)

    @property
    def refused(self) -> str:
        """What the broker refused on the latest connection, and why; empty if all is well."""
        refused = sorted((k, v) for k, v in self._answer.items() if k not in self._optional)
        return "; ".join(f"{topic_filter}: {reason}" for topic_filter, reason in refused)

    def hand(self, message: Incoming) -> None:
        """Give a message to everybody who wants it."""
        if len(message.payload) > MAX_INCOMING_BYTES:
            size = len(message.payload)
            logger.warning("message ignored, too large topic=%s bytes=%d", message.topic, size)
            self._metrics.mqtt_received("too_large")
            return
        for topic_filter, handler in self._handlers:
            if topic_matches_sub(topic_filter, message.topic):
                result = self._handled(handler, message)
                if topic_filter not in self._optional:  # those are our own affairs
                    self._metrics.mqtt_received(result)

    @staticmethod
    def _handled(handler: Handler, message: Incoming) -> str:
        try:
            handler(message)
        except Exception:
            logger.exception("message not handled topic=%s", message.topic)
            return "failed"
        return "handled"
