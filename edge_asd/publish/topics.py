"""Names of the MQTT topics: the one place that spells them."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_MAX_SEGMENT = 64
_SEGMENT = re.compile(r"[a-z0-9_-]{1,64}")

THINGS = ("enabled", "inhibit", "snooze", "ack")
"""What of a monitor can be set: ``…/<thing>/set``, answered by the retained ``…/<thing>/state``."""


def topic_segment(text: str) -> str:
    """Make one topic segment of any name.

    The same name always gives the same segment, and a segment stays itself. Two names may share a
    segment (``Pump 1`` and ``pump-1``); names that are segments already, as those of monitors,
    never do.

    Args:
        text: Name of a device or a monitor.

    Returns:
        1 to 64 characters of ``[a-z0-9_-]``.

    >>> topic_segment("Presse Süd / 3")
    'presse-sud-3'
    """
    if _SEGMENT.fullmatch(text):
        return text
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    segment = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:_MAX_SEGMENT].strip("-")
    # A name in another script leaves nothing: a digest keeps it apart from the next one.
    return segment or "n" + hashlib.sha256(text.encode()).hexdigest()[:12]


class Topics:
    """Topics of one device.

    Args:
        device: Its name; sanitised here and nowhere else.
    """

    def __init__(self, device: str) -> None:
        self.base = f"edge-asd/{topic_segment(device)}"
        self.status = f"{self.base}/status"
        self.info = f"{self.base}/info"
        self.health = f"{self.base}/health"

    def event(self, monitor: str) -> str:
        """Life-cycle of alerts; never retained."""
        return self._of(monitor, "event")

    def state(self, monitor: str) -> str:
        """Current state, retained."""
        return self._of(monitor, "state")

    def alarm(self, monitor: str) -> str:
        """``ON`` or ``OFF`` for the simplest subscriber, retained."""
        return self._of(monitor, "alarm")

    def score(self, monitor: str) -> str:
        """Scores, QoS 0, not retained."""
        return self._of(monitor, "score")

    def microphone(self, monitor: str) -> str:
        """Life-cycle of microphone faults; never retained."""
        return self._of(monitor, "microphone")

    def report(self, monitor: str) -> str:
        """How well it listened today or yesterday, retained."""
        return self._of(monitor, "report")

    def picture(self, monitor: str) -> str:
        """The last alert's spectrogram, PNG, retained; only if asked for."""
        return self._of(monitor, "picture")

    def thing_set(self, monitor: str, thing: str) -> str:
        """Where one of ``THINGS`` is asked for; nothing retained is heard there."""
        return self._of(monitor, f"{thing}/set")

    def thing_state(self, monitor: str, thing: str) -> str:
        """How one of ``THINGS`` stands, retained: ``ON`` or ``OFF``, of a snooze its minutes."""
        return self._of(monitor, f"{thing}/state")

    def every_set(self, thing: str) -> str:
        """Filter for ``thing_set`` of all monitors."""
        return f"{self.base}/+/{thing}/set"

    def command(self, verb: str) -> str:
        """Where a command is asked for, JSON."""
        return f"{self.base}/cmd/{verb}"

    def reply(self, verb: str) -> str:
        """Its answer, for whoever named no response topic (MQTT 3.1.1)."""
        return f"{self.base}/cmd/{verb}/reply"

    def _of(self, monitor: str, leaf: str) -> str:
        return f"{self.base}/{topic_segment(monitor)}/{leaf}"
