"""The listening ledger: every second of every monitor, and what became of it.

Silence is a result only where it is known that something listened. The worker says how time was
spent and which windows were scored; a second is *settled* once no later window can cover it, and
written down within ten seconds from then. Seconds that a kill takes are down time afterwards, never
scored ones. See `ledger_timeline` for how seconds are counted, `ledger_dates` for when they were.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar

from edge_asd.books.ledger_file import ANY_RUN, FILE_NAME, SCHEMA, Limits, Run, prune, write
from edge_asd.books.ledger_timeline import (
    Account,
    Stretch,
    Sums,
    Timeline,
    no_seconds,
    tally,
    whole,
)
from edge_asd.books.ledger_view import Passage, Summary, dated, passages, stretches_of, summarise
from edge_asd.database import Database
from edge_asd.errors import StorageError
from edge_asd.steady import SteadyClock

__all__ = ["Account", "Ledger"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_WRITE_EVERY_S = 8.0  # ten are promised, and a round of the worker takes its time
_PRUNE_EVERY_S = 3600.0


class Ledger:
    """Accounts of all monitors; used by the worker's thread only, and never raises for the disk.

    What the disk refuses waits in memory, coded as stretches, and is written once the disk is back.
    Beyond a few thousand stretches a monitor the older ones are condensed: every second keeps its
    account, only the order within them is lost.

    Args:
        directory: The state directory.
        clock: Steady time; somebody else calls its ``look``.
        keep_s: Age at which seconds are forgotten.
        keep_rows: Rows kept at most, some 60 bytes each; the oldest are forgotten first.
    """

    def __init__(
        self,
        directory: Path,
        clock: SteadyClock,
        *,
        keep_s: float = 400 * 86400.0,
        keep_rows: int = 500_000,
    ) -> None:
        self.failure = ""
        """Why nothing can be written at present; empty when all is well."""
        self._path = directory / FILE_NAME
        self._clock = clock
        self._limits = Limits(keep_s, keep_rows)
        now_s = clock.now()
        self._run = Run(whole(now_s), clock.offset_s)
        self._timelines: dict[str, Timeline] = {}
        self._left: set[str] = set()
        self._earlier: dict[str, tuple[tuple[int, int], Sums]] = {}
        self._database: Database | None = None
        try:
            self._database = self._open_file()
        except StorageError as error:
            self._failed(error)
        self._write_at_s, self._prune_at_s = now_s, now_s + _PRUNE_EVERY_S

    @property
    def started_s(self) -> float:
        """Steady time from which this run counts."""
        return float(self._run.started_s)

    @property
    def moved_aside(self) -> Path | None:
        """Where a damaged file went during this run; worth a health warning."""
        return None if self._database is None else self._database.moved_aside

    # What the worker says

    def open(self, monitor: str, settle_s: float) -> None:
        """Keep accounts of a monitor from the present second on.

        Time since its last second of an earlier run is down time. A monitor that is open already
        stays open with another ``settle_s``.

        Args:
            monitor: Its name.
            settle_s: Time that must have been spent after a second until it is certain that no
                window covers it: length of a window, and how late it may be scored.
        """
        now_s = self._clock.now()
        if monitor in self._timelines:
            self._timelines[monitor].settle_s = settle_s
            if monitor in self._left:
                self._left.discard(monitor)
                self._timelines[monitor].spend(now_s, Account.DOWN)
            return
        self._timelines[monitor] = Timeline(whole(now_s), settle_s)
        self._write_at_s = now_s

    def leave(self, monitor: str) -> None:
        """Nobody listens any more: what there is, is final; time until ``open`` is down time."""
        self._left.add(monitor)
        self._timelines[monitor].settle(everything=True)
        self._write_at_s = self._clock.now()

    def keep(self, keep_s: float) -> None:
        """Forget seconds at this age from now on."""
        self._limits = replace(self._limits, keep_s=keep_s)

    def spend(self, monitor: str, until_s: float, account: Account) -> None:
        """Give a monitor's time since the last call up to a moment to an account.

        Args:
            monitor: Its name.
            until_s: Steady time; nothing happens if it is not later than before.
            account: Where its seconds go that no scored window covers.

        Raises:
            ValueError: The account is ``SCORED``, which only ``scored`` gives.
        """
        if account is Account.SCORED:
            raise ValueError("only a scored window makes a second scored")
        self._timelines[monitor].spend(until_s, account)

    def scored(self, monitor: str, begin_s: float, end_s: float) -> None:
        """A window from ``begin_s`` to ``end_s``, steady time, was scored."""
        self._timelines[monitor].scored(begin_s, end_s)

    def look(self) -> None:
        """Write what is settled when it is time to, note that the clock was set, forget old rows.

        To be called every round of the worker; most calls do nothing.
        """
        now_s = self._clock.now()
        if self._run.note(whole(now_s), self._clock.offset_s):
            self._earlier.clear()
            self._write_at_s = now_s
        if now_s < self._write_at_s:
            return
        self._write_at_s = now_s + _WRITE_EVERY_S
        for timeline in self._timelines.values():
            timeline.settle()
        if self._write() and now_s >= self._prune_at_s:
            self._prune_at_s = now_s + _PRUNE_EVERY_S
            self._prune()

    def close(self) -> None:
        """Settle and write everything; a second call does nothing."""
        for timeline in self._timelines.values():
            timeline.settle(everything=True)
        if self._timelines and not self._write():
            logger.error("ledger not written at the end error=%s", self.failure)
        if self._database is not None:
            self._database.close()
        self._database = None
        self._timelines = {}

    # What became of time

    def totals(self, monitor: str, since_s: float, until_s: float) -> dict[Account, float]:
        """Seconds by account between two moments of steady time, up to the present one.

        Time before this run counts as the file has it; what cannot be read is left out.

        Returns:
            Every account.
        """
        sums = self._sums(monitor, whole(since_s), whole(until_s))
        return {account: float(seconds) for account, seconds in sums.items()}

    def coverage(self, monitor: str, since_s: float, until_s: float) -> float | None:
        """Share of the seconds between two moments that were scored; None without any."""
        sums = self._sums(monitor, whole(since_s), whole(until_s))
        seconds = sum(sums.values())
        return sums[Account.SCORED] / seconds if seconds else None

    def report(self, monitor: str, day: date) -> Summary | None:
        """Add up a day, UTC, also one before this run; None if nothing of it is accounted for.

        Seconds of the day that are still to come are not part of it, and neither are those that
        cannot be read.
        """
        midnight = datetime.combine(day, datetime.min.time(), timezone.utc)
        begin_s = int(midnight.timestamp())
        end_s = int((midnight + timedelta(days=1)).timestamp())
        every = self._passages(monitor, begin_s, end_s, ANY_RUN)
        timeline = self._timelines.get(monitor)
        if timeline is not None:
            every += dated(timeline.unwritten(), self._run.dates, begin_s, end_s)
        return summarise(every)

    # Inside

    def _sums(self, monitor: str, begin_s: int, end_s: int) -> Sums:
        timeline = self._timelines[monitor]
        sums = timeline.totals(begin_s, end_s)
        if not timeline.remembers(begin_s, end_s):
            stop_s = min(end_s, timeline.remembered_s)
            tally(self._rows(monitor, begin_s, stop_s), begin_s, stop_s, sums)
        if begin_s < timeline.opened_s:
            before = self._before(monitor, timeline, begin_s, min(end_s, timeline.opened_s))
            for account, seconds in before.items():
                sums[account] += seconds
        return sums

    def _before(self, monitor: str, timeline: Timeline, begin_s: int, end_s: int) -> Sums:
        """Seconds before this run; asked again and again for the start of the same alert."""
        known = self._earlier.get(monitor)
        if known is not None and known[0] == (begin_s, end_s):
            return known[1]
        dates = self._run.dates
        every = self._passages(monitor, dates.wall(begin_s), dates.wall(end_s), self._run.number)
        summary = summarise(every)
        sums = dict(summary.seconds) if summary else no_seconds()
        from_s = max(begin_s, timeline.opened_s - timeline.down_s)
        sums[Account.DOWN] += max(0, end_s - from_s)
        self._earlier[monitor] = ((begin_s, end_s), sums)
        return sums

    def _passages(self, monitor: str, begin_s: int, end_s: int, before: int) -> list[Passage]:
        return self._read(lambda c: list(passages(c, monitor, begin_s, end_s, before)))

    def _rows(self, monitor: str, begin_s: int, end_s: int) -> list[Stretch]:
        return self._read(
            lambda c: list(stretches_of(c, monitor, self._run.number, begin_s, end_s))
        )

    def _read(self, select: Callable[[sqlite3.Connection], list[T]]) -> list[T]:
        if self._database is None:
            return []
        try:
            return self._database.read(select)
        except StorageError as error:
            logger.debug("ledger not read error=%s", error)
            return []

    def _write(self) -> bool:
        """Write what is settled; False if the disk refuses."""
        try:
            if self._database is None:
                self._database = self._open_file()
            run, timelines = self._run, self._timelines
            downs = self._database.write(lambda c: write(c, run, timelines))
        except StorageError as error:
            self._failed(error)
            return False
        if self.failure:
            logger.info("ledger is written again")
        self.failure = ""
        self._run.placed = self._run.dates.known
        for monitor, timeline in self._timelines.items():
            timeline.written()
            if timeline.down_s != downs[monitor]:
                timeline.down_s = downs[monitor]
                self._earlier.clear()
        return True

    def _failed(self, error: StorageError) -> None:
        if not self.failure:
            logger.error("ledger not written, seconds wait in memory error=%s", error)
        self.failure = str(error)

    def _prune(self) -> None:
        if self._database is None:
            return
        run, limits = self._run, self._limits
        now_s = self._clock.wall(self._clock.now())
        try:
            gone = self._database.write(lambda c: prune(c, run, now_s, limits))
        except StorageError as error:  # what was written is safe
            logger.warning("old rows of the ledger not forgotten error=%s", error)
            return
        if gone:
            logger.info("old rows of the ledger forgotten rows=%d", gone)
            self._earlier.clear()

    def _open_file(self) -> Database:
        clock = self._clock
        return Database(self._path, SCHEMA, clock=lambda: clock.wall(clock.now()))
