"""Opens connections to the broker, in the newest version of MQTT that it takes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.mqtt_link import Link
from edge_asd.publish.mqtt_records import Opened, Opening, Protocol
from edge_asd.publish.mqtt_settings import MqttSettings, Timing


class Dialer:
    """Remembers which version the broker took.

    Args:
        settings: The broker.
        will_topic: Where the broker says ``offline`` should this process vanish.
        timing: Waits.
        metrics: Counts attempts.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: MqttSettings,
        will_topic: str,
        timing: Timing,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._will_topic, self._timing = settings, will_topic, timing
        self._metrics, self._clock = metrics, clock
        self._older = settings.protocol == "3.1.1"

    def dial(self, wake: socket.socket, go_on: Callable[[], bool]) -> tuple[Link, Opened]:
        """Try to connect once, or twice when the broker may not know MQTT 5.

        Args:
            wake: Readable when the thread should look up.
            go_on: Asked now and then; False gives up.
        """
        first = Protocol.V3_1_1 if self._older else Protocol.V5
        link, opened = self._attempt(first, wake, go_on)
        if not (opened.try_older and self._settings.protocol == "auto" and go_on()):
            return link, opened
        other = Protocol.V5 if self._older else Protocol.V3_1_1
        link, second = self._attempt(other, wake, go_on)
        # A refusal is final. A connection that was just closed may have had other reasons, so the
        # next one begins with MQTT 5 again.
        if second.result is Opening.ACCEPTED:
            self._older = opened.result is Opening.REFUSED and other is Protocol.V3_1_1
        elif second.result is not Opening.REFUSED:
            return link, opened
        return link, second

    def _attempt(
        self, protocol: Protocol, wake: socket.socket, go_on: Callable[[], bool]
    ) -> tuple[Link, Opened]:
        link = Link(
            self._settings,
            self._will_topic,
            protocol,
            timeout_s=self._timing.connect_s,
            will_delay_s=self._timing.will_delay_s,
            clock=self._clock,
        )
        opened = link.open(wake, go_on)
        self._metrics.mqtt_connect(opened.result.value)
        return link, opened
