"""The history as it is read: by the command line, beside a running daemon or without one."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asd.books.history_file import FILE_NAME, SCHEMA, Mark, unpack
from edge_asd.database import Database, has_table
from edge_asd.records import FloatArray

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Scores one hop apart without a break, and what ended them."""

    run: int
    """Number of the daemon's run; later ones are greater."""
    profile_key: str
    """Empty where there are no scores."""
    offset_s: float
    """Wall time minus steady time."""
    begin_s: float
    """Steady time of the end of the first window."""
    end_s: float
    """Steady time of the end of the last one."""
    hop_s: float
    scores: FloatArray
    """(n,)"""
    mark: Mark | None
    mark_s: float
    """Steady time of the mark."""

    @property
    def wall_s(self) -> NDArray[np.float64]:
        """Wall times of the windows' ends, (n,)."""
        steady_s = np.linspace(self.begin_s, self.end_s, len(self.scores))
        return np.asarray(steady_s + self.offset_s, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class KeySpan:
    """Scores in a row that belong to one profile."""

    profile_key: str
    begin: int
    end: int
    """After the last one."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of a monitor in the order in which they were made."""

    wall_s: NDArray[np.float64]
    """(n,) wall time of the end of every window; steps where the clock was set."""
    score: FloatArray
    """(n,) rounded to float16 when they were kept."""
    spans: tuple[KeySpan, ...]
    """Which of them compare with one another; they follow one another."""


def monitors_with_history(directory: Path) -> list[str]:
    """Names of the monitors of which there are scores.

    Raises:
        StorageError: The file cannot be read.
    """
    query = "SELECT DISTINCT n.name FROM chunks c JOIN names n ON n.id = c.monitor ORDER BY n.name"
    return [name for (name,) in _select(directory, query, ())]


def read_pieces(
    directory: Path, monitor: str, since: float | None = None, until: float | None = None
) -> list[Piece]:
    """Read what was kept of a monitor, in the order in which it was made.

    Args:
        directory: The state directory.
        monitor: Whose.
        since: Wall time; pieces that ended before are left out.
        until: Wall time; pieces that began later are left out.

    Raises:
        StorageError: The file cannot be read.
    """
    query = (
        "SELECT c.id, p.name, c.offset_s, c.begin_s, c.end_s, c.hop_s, c.scores, c.mark, c.mark_s"
        " FROM chunks c JOIN names p ON p.id = c.profile"
        " WHERE c.monitor = (SELECT id FROM names WHERE name = ?)"
        " AND c.end_s + c.offset_s >= ? AND c.begin_s + c.offset_s <= ? ORDER BY c.id"
    )
    bounds = (-np.inf if since is None else since, np.inf if until is None else until)
    pieces = []
    for row in _select(directory, query, (monitor, *bounds)):
        number, key, offset_s, begin_s, end_s, hop_s, packed, mark, mark_s = row
        try:
            scores = unpack(packed)
            kind = None if mark is None else Mark(mark)
        except ValueError as error:  # a damaged row is a gap, not the end of all history
            logger.warning("history of %s has a damaged chunk %d error=%s", monitor, number, error)
            continue
        pieces.append(
            Piece(number >> 32, key, offset_s, begin_s, end_s, hop_s, scores, kind, mark_s)
        )
    return pieces


def read_scores(
    directory: Path, monitor: str, since: float | None = None, until: float | None = None
) -> Scores:
    """Read a monitor's scores.

    Args:
        directory: The state directory.
        monitor: Whose.
        since: Wall time of the first.
        until: Wall time before which the last one lies.

    Raises:
        StorageError: The file cannot be read.
    """
    walls: list[NDArray[np.float64]] = [np.empty(0)]
    scores: list[FloatArray] = [np.empty(0, np.float32)]
    spans: list[KeySpan] = []
    total = 0
    for piece in read_pieces(directory, monitor, since, until):
        wall_s = piece.wall_s
        inside = np.ones(len(wall_s), np.bool_)
        if since is not None:
            inside &= wall_s >= since
        if until is not None:
            inside &= wall_s < until
        count = int(inside.sum())
        if not count:
            continue
        walls.append(wall_s[inside])
        scores.append(piece.scores[inside])
        begin = total
        if spans and spans[-1].profile_key == piece.profile_key:
            begin = spans.pop().begin
        total += count
        spans.append(KeySpan(piece.profile_key, begin, total))
    return Scores(np.concatenate(walls), np.concatenate(scores), tuple(spans))


def _select(directory: Path, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    """Rows of the file; none where it does not exist yet."""
    path = directory / FILE_NAME
    if not path.exists():
        return []

    def rows(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
        if not has_table(connection, "chunks"):
            return []
        return connection.execute(query, values).fetchall()

    database = Database(path, SCHEMA, read_only=True)
    try:
        return database.read(rows)
    finally:
        database.close()
