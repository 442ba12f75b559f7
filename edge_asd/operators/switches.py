"""What an operator has switched of a monitor: off, under maintenance, silent for a while.

*Switched off* lasts until somebody switches on again. *Inhibited* is maintenance: as switched
off, but it ends by itself if it was given minutes. In both nothing is scored or learned, an open
alert ends so that nobody waits for it, and the ledger says ``inhibited``. *Snoozed* silences only:
scoring and evidence go on and alerts are recorded, but none is raised until the snooze is over.

Inside, ends are steady times, so that thirty minutes are thirty minutes whatever the wall clock
does. On disk they are wall times beside what was asked for: after a restart a switch never lasts
longer than was asked for, also where the board starts in 1970.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import dataclass, replace
from typing import Any

from edge_asd.clock import CLOCK_FLOOR_S
from edge_asd.database import Database, has_table
from edge_asd.errors import StorageError
from edge_asd.steady import STEP_S, SteadyClock

logger = logging.getLogger(__name__)

MAX_S = 7 * 86400.0
"""Longest inhibition or snooze that ends by itself."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that an operator asked for, until a moment or until somebody ends it."""

    by: str
    until_s: float | None = None
    """Steady time; None until somebody ends it."""
    asked_s: float | None = None
    """For how long it was asked for; None as ``until_s``."""

    def over(self, now_s: float) -> bool:
        """Whether it has ended by itself."""
        return self.until_s is not None and now_s >= self.until_s


@dataclass(frozen=True, slots=True)
class Switches:
    """How the switches of one monitor stand."""

    off: Span | None = None
    """Switched off, by whom; None while it is on."""
    inhibition: Span | None = None
    """Maintenance; None without one."""
    snooze: Span | None = None
    """Silence; None without one."""

    @property
    def enabled(self) -> bool:
        """Whether the monitor is switched on."""
        return self.off is None

    @property
    def inhibited(self) -> bool:
        """Whether there is maintenance."""
        return self.inhibition is not None

    @property
    def silent(self) -> bool:
        """Whether nothing may be scored or learned, for one reason or the other."""
        return self.off is not None or self.inhibition is not None

    @property
    def snoozed(self) -> bool:
        """Whether no alert may be raised."""
        return self.snooze is not None

    @property
    def inhibited_until(self) -> float | None:
        """Steady time at which maintenance ends by itself."""
        return None if self.inhibition is None else self.inhibition.until_s

    @property
    def snoozed_until(self) -> float | None:
        """Steady time at which the snooze ends."""
        return None if self.snooze is None else self.snooze.until_s

    @property
    def reason(self) -> str:
        """Why nothing is scored, for people; empty while it is."""
        if self.off is not None:
            return f"switched off by {self.off.by}"
        return "" if self.inhibition is None else f"inhibited by {self.inhibition.by}"

    def at(self, now_s: float) -> Switches:
        """The same without what has ended by itself."""
        inhibition, snooze = self.inhibition, self.snooze
        return replace(
            self,
            inhibition=None if inhibition is None or inhibition.over(now_s) else inhibition,
            snooze=None if snooze is None or snooze.over(now_s) else snooze,
        )


class SwitchTable:
    """Switches of all monitors in ``events.db``; safe to use from every thread.

    Args:
        database: The open file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, clock: SteadyClock) -> dict[str, Switches]:
        """All switches that anybody ever touched, by monitor, as they stand now.

        Raises:
            StorageError: They cannot be read.
        """

        def select(connection: sqlite3.Connection) -> list[tuple[str, str]]:
            if not has_table(connection, "switches"):
                return []
            return connection.execute("SELECT monitor, payload FROM switches").fetchall()

        return {name: _parsed(text, clock) for name, text in self._database.read(select)}

    def save(self, monitor: str, switches: Switches, clock: SteadyClock) -> None:
        """Remember how they stand.

        Raises:
            StorageError: They are not stored.
        """
        spans = {"off": switches.off, "inhibit": switches.inhibition, "snooze": switches.snooze}
        fields = {name: _written(span, clock) for name, span in spans.items() if span is not None}
        statement = (
            "INSERT INTO switches (monitor, payload) VALUES (?, ?)"
            " ON CONFLICT (monitor) DO UPDATE SET payload = excluded.payload"
        )
        self._database.write(lambda c: c.execute(statement, (monitor, json.dumps(fields))))


class Switchboard:
    """Switches in force and on disk; used by the worker's thread only.

    Args:
        table: Where they are kept.
        clock: Steady time, and what wall time it is.

    Raises:
        StorageError: What was kept cannot be read.
    """

    def __init__(self, table: SwitchTable, clock: SteadyClock) -> None:
        self._table, self._clock = table, clock
        self._offset_s = clock.offset_s
        self._unset = clock.wall(clock.now()) < CLOCK_FLOOR_S
        self._touched: set[str] = set()  # in this run
        self._switches = table.load(clock)

    def of(self, monitor: str) -> Switches:
        """How those of a monitor stand now; what has ended by itself is gone."""
        known = self._switches.get(monitor, Switches())
        now = known.at(self._clock.now())
        if now != known:
            self._switches[monitor] = now
        return now

    def set(self, monitor: str, switches: Switches) -> None:
        """Change those of a monitor, first on disk.

        Raises:
            StorageError: They are not stored, and stay as they were.
        """
        self._table.save(monitor, switches, self._clock)
        self._switches[monitor] = switches
        self._touched.add(monitor)

    def look(self) -> None:
        """Follow the wall clock where it was set; most calls do nothing."""
        offset_s = self._clock.offset_s
        if abs(offset_s - self._offset_s) < STEP_S:
            return
        self._offset_s = offset_s
        if self._unset:
            self._unset = False
            self._take_up_again()
        for monitor, switches in self._switches.items():
            self._redate(monitor, switches)

    def _redate(self, monitor: str, switches: Switches) -> None:
        try:
            self._table.save(monitor, switches, self._clock)
        except StorageError as error:  # only a restart would need it
            logger.warning("monitor=%s switches not stored error=%s", monitor, error)

    def _take_up_again(self) -> None:
        """A board that started in 1970 knows the time now: what should have ended earlier does."""
        try:
            found = self._table.load(self._clock)
        except StorageError as error:
            logger.warning("switches not read again error=%s", error)
            return
        # What was set since the start is dated 1970 on disk, and known better here.
        self._switches |= {name: kept for name, kept in found.items() if name not in self._touched}


def _written(span: Span, clock: SteadyClock) -> dict[str, Any]:
    until = None if span.until_s is None else clock.wall(span.until_s)
    return {"by": span.by, "until": until, "asked_s": span.asked_s}


def _parsed(text: str, clock: SteadyClock) -> Switches:
    fields = json.loads(text)
    return Switches(
        off=_span(fields.get("off"), clock),
        inhibition=_span(fields.get("inhibit"), clock),
        snooze=_span(fields.get("snooze"), clock),
    ).at(clock.now())


def _span(fields: dict[str, Any] | None, clock: SteadyClock) -> Span | None:
    if fields is None:
        return None
    until, asked_s = fields["until"], fields["asked_s"]
    if until is None:
        return Span(fields["by"])
    now_s = clock.now()
    left_s = min(until - clock.wall(now_s), MAX_S if asked_s is None else asked_s)
    return Span(fields["by"], now_s + left_s, asked_s)
