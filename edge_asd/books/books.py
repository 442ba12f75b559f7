"""What is written down of every second, every score and every alert; used by the worker only.

None of the books ever stops the worker: what cannot be written is said on the health board.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from edge_asd.books.history import History
from edge_asd.books.ledger import Ledger
from edge_asd.books.ledger_view import Summary
from edge_asd.evidence.desk import EvidenceDesk
from edge_asd.health import Health, HealthBoard
from edge_asd.metrics.metrics import Metrics
from edge_asd.steady import SteadyClock

_COUNT_EVERY_S = 5.0


class Books:
    """Ledger, history and evidence, kept up to date with every round of the worker.

    Args:
        ledger: Every second.
        history: Every score.
        evidence: Every alert.
        clock: Steady time, and what wall time it is.
        metrics: Prometheus.
        health: The board of checks.
    """

    def __init__(
        self,
        ledger: Ledger,
        history: History,
        evidence: EvidenceDesk,
        *,
        clock: SteadyClock,
        metrics: Metrics,
        health: HealthBoard,
    ) -> None:
        self.ledger, self.history, self.evidence = ledger, history, evidence
        self._clock, self._metrics, self._health = clock, metrics, health
        self._monitors: list[str] = []
        self._failures: dict[str, str] = {}
        self._count_at_s = 0.0
        self._today: date | None = None

    def open(self, monitor: str, settle_s: float) -> None:
        """Keep books of a monitor from now on.

        Args:
            monitor: Its name.
            settle_s: Time after a second until no window can cover it any more.
        """
        if monitor not in self._monitors:
            self._monitors.append(monitor)
        self.ledger.open(monitor, settle_s)

    def leave(self, monitor: str) -> None:
        """Keep no more books of a monitor."""
        self._monitors.remove(monitor)
        self.ledger.leave(monitor)
        self.history.unknown(monitor, self._clock.now())

    def look(self) -> date | None:
        """Write what is due; cheap.

        Returns:
            The day before this one, UTC, once a day: its reports are due.
        """
        self.ledger.look()
        self.history.look()
        self._show_failures()
        now_s = self._clock.now()
        if now_s >= self._count_at_s:
            self._count_at_s = now_s + _COUNT_EVERY_S
            self._count(now_s)
        today = datetime.fromtimestamp(self._clock.wall(now_s), tz=timezone.utc).date()
        if today == self._today:
            return None
        self._today = today
        return today - timedelta(days=1)

    def reports(self, day: date) -> Iterator[tuple[str, Summary]]:
        """What the ledger says of a day, for every monitor of which it says anything."""
        for monitor in self._monitors:
            summary = self.ledger.report(monitor, day)
            if summary is not None:
                yield monitor, summary

    def _show_failures(self) -> None:
        failures = {
            "ledger": self.ledger.failure or _aside(self.ledger.moved_aside),
            "history": self.history.failure,
            "evidence": self.evidence.failure,
        }
        if failures == self._failures:
            return
        self._failures = failures
        for name, failure in failures.items():
            status = Health.WARNING if failure else Health.HEALTHY
            self._health.set(name, status, failure or "is written")

    def _count(self, now_s: float) -> None:
        for monitor in self._monitors:
            totals = self.ledger.totals(monitor, self.ledger.started_s, now_s)
            self._metrics.hearing.set_ledger(monitor, totals)
        self._metrics.hearing.set_evidence_usage(self.evidence.usage())
        self._metrics.hearing.set_history_dropped(self.history.dropped)


def _aside(path: Path | None) -> str:
    return "" if path is None else f"a damaged file was moved to {path}; look into it, then restart"
