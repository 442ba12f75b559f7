"""``history.db``: what is in it, and how scores are packed.

A row is a *chunk*: scores of one monitor, one hop apart without a break, and what ended them. Rows
are numbered in the order in which they were begun, the runs of the daemon one after the other, so
that steps of the wall clock never put them out of order. Times are steady seconds; ``offset_s`` is
what the wall clock was ahead when the row was written.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from edge_asd.clock import CLOCK_FLOOR_S
from edge_asd.database import Schema
from edge_asd.records import FloatArray

FILE_NAME = "history.db"
MAX_SCORE = 65504.0
"""The largest float16; scores beyond it are kept as this."""
_RUN_BITS = 32

SCHEMA = Schema(
    version=1,
    statements=(
        "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        # id: number of the run, shifted by 32 bits, and number of the chunk in it.
        """CREATE TABLE chunks (
            id INTEGER PRIMARY KEY,
            monitor INTEGER NOT NULL REFERENCES names (id),
            profile INTEGER NOT NULL REFERENCES names (id),
            offset_s REAL NOT NULL,
            begin_s REAL NOT NULL,
            end_s REAL NOT NULL,
            hop_s REAL NOT NULL,
            mark TEXT,
            mark_s REAL NOT NULL,
            scores BLOB NOT NULL
        )""",
        "CREATE INDEX chunks_monitor ON chunks (monitor)",
    ),
    holds="scores of the last weeks",
)


class Mark(str, Enum):
    """What ended a stretch of scores; a gap leaves no mark."""

    IDLE = "idle"
    """The machine stopped: an alert ends, and the scores before do not count on."""
    UNKNOWN = "unknown"
    """It could not be told how the machine sounds: how long a score was low does not count on."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Scores one hop apart, as they go into the file."""

    monitor: str
    number: int
    """Counts up over all monitors of a run."""
    profile_key: str
    """Scores of different profiles do not compare; empty where there are none."""
    hop_s: float
    begin_s: float
    """Steady time of the end of the first window."""
    end_s: float
    """Steady time of the end of the last one."""
    scores: bytes
    """See `pack`."""
    mark: Mark | None = None
    mark_s: float = 0.0
    """Steady time of the mark."""


def pack(scores: Iterable[float]) -> bytes:
    """Scores as float16: the low bytes as they are, the high ones, which repeat, compressed."""
    values = np.clip(np.fromiter(scores, np.float64), -MAX_SCORE, MAX_SCORE).astype("<f2")
    halves = values.view(np.uint8).reshape(-1, 2)  # (n, 2)
    count = len(values).to_bytes(4, "little")
    return count + halves[:, 0].tobytes() + zlib.compress(halves[:, 1].tobytes(), 9)


def unpack(data: bytes) -> FloatArray:
    """Scores that ``pack`` made, (n,) float32.

    Raises:
        ValueError: It is something else.
    """
    count = int.from_bytes(data[:4], "little")
    try:
        high = zlib.decompress(data[4 + count :])
    except zlib.error as error:
        raise ValueError(f"scores cannot be unpacked: {error}") from error
    if len(high) != count:
        raise ValueError(f"{count} scores are announced, {len(high)} are there")
    halves = np.empty((count, 2), np.uint8)
    halves[:, 0] = np.frombuffer(data, np.uint8, count, 4)
    halves[:, 1] = np.frombuffer(high, np.uint8)
    return halves.view("<f2")[:, 0].astype(np.float32)


def next_run(connection: sqlite3.Connection) -> int:
    """Number of a run that begins now."""
    (newest,) = connection.execute("SELECT MAX(id) FROM chunks").fetchone()
    return 1 if newest is None else (int(newest) >> _RUN_BITS) + 1


def write_chunks(
    connection: sqlite3.Connection, run: int, chunks: Iterable[Chunk], offset_s: float
) -> None:
    """Write chunks, replacing what there is of them already, within the caller's transaction."""
    for chunk in chunks:
        connection.execute(
            "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                _id(run, chunk.number),
                _name(connection, chunk.monitor),
                _name(connection, chunk.profile_key),
                offset_s,
                chunk.begin_s,
                chunk.end_s,
                chunk.hop_s,
                None if chunk.mark is None else chunk.mark.value,
                chunk.mark_s,
                chunk.scores,
            ),
        )


def date(connection: sqlite3.Connection, run: int, offset_s: float) -> None:
    """Give a date to what was written before the clock was set, within the caller's transaction.

    What this run wrote before is dated exactly. An earlier run during which the clock never was
    set ended at an unknown time before the next one began: it is put right before that.
    """
    connection.execute(
        "UPDATE chunks SET offset_s = ? WHERE id >= ? AND end_s + offset_s < ?",
        (offset_s, _id(run, 0), CLOCK_FLOOR_S),
    )
    query = (
        "SELECT id >> 32, MIN(begin_s), MAX(end_s), MIN(begin_s + offset_s), MAX(end_s + offset_s)"
        " FROM chunks GROUP BY id >> 32 ORDER BY id >> 32 DESC"
    )
    next_wall_s = None
    for number, begin_s, end_s, begin_wall_s, end_wall_s in connection.execute(query).fetchall():
        if end_wall_s >= CLOCK_FLOOR_S or next_wall_s is None:
            next_wall_s = begin_wall_s
            continue
        placed_s = next_wall_s - end_s
        connection.execute(
            "UPDATE chunks SET offset_s = ? WHERE id >= ? AND id < ?",
            (placed_s, _id(number, 0), _id(number + 1, 0)),
        )
        next_wall_s = begin_s + placed_s


def prune(connection: sqlite3.Connection, before_wall_s: float) -> int:
    """Forget chunks that ended before a wall time; how many, within the caller's transaction."""
    return connection.execute(
        "DELETE FROM chunks WHERE end_s + offset_s < ?", (before_wall_s,)
    ).rowcount


def _id(run: int, number: int) -> int:
    return run << _RUN_BITS | number


def _name(connection: sqlite3.Connection, name: str) -> int:
    connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,))
    (number,) = connection.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
    return int(number)
