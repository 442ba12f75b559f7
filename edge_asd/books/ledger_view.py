"""The ledger by wall time: what became of the seconds between two moments."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asd.books.ledger_dates import Dates
from edge_asd.books.ledger_file import ANY_RUN, FILE_NAME, SCHEMA, dates_of
from edge_asd.books.ledger_timeline import Account, Stretch, Sums, no_seconds
from edge_asd.database import Database, has_table


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive seconds of one account, as the wall clock showed them: [begin_s, end_s)."""

    begin_s: int
    end_s: int
    account: Account


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a span of wall time."""

    begin_s: int
    """First second that is accounted for, since 1970 UTC."""
    end_s: int
    seconds: Sums
    """By account; all of them."""
    clock_steps_s: int
    """By how much the wall clock was set forward in between, less what it was set back."""

    @property
    def accounted_s(self) -> int:
        """Seconds in all accounts together; with ``clock_steps_s`` it is the wall time."""
        return sum(self.seconds.values())

    @property
    def coverage(self) -> float:
        """Share of the seconds that were scored, 0 to 1."""
        return self.seconds[Account.SCORED] / self.accounted_s

    def over(self, begin_s: int, end_s: int) -> Summary:
        """The same seconds, seen in another span: the clock may have jumped over its edges."""
        return Summary(begin_s, end_s, self.seconds, end_s - begin_s - self.accounted_s)


class LedgerReader:
    """The ledger of a state directory, for a process that looks while a daemon may run.

    Args:
        directory: The state directory; the ledger must be there.

    Raises:
        StorageError: It cannot be opened.
    """

    def __init__(self, directory: Path) -> None:
        self._database = Database(directory / FILE_NAME, SCHEMA, read_only=True)

    def monitors(self) -> list[str]:
        """Names of all monitors that were ever kept, sorted.

        Raises:
            StorageError: It cannot be read.
        """

        def select(connection: sqlite3.Connection) -> list[str]:
            if not has_table(connection, "monitors"):
                return []
            return [name for (name,) in connection.execute("SELECT DISTINCT monitor FROM monitors")]

        return sorted(self._database.read(select))

    def passages(self, monitor: str, begin_s: int, end_s: int) -> list[Passage]:
        """What became of a span of wall time, in the order in which it was recorded.

        Raises:
            StorageError: It cannot be read.
        """
        return self._database.read(lambda c: list(passages(c, monitor, begin_s, end_s, ANY_RUN)))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._database.close()


def passages(
    connection: sqlite3.Connection, monitor: str, begin_s: int, end_s: int, before_run: int
) -> Iterator[Passage]:
    """Read a span of wall time from the file, in the order in which it was recorded.

    Args:
        connection: The file.
        monitor: Name of the monitor.
        begin_s: First second, since 1970 UTC.
        end_s: Second after the last one.
        before_run: Only runs with a lower number.
    """
    runs = connection.execute(
        "SELECT run, opened_s, down_s FROM monitors WHERE monitor = ? AND run < ? ORDER BY run",
        (monitor, before_run),
    ).fetchall()
    for run, opened_s, down_s in runs:
        down = Stretch(opened_s - down_s, opened_s, Account.DOWN)
        dates = dates_of(connection, run)
        for first_s, stop_s, offset_s in dates.spans(begin_s, end_s):
            rows = stretches_of(connection, monitor, run, first_s, stop_s)
            yield from _shown([down, *rows], first_s, stop_s, offset_s)


def dated(
    stretches: Iterable[Stretch], dates: Dates, begin_s: int, end_s: int
) -> Iterator[Passage]:
    """What of the stretches of one run lies in a span of wall time."""
    every = list(stretches)
    for first_s, stop_s, offset_s in dates.spans(begin_s, end_s):
        yield from _shown(every, first_s, stop_s, offset_s)


def stretches_of(
    connection: sqlite3.Connection, monitor: str, run: int, begin_s: int, end_s: int
) -> Iterator[Stretch]:
    """Read the rows of one run that touch a span of its steady seconds."""
    # Rows of one run do not overlap: the first that matters is the last that begins in time.
    query = (
        "SELECT begin_s, end_s, account FROM stretches WHERE monitor = :monitor AND run = :run"
        " AND begin_s < :end AND end_s > :begin AND begin_s >= COALESCE("
        "(SELECT MAX(begin_s) FROM stretches WHERE monitor = :monitor AND run = :run"
        " AND begin_s <= :begin), :begin)"
    )
    bounds = {"monitor": monitor, "run": run, "begin": begin_s, "end": end_s}
    for first_s, stop_s, account in connection.execute(query, bounds).fetchall():
        yield Stretch(first_s, stop_s, Account(account))


def within(every: Iterable[Passage], begin_s: int, end_s: int) -> list[Passage]:
    """What of the passages lies in a span of wall time."""
    return [
        Passage(max(p.begin_s, begin_s), min(p.end_s, end_s), p.account)
        for p in every
        if p.begin_s < end_s and p.end_s > begin_s
    ]


def summarise(every: Sequence[Passage]) -> Summary | None:
    """Add passages up, which are in the order in which they were recorded; None without any."""
    if not every:
        return None
    seconds = no_seconds()
    for passage in every:
        seconds[passage.account] += passage.end_s - passage.begin_s
    # Time without a daemon is in the account DOWN: what else is missing, the clock has jumped over.
    return Summary(0, 0, seconds, 0).over(every[0].begin_s, every[-1].end_s)


def longest_unscored(every: Iterable[Passage], count: int) -> list[Passage]:
    """Find the longest passages in which nothing was scored for one reason, the longest first."""
    joined: list[Passage] = []
    for passage in every:
        last = joined[-1] if joined else None
        if last and last.account is passage.account and last.end_s == passage.begin_s:
            joined[-1] = Passage(last.begin_s, passage.end_s, passage.account)
        else:
            joined.append(passage)
    unscored = (passage for passage in joined if passage.account is not Account.SCORED)
    return sorted(unscored, key=lambda p: (p.begin_s - p.end_s, p.begin_s))[:count]


def _shown(
    stretches: Iterable[Stretch], first_s: int, stop_s: int, offset_s: int
) -> Iterator[Passage]:
    for stretch in stretches:
        begin_s, end_s = max(stretch.begin_s, first_s), min(stretch.end_s, stop_s)
        if begin_s < end_s:
            yield Passage(begin_s + offset_s, end_s + offset_s, stretch.account)
