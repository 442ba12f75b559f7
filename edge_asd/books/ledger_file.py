"""``ledger.db``: runs, when they were, and what became of their seconds.

One transaction writes everything that is settled, so that a kill leaves the file as it was or as it
should be. What a run did not come to write is down time: the next run puts it before its own first
second, from the last second that is in the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from edge_asd.books.ledger_dates import Anchor, Dates
from edge_asd.books.ledger_timeline import Timeline
from edge_asd.database import Schema

FILE_NAME = "ledger.db"
_MAX_ANCHORS = 1000
ANY_RUN = 2**62
"""Greater than the number of every run."""

SCHEMA = Schema(
    version=1,
    statements=(
        "CREATE TABLE runs (run INTEGER PRIMARY KEY, started_s INTEGER NOT NULL)",
        """CREATE TABLE anchors (
            run INTEGER NOT NULL,
            steady_s INTEGER NOT NULL,
            offset_s INTEGER NOT NULL,
            PRIMARY KEY (run, steady_s)
        ) WITHOUT ROWID""",
        # Before opened_s, and for so long as down_s says, no daemon ran.
        """CREATE TABLE monitors (
            monitor TEXT NOT NULL,
            run INTEGER NOT NULL,
            opened_s INTEGER NOT NULL,
            down_s INTEGER NOT NULL,
            PRIMARY KEY (monitor, run)
        ) WITHOUT ROWID""",
        # Run-length rows in steady seconds; those of one monitor and run follow one another.
        """CREATE TABLE stretches (
            monitor TEXT NOT NULL,
            run INTEGER NOT NULL,
            begin_s INTEGER NOT NULL,
            end_s INTEGER NOT NULL CHECK (end_s > begin_s),
            account TEXT NOT NULL,
            PRIMARY KEY (monitor, run, begin_s)
        ) WITHOUT ROWID""",
    ),
    holds="the seconds accounted for",
)


_SWEEP = (
    # What is down time before a second that is forgotten is forgotten with it.
    """UPDATE monitors AS m SET down_s = 0 WHERE EXISTS
        (SELECT 1 FROM stretches s WHERE s.monitor = m.monitor AND s.run = m.run)
        AND NOT EXISTS (SELECT 1 FROM stretches s
            WHERE s.monitor = m.monitor AND s.run = m.run AND s.begin_s = m.opened_s)""",
    """DELETE FROM monitors AS m WHERE run < :current AND run <
        (SELECT MIN(run) FROM stretches s WHERE s.monitor = m.monitor)""",
    """DELETE FROM runs WHERE run < :current
        AND NOT EXISTS (SELECT 1 FROM monitors m WHERE m.run = runs.run)""",
    """DELETE FROM anchors WHERE run < :current
        AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run = anchors.run)""",
)


class Run:
    """This run of the daemon, as far as the file is concerned.

    Args:
        started_s: Its first steady second.
        offset_s: Wall time minus steady time then.
    """

    def __init__(self, started_s: int, offset_s: float) -> None:
        self.started_s = started_s
        self.anchors = [Anchor(started_s, round(offset_s))]
        self.number = ANY_RUN
        """Its number in the file; greater than any while it has none."""
        self.placed = False
        """Whether the undated runs before it were dated by it."""

    @property
    def dates(self) -> Dates:
        """When its seconds were, as the clock is set now."""
        return Dates(self.anchors)

    def note(self, steady_s: int, offset_s: float) -> bool:
        """Keep a new anchor if the clock was set; True if so."""
        last = self.anchors[-1]
        if abs(offset_s - last.offset_s) < 1.0:
            return False
        # A clock that never rests: the place of its last steps is kept no longer.
        if steady_s == last.steady_s or len(self.anchors) >= _MAX_ANCHORS:
            steady_s = self.anchors.pop().steady_s
        self.anchors.append(Anchor(steady_s, round(offset_s)))
        return True


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept."""

    keep_s: float
    keep_rows: int


def write(
    connection: sqlite3.Connection, run: Run, timelines: Mapping[str, Timeline]
) -> dict[str, int]:
    """Write what is settled, within the caller's transaction.

    The caller marks it as written once the transaction is through.

    Returns:
        Seconds before the first one of each monitor in which no daemon ran.
    """
    _enter(connection, run, timelines)
    connection.executemany(
        "INSERT OR REPLACE INTO anchors VALUES (?, ?, ?)",
        [(run.number, anchor.steady_s, anchor.offset_s) for anchor in run.anchors],
    )
    if not run.placed and run.dates.known:
        _place_earlier(connection, run)
    downs = {name: _down_before(connection, run, name, t) for name, t in timelines.items()}
    connection.executemany(
        "INSERT OR REPLACE INTO monitors VALUES (?, ?, ?, ?)",
        [(name, run.number, t.filed_s, downs[name]) for name, t in timelines.items()],
    )
    for name, timeline in timelines.items():
        connection.executemany(
            "INSERT OR REPLACE INTO stretches VALUES (?, ?, ?, ?, ?)",
            [(name, run.number, s.begin_s, s.end_s, s.account.value) for s in timeline.waiting()],
        )
    return downs


def dates_of(connection: sqlite3.Connection, run: int) -> Dates:
    """When the seconds of a run in the file were."""
    return Dates(_anchors(connection, run))


