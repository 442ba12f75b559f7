"""Every score of the last weeks, so that "what if" can be answered: see ``edge-asd threshold``.

Scores come one at a time and go to disk in chunks of some minutes, float16. The chunk that is still
growing is written once a minute and replaced, so that a kill loses that much at most. A disk that
takes nothing is told in ``failure`` and tried again; meanwhile finished chunks wait in memory, the
oldest dropped first, counted.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from edge_asd.books.history_file import (
    FILE_NAME,
    SCHEMA,
    Chunk,
    Mark,
    date,
    next_run,
    pack,
    prune,
    write_chunks,
)
from edge_asd.clock import CLOCK_FLOOR_S
from edge_asd.database import Database
from edge_asd.errors import StorageError
from edge_asd.steady import SteadyClock

logger = logging.getLogger(__name__)

CHUNK_S = 540.0
"""Time in a chunk at most; at a hop of a second four of them fill a page of the file."""
WRITE_EVERY_S = 60.0
MAX_WAITING = 1024
"""Finished chunks that wait for the disk at most: a week of one monitor, about 1 MB."""
_MANY_WAITING = 64  # a replay at full speed fills chunks in no time: they do not wait for a minute
_PRUNE_EVERY_S = 3600.0


@dataclass(slots=True)
class _Growing:
    """A chunk that takes scores."""

    monitor: str
    number: int
    profile_key: str
    hop_s: float
    begin_s: float
    end_s: float
    scores: list[float] = field(default_factory=list)
    written: int = 0
    """Scores of it that are on the disk."""

    def takes(self, profile_key: str, hop_s: float, end_s: float) -> bool:
        """Whether a score goes on where this chunk ends."""
        return (
            self.profile_key == profile_key
            and self.hop_s == hop_s
            and len(self.scores) * hop_s < CHUNK_S
            # Not exactly a hop: the rate of a microphone is measured anew all the time.
            and abs(end_s - self.end_s - hop_s) <= hop_s / 2.0
        )

    def chunk(self, mark: Mark | None = None, mark_s: float = 0.0) -> Chunk:
        """As it stands."""
        return Chunk(
            self.monitor,
            self.number,
            self.profile_key,
            self.hop_s,
            self.begin_s,
            self.end_s,
            pack(self.scores),
            mark,
            mark_s,
        )


class History:
    """Scores of all monitors; used by one thread. Nothing here raises because of the disk.

    Args:
        directory: The state directory.
        clock: Steady time, and what wall time it is.
        keep_s: Age at which scores are forgotten.
    """

    def __init__(
        self, directory: Path, clock: SteadyClock, *, keep_s: float = 30 * 86400.0
    ) -> None:
        self.failure = ""
        """Why nothing can be written, or nothing."""
        self.dropped = 0
        """Scores that the disk did not take in time."""
        self._path = directory / FILE_NAME
        self._clock, self._keep_s = clock, keep_s
        self._database: Database | None = None  # opened with the first write
        self._run: int | None = None
        self._number = 0
        self._growing: dict[str, _Growing] = {}
        self._waiting: deque[Chunk] = deque()
        self._marks: dict[str, Mark | None] = {}  # since which nothing was scored
        self._write_at_s = clock.now() + WRITE_EVERY_S
        self._prune_at_s = clock.now()
        self._dated = False  # whether the clock was set when the file was last written

    def add(
        self, monitor: str, *, profile_key: str, hop_s: float, end_s: float, score: float
    ) -> None:
        """Keep the score of a window.

        A score that is not a number is not kept. That a window may not end an alert, because it is
        louder than enrolled, is not kept either: such windows are rare, and a replay lets them.

        Args:
            monitor: Whose.
            profile_key: Of the profile it was scored with.
            hop_s: Time since the window scored before it; longer under overload.
            end_s: Steady time of the window's end.
            score: What it scored.
        """
        if not math.isfinite(score):
            return
        self._marks[monitor] = None
        growing = self._growing.get(monitor)
        if growing is None or not growing.takes(profile_key, hop_s, end_s):
            self._finish(monitor)
            growing = _Growing(monitor, self._next(), profile_key, hop_s, end_s, end_s)
            self._growing[monitor] = growing
        growing.scores.append(score)
        growing.end_s = end_s

    def idle(self, monitor: str, at_s: float) -> None:
        """The machine stopped at this steady time; said again, it changes nothing."""
        if self._marks.get(monitor) is not Mark.IDLE:
            self._mark(monitor, Mark.IDLE, at_s)

    def unknown(self, monitor: str, at_s: float) -> None:
        """From this steady time it could not be told how the machine sounds."""
        # Where nothing was scored since the start or a mark, there is nothing to break off.
        if self._marks.get(monitor, Mark.UNKNOWN) is None:
            self._mark(monitor, Mark.UNKNOWN, at_s)

    def look(self) -> None:
        """Write what is due; cheap where nothing is."""
        now_s = self._clock.now()
        flood = len(self._waiting) >= _MANY_WAITING and not self.failure
        if now_s >= self._write_at_s or flood:
            self._write(now_s)

    def keep(self, keep_s: float) -> None:
        """Forget scores at this age from now on."""
        self._keep_s = keep_s

    def close(self) -> None:
        """Write all there is and close the file; a second call does nothing."""
        self._write(self._clock.now())
        if self.failure:
            logger.error("newest scores not kept error=%s", self.failure)
        if self._database is not None:
            self._database.close()
            self._database = None
        self._growing.clear()
        self._waiting.clear()

    def _mark(self, monitor: str, mark: Mark, at_s: float) -> None:
        self._marks[monitor] = mark
        if monitor in self._growing:
            self._finish(monitor, mark, at_s)
        else:
            self._wait(Chunk(monitor, self._next(), "", 0.0, at_s, at_s, pack(()), mark, at_s))

    def _finish(self, monitor: str, mark: Mark | None = None, mark_s: float = 0.0) -> None:
        growing = self._growing.pop(monitor, None)
        if growing is not None:
            self._wait(growing.chunk(mark, mark_s))

    def _wait(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)
        if len(self._waiting) > MAX_WAITING:
            self.dropped += int.from_bytes(self._waiting.popleft().scores[:4], "little")

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _write(self, now_s: float) -> None:
        self._write_at_s = now_s + WRITE_EVERY_S
        grown = [g for g in self._growing.values() if len(g.scores) > g.written]
        chunks = [*self._waiting, *(g.chunk() for g in grown)]
        if not chunks:
            return
        try:
            if self._database is None:
                self._database = Database(
                    self._path, SCHEMA, clock=lambda: self._clock.wall(self._clock.now())
                )
            self._database.write(lambda connection: self._store(connection, chunks, now_s))
        except StorageError as error:
            if not self.failure:
                logger.warning("scores cannot be kept error=%s", error)
            self.failure = str(error)
            return
        self.failure = ""
        self._waiting.clear()
        for growing in grown:
            growing.written = len(growing.scores)
        self._dated = self._clock.wall(now_s) >= CLOCK_FLOOR_S
        if now_s >= self._prune_at_s:
            self._prune_at_s = now_s + _PRUNE_EVERY_S

    def _store(self, connection: sqlite3.Connection, chunks: list[Chunk], now_s: float) -> None:
        if self._run is None:
            self._run = next_run(connection)
        offset_s = self._clock.offset_s
        write_chunks(connection, self._run, chunks, offset_s)
        if now_s + offset_s < CLOCK_FLOOR_S:
            return  # ages are not known before the clock is set
        if not self._dated:
            date(connection, self._run, offset_s)
        if now_s >= self._prune_at_s:
            prune(connection, now_s + offset_s - self._keep_s)
