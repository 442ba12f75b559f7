"""How the connection to the broker is, for the operator."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge_asd.health import Health
from edge_asd.publish.incoming import Subscriptions
from edge_asd.publish.mqtt_records import Opened, Opening, Protocol
from edge_asd.publish.mqtt_session import Refusals
from edge_asd.publish.mqtt_settings import MqttSettings, Timing
from edge_asd.publish.twins import Twins

_CUT_SHORT = 3

logger = logging.getLogger(__name__)


class Condition:
    """Written by the pump thread, read by all.

    Args:
        settings: The broker.
        timing: When a connection is stable.
        refusals: Messages that the broker refuses.
        subscriptions: Subscriptions that it refuses.
        twins: Others under our name.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: MqttSettings,
        timing: Timing,
        refusals: Refusals,
        subscriptions: Subscriptions,
        twins: Twins,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connected = False
        self.storage_fault = ""
        """Why the outbox cannot be used."""
        self._settings, self._timing, self._clock = settings, timing, clock
        self._refusals, self._subscriptions, self._twins = refusals, subscriptions, twins
        self._cut_short = 0  # connections in a row
        self._opened_at_s = 0.0
        self._found = (Health.UNKNOWN, f"connecting to {settings.address}")

    def opened(self, protocol: Protocol, opened: Opened) -> None:
        """An attempt to connect is over."""
        self.connected = opened.result is Opening.ACCEPTED
        if self.connected:
            self._opened_at_s = self._clock()
            text = f"connected to {self._settings.address} with MQTT {protocol.value}"
            self._report(Health.HEALTHY, text)
        else:
            refused = opened.result is Opening.REFUSED
            self._report(Health.CRITICAL if refused else Health.WARNING, opened.text)

    def ended(self, why: str, *, closing: bool) -> bool:
        """A connection is over.

        Returns:
            Whether it had lasted long enough to be called stable.
        """
        stable = self._lasts()
        self._cut_short = 0 if stable else self._cut_short + 1
        status = Health.UNKNOWN if closing else Health.WARNING
        self._report(status, f"connection to {self._settings.address} ended: {why}")
        return stable

    def stored(self, fault: str) -> None:
        """The outbox was used; what was wrong, else nothing."""
        if fault and not self.storage_fault:
            logger.error("outbox not usable error=%s", fault)
        self.storage_fault = fault

    def health(self) -> tuple[Health, str]:
        """The worst that is known, with what to do about it."""
        address = self._settings.address
        if self.storage_fault:
            return Health.CRITICAL, self.storage_fault
        if self.connected and (refused := self._refusals.text):
            text = f"{address} refuses messages, which are kept: {refused}"
            return Health.CRITICAL, f"{text}: check what the broker allows this user to publish"
        if twin := self._twins.text:
            return Health.CRITICAL, twin
        if self._cut_short >= _CUT_SHORT and not (self.connected and self._lasts()):
            text = f"{address} ends every connection soon after it began"
            own = self._settings.client_id
            return Health.WARNING, f"{text}: does another client use the identifier {own}?"
        if self.connected and (unheard := self._subscriptions.refused):
            text = f"{address} refuses subscriptions, so commands do not arrive: {unheard}"
            return Health.WARNING, f"{text}: check what the broker allows this user to read"
        return self._found

    def _lasts(self) -> bool:
        return self._clock() - self._opened_at_s >= self._timing.stable_s

    def _report(self, status: Health, text: str) -> None:
        """Keep the finding, and log it once when it changes."""
        if (status, text) != self._found:
            bad = status in (Health.WARNING, Health.CRITICAL)
            logger.log(logging.WARNING if bad else logging.INFO, "mqtt %s", text)
        self._found = (status, text)