def prune(connection: sqlite3.Connection, run: Run, now_s: float, limits: Limits) -> int:
    """Forget what is older or more than is kept, within the caller's transaction.

    Returns:
        Number of rows forgotten.
    """
    gone = 0
    for number, _ in _earlier(connection, ANY_RUN):
        spans = list(dates_of(connection, number).spans(now_s - limits.keep_s, ANY_RUN))
        first_s = min((first for first, _, _ in spans), default=ANY_RUN)
        gone += connection.execute(
            "DELETE FROM stretches WHERE run = ? AND end_s <= ?", (number, first_s)
        ).rowcount
        connection.execute(
            "DELETE FROM monitors AS m WHERE run = ? AND run < ? AND opened_s <= ? AND NOT EXISTS"
            " (SELECT 1 FROM stretches s WHERE s.monitor = m.monitor AND s.run = m.run)",
            (number, run.number, first_s),
        )
    (rows,) = connection.execute("SELECT COUNT(*) FROM stretches").fetchone()
    if rows > limits.keep_rows:
        # Some more than must be, so that this is seldom done.
        surplus = rows - limits.keep_rows + limits.keep_rows // 20
        gone += connection.execute(
            "DELETE FROM stretches WHERE (monitor, run, begin_s) IN (SELECT monitor, run, begin_s"
            " FROM stretches ORDER BY run, begin_s LIMIT ?)",
            (surplus,),
        ).rowcount
    for statement in _SWEEP:
        connection.execute(statement, {"current": run.number})
    return gone


def _enter(connection: sqlite3.Connection, run: Run, timelines: Mapping[str, Timeline]) -> None:
    """Make sure that the file knows the run: it may be a new file, after damage to the old one."""
    if connection.execute("SELECT 1 FROM runs WHERE run = ?", (run.number,)).fetchone():
        return
    if run.number == ANY_RUN:
        query = "SELECT COALESCE(MAX(run), 0) + 1 FROM runs"
        (run.number,) = connection.execute(query).fetchone()
    for timeline in timelines.values():
        timeline.lost()
    connection.execute("INSERT INTO runs VALUES (?, ?)", (run.number, run.started_s))


def _down_before(connection: sqlite3.Connection, run: Run, monitor: str, timeline: Timeline) -> int:
    query = "SELECT down_s FROM monitors WHERE monitor = ? AND run = ?"
    row = connection.execute(query, (monitor, run.number)).fetchone()
    if row is not None and (run.placed or not run.dates.known):
        return int(row[0])
    return _down(connection, monitor, run.number, run.dates, timeline.filed_s)


def _down(
    connection: sqlite3.Connection, monitor: str, run: int, dates: Dates, opened_s: int
) -> int:
    """Seconds from the last one of a monitor in an earlier run to its first one in this."""
    # A run that was killed before its first row ends where it began.
    row = connection.execute(
        "SELECT m.run, COALESCE((SELECT MAX(end_s) FROM stretches s WHERE s.monitor = m.monitor"
        " AND s.run = m.run AND s.begin_s = (SELECT MAX(begin_s) FROM stretches t"
        " WHERE t.monitor = m.monitor AND t.run = m.run)), m.opened_s)"
        " FROM monitors m WHERE m.monitor = ? AND m.run < ? ORDER BY m.run DESC LIMIT 1",
        (monitor, run),
    ).fetchone()
    if row is None:
        return 0
    earlier = dates_of(connection, row[0])
    if earlier.known is not dates.known:
        return 0  # nobody knows, until the clock is set
    # By the clock as it was set last: a step after the last row is a step, and not down time.
    return int(max(0, dates.wall(opened_s) - row[1] - earlier.anchors[-1].offset_s))


def _place_earlier(connection: sqlite3.Connection, run: Run) -> None:
    """Date runs in which the clock was never set, back to back before one that can be dated.

    Between two of them lies what their own clocks say, which is right within one boot of the
    machine and too little across two: the rest is down time before the first of them.
    """
    limit_s, next_first = run.dates.wall(run.started_s), run.anchors[0]
    placed: list[int] = []
    for number, started_s in _earlier(connection, run.number):
        anchors = _anchors(connection, number)
        if Dates(anchors).known:
            break
        end_s, pause_s = _end_of(connection, number), 0
        if not next_first.plausible:
            began_s = next_first.steady_s + next_first.offset_s
            pause_s = max(0, began_s - end_s - anchors[-1].offset_s)
        offset_s = limit_s - pause_s - end_s
        connection.execute(
            "INSERT OR REPLACE INTO anchors VALUES (?, ?, ?)", (number, started_s, offset_s)
        )
        limit_s, next_first = started_s + offset_s, anchors[0]
        placed.append(number)
    for number in reversed(placed):
        rows = connection.execute("SELECT monitor, opened_s FROM monitors WHERE run = ?", (number,))
        for monitor, opened_s in rows.fetchall():
            down_s = _down(connection, monitor, number, dates_of(connection, number), opened_s)
            connection.execute(
                "UPDATE monitors SET down_s = ? WHERE monitor = ? AND run = ?",
                (down_s, monitor, number),
            )


def _earlier(connection: sqlite3.Connection, run: int) -> list[tuple[int, int]]:
    """Runs before one and their first seconds, the latest first."""
    query = "SELECT run, started_s FROM runs WHERE run < ? ORDER BY run DESC"
    return connection.execute(query, (run,)).fetchall()


def _end_of(connection: sqlite3.Connection, run: int) -> int:
    query = (
        "SELECT MAX(opened_s), (SELECT MAX(end_s) FROM stretches WHERE stretches.run = monitors.run"
        " AND stretches.monitor IN (SELECT monitor FROM monitors)) FROM monitors WHERE run = ?"
    )
    opened_s, end_s = connection.execute(query, (run,)).fetchone()
    return int(end_s or opened_s)


def _anchors(connection: sqlite3.Connection, run: int) -> list[Anchor]:
    query = "SELECT steady_s, offset_s FROM anchors WHERE run = ? ORDER BY steady_s"
    return [Anchor(*row) for row in connection.execute(query, (run,))]
