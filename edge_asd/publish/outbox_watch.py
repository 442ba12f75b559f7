"""How the outbox fares, for metrics and for the operator: how full it is, and what it gave up."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_asd.health import Health
from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.outbox import Outbox, RowClass, Stats

_EVERY_S = 1.0
_TOLD_S = 86400.0
_NEARLY = 0.8
_ENDS = (RowClass.EVENT_NEW, RowClass.EVENT_END)


class OutboxWatch:
    """Looks at an outbox about once a second; ``health`` may be asked by any thread.

    Args:
        outbox: What is watched.
        metrics: Where it is shown.
        clock: Monotonic seconds.
        wall: Wall time, seconds since 1970 UTC.
    """

    def __init__(
        self,
        outbox: Outbox,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._outbox, self._metrics = outbox, metrics
        self._clock, self._wall = clock, wall
        self._stats: Stats | None = None
        self._look_at_s = -_EVERY_S

    def look(self) -> None:
        """Count what waits, unless that was done just now.

        Raises:
            StorageError: The outbox cannot be read.
        """
        now_s = self._clock()
        if now_s - self._look_at_s >= _EVERY_S:
            self._look_at_s = now_s
            self._stats = self._outbox.stats()
            self._metrics.set_outbox(self._stats)

    def health(self) -> tuple[Health, str]:
        """Whether messages were lost during the last day, or soon will be."""
        losses = self._outbox.losses
        if losses.last_s is not None and self._clock() - losses.last_s < _TOLD_S:
            what = ", ".join(f"{count} {kind.value}" for kind, count in losses.counts.items())
            severe = any(losses.counts.get(kind) for kind in _ENDS)
            text = f"messages given up since the start: {what}; {self._remedy}"
            return Health.CRITICAL if severe else Health.WARNING, text
        stats = self._stats
        if stats is None:
            return Health.UNKNOWN, "not looked at yet"
        waiting = f"{stats.messages} messages wait, {stats.bytes / 2**20:.1f} MB"
        size = stats.bytes / self._outbox.max_bytes
        age_s = 0.0 if stats.oldest_at is None else self._wall() - stats.oldest_at
        if max(size, age_s / self._outbox.max_age_s) >= _NEARLY:
            return Health.WARNING, f"{waiting}; soon some must be given up: {self._remedy}"
        return Health.HEALTHY, waiting

    @property
    def _remedy(self) -> str:
        return "bring the broker back, or raise outbox.max_mb and outbox.max_days"
