"""Rows of a stream that overlapping windows share, each made and written once."""

from __future__ import annotations

import numpy as np

from edge_asd.records import FloatArray

_SPARE = 2  # a window's rows over this is room for more before the newest rows must move


class SlidingRows:
    """The newest rows of a growing array, contiguous; those handed out never change.

    Rows are appended where there is room behind the newest. Where there is none left, the rows that
    are kept move to a new array, and the old one lives as long as somebody holds rows of it.

    Args:
        width: Values in a row.
    """

    def __init__(self, width: int) -> None:
        self._array: FloatArray = np.empty((0, width), np.float32)
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    def advance(self, kept: int, fresh: int) -> tuple[FloatArray, FloatArray]:
        """Drop all but the newest ``kept`` rows and make room for ``fresh`` more.

        Returns:
            All rows, (kept + fresh, width), read-only, and the last ``fresh`` of them, to be
            written before the others are read.
        """
        total = kept + fresh
        self._begin = self._end - kept
        if self._end + fresh > len(self._array):
            array = np.empty((total + total // _SPARE, self._array.shape[1]), np.float32)
            array[:kept] = self._array[self._begin : self._end]
            self._array, self._begin, self._end = array, 0, kept
        self._end += fresh
        rows = self._array[self._begin : self._end]
        rows.setflags(write=False)
        return rows, self._array[self._end - fresh : self._end]
