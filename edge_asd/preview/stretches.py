"""Pieces of the history, put where they were in the stream of one profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asd.books.history_file import Mark
from edge_asd.books.history_view import Piece
from edge_asd.records import FloatArray


@dataclass(frozen=True, slots=True)
class Grid:
    """Where windows end: a bundle's rate and hop."""

    rate: int
    hop_samples: int

    @property
    def hop_s(self) -> float:
        """The same in seconds."""
        return self.hop_samples / self.rate


@dataclass(frozen=True, slots=True)
class PlacedMark:
    """The machine stopped, or could not be heard, after so many windows of a stretch."""

    index: int
    mark: Mark
    end: int
    """Stream index."""
    wall_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """What one state machine heard: scores of one run of the daemon with one profile."""

    ends: NDArray[np.int64]
    """(N,) stream index after the last sample of every window."""
    wall_s: NDArray[np.float64]
    """(N,) wall time of the same."""
    scores: FloatArray
    """(N,)"""
    hops: NDArray[np.int32]
    """(N,) hops since the window before, as far as nothing was lost."""
    marks: tuple[PlacedMark, ...]
    """In the order of time."""
    goes_on: bool
    """An alert that was open at the end of the stretch before is still open."""


def stretches_of(pieces: Sequence[Piece], profile_key: str, grid: Grid) -> list[Stretch]:
    """Put the pieces of one profile where they were in the stream.

    Scores that followed one another are a whole hop apart again, whatever the measured rate of the
    microphone was; over a gap steady time counts.
    """
    stretches: list[Stretch] = []
    builder: _Builder | None = None
    interrupted = False
    for piece in pieces:
        if builder is not None and (piece.run != builder.run or interrupted):
            stretches.append(builder.stretch())
            builder = None
        if piece.profile_key not in (profile_key, ""):
            interrupted = builder is not None or bool(stretches)
            continue
        if builder is None:
            if not len(piece.scores) and piece.mark is None:
                continue
            builder = _Builder(piece.run, grid, goes_on=bool(stretches) and not interrupted)
            interrupted = False
        builder.add(piece)
    if builder is not None:
        stretches.append(builder.stretch())
    return stretches


class _Builder:
    """A stretch as its pieces come in."""

    def __init__(self, run: int, grid: Grid, *, goes_on: bool) -> None:
        self.run, self._grid, self._goes_on = run, grid, goes_on
        self._at_s: float | None = None  # steady time of the newest window or mark
        self._end = 0  # its stream index
        self._count = 0
        self._ends: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self._walls: list[NDArray[np.float64]] = [np.empty(0)]
        self._scores: list[FloatArray] = [np.empty(0, np.float32)]
        self._hops: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        self._marks: list[PlacedMark] = []

    def add(self, piece: Piece) -> None:
        count = len(piece.scores)
        if count:
            hops = max(1, round(piece.hop_s / self._grid.hop_s))
            step = hops * self._grid.hop_samples
            first = self._place(piece.begin_s, step)
            self._ends.append(first + step * np.arange(count, dtype=np.int64))
            self._walls.append(piece.wall_s)
            self._scores.append(piece.scores)
            self._hops.append(np.full(count, hops, np.int32))
            self._at_s, self._end = piece.end_s, first + step * (count - 1)
            self._count += count
        if piece.mark is not None:
            # What follows is placed by the last window: only lost audio may come between.
            end = self._place(piece.mark_s, 0)
            wall_s = piece.mark_s + piece.offset_s
            self._marks.append(PlacedMark(self._count, piece.mark, end, wall_s))

    def stretch(self) -> Stretch:
        return Stretch(
            np.concatenate(self._ends),
            np.concatenate(self._walls),
            np.concatenate(self._scores),
            np.concatenate(self._hops),
            tuple(self._marks),
            self._goes_on,
        )

    def _place(self, at_s: float, step: int) -> int:
        """Stream index of a moment; ``step`` after the newest window if that is where it is."""
        if self._at_s is None:
            self._at_s = at_s
            return self._end
        later = round((at_s - self._at_s) * self._grid.rate)
        follows = abs(later - step) <= step // 2
        return self._end + (step if follows else max(0, later))
