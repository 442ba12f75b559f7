"""Another daemon that goes by our name on the same broker: two of them knock each other off.

A broker keeps one connection for each client identifier and one ``info`` for each device, so the
other one shows by the ``info`` that it leaves: not ours, and later than ours.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.incoming import Incoming

_REMEMBERED_S = 600.0
_OFTEN = 2

logger = logging.getLogger(__name__)

_Identity = tuple[str, str]
"""Boot of the machine, start of the daemon (RFC 3339, which sorts)."""


class Twins:
    """Compares what is on our ``info`` topic with what we said there; used by the pump thread.

    Args:
        birth: What we say there.
        said: Whether a broker took it, in this run.
        metrics: Counts what is found.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        birth: bytes,
        *,
        said: Callable[[], bool],
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own = _identity(birth)
        self._said = said
        self._metrics = metrics
        self._clock = clock
        self._suspicions = 0
        self._found: tuple[_Identity, float] | None = None

    def hear(self, message: Incoming) -> None:
        """Look at an ``info``; what we sent ourselves comes back too."""
        other = _identity(message.payload)
        if self._own is None or other is None or other == self._own:
            return
        if message.retain and not self._proves(other):
            return
        boot, start = other
        if self._found is None or self._found[0] != other:
            logger.error(
                "mqtt another daemon uses this name other_boot=%s other_start=%s", boot, start
            )
        self._metrics.mqtt_duplicate_client()
        self._found = (other, self._clock())

    def broker_was_away(self) -> None:
        """It could not be reached: what it keeps now may come from its files."""
        self._suspicions = 0

    @property
    def text(self) -> str:
        """What an operator should do about it; empty while there is no other."""
        found = self._found
        if found is None or self._clock() - found[1] > _REMEMBERED_S:
            return ""
        boot, start = found[0]
        return (
            f"another daemon uses this device's name on the same broker (started {start}, boot "
            f"{boot or 'unknown'}): they disconnect each other: give each its own `device`"
        )

    def _proves(self, other: _Identity) -> bool:
        """Whether what the broker had kept tells of another, and not of our own past.

        Before we spoke, it is what our last run left. Afterwards it might be what a broker found in
        its files after a crash, but not twice without having been away.
        """
        if self._own is None or not self._said():
            return False
        self._suspicions += 1
        return other[1] > self._own[1] or self._suspicions >= _OFTEN


def _identity(payload: bytes) -> _Identity | None:
    """Who sent an ``info``; None for anything else."""
    try:
        info = json.loads(payload)
        start = info["started_at"]
        return (str(info.get("boot_id", "")), start) if isinstance(start, str) else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
