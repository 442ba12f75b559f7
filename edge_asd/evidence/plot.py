"""Axes, ticks and pixels: where a time, a frequency or a level lies in a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asd.evidence.view import FrontEnd, Spectrogram
from edge_asd.records import FloatArray


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels; right and bottom are the first beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers along an edge of a box: ``low`` at pixel ``begin``, ``high`` at ``end``."""

    low: float
    high: float
    begin: int
    end: int

    def pixel(self, value: float) -> int:
        """Nearest pixel of a number."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin))

    def ticks(self, at_most: int) -> list[float]:
        """Round numbers in the range, at most so many."""
        return round_numbers(self.low, self.high, at_most)


def round_numbers(low: float, high: float, at_most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within a range.

    >>> round_numbers(-21.0, 24.0, 6), round_numbers(0.0, 0.9, 4)
    ([-20.0, -10.0, 0.0, 10.0, 20.0], [0.0, 0.5])
    """
    step = (high - low) / max(1, at_most)
    power = 10.0 ** math.floor(math.log10(step))
    step = power * next(m for m in (1, 2, 5, 10, 20) if m * power >= step * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first >= at_most:
        return round_numbers(low, high, at_most - 1) if at_most > 1 else [first * step]
    return [round(n * step, 9) for n in range(first, last + 1)]


_EDGE = 1e-6  # of a frame: what rounding may add to an edge between two
_OCTAVES_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000)


def frequency_ticks(front_end: FrontEnd, box: Box) -> list[tuple[int, str]]:
    """Pixel row and text of the frequencies named at the left of a box.

    Octaves on a mel axis, round numbers on a linear one; never closer than a line of text.
    """
    if front_end.linear:
        wanted = round_numbers(front_end.low_hz, front_end.high_hz, 6)
    else:
        inside = [hz for hz in _OCTAVES_HZ if front_end.low_hz <= hz <= front_end.high_hz]
        wanted = [float(hz) for hz in inside]
    ticks: list[tuple[int, str]] = []
    for hz in wanted:
        row = frequency_row(front_end, box, hz)
        if not ticks or ticks[-1][0] - row >= 15:
            text = f"{hz:g} Hz" if hz < 1000 else f"{hz / 1000:g} kHz"
            ticks.append((row, text))
    return ticks


def frequency_row(front_end: FrontEnd, box: Box, hz: float) -> int:
    """Pixel row of a frequency; low frequencies lie at the bottom."""
    place = float(front_end.place(np.asarray(hz, float)))
    return round(box.bottom - 1 - place * (box.height - 1))


def raster(
    spectrogram: Spectrogram,
    front_end: FrontEnd,
    box: Box,
    time: Scale,
    least_s: float = 0.0,
) -> FloatArray:
    """A spectrogram in the pixels of a box.

    Args:
        spectrogram: (T, M).
        front_end: Its frequency axis.
        box: Whose pixels.
        time: Seconds along its width.
        least_s: Average at least so much time.

    Returns:
        (height, width) mean level in dB of the frames and bands a pixel shows, NaN where no audio
        is; the highest frequency first.
    """
    rows = np.arange(box.height, -1.0, -1.0) / box.height  # edges, from top to bottom
    edges = front_end.place(front_end.edges_hz)
    first = np.searchsorted(edges, rows[1:], side="right") - 1
    last = np.searchsorted(edges, rows[:-1], side="left")
    if front_end.bands <= box.height:  # whole rows, sharp and small in a file
        first = np.searchsorted(edges, (rows[1:] + rows[:-1]) / 2, side="right") - 1
        last = first + 1
    by_row = _means(spectrogram.db, first, last, axis=1)  # (T, M) -> (T, height)
    columns = time.low + np.arange(box.width + 1) / box.width * (time.high - time.low)
    wider = max(0.0, least_s - (columns[1] - columns[0])) / 2
    begin = (columns[:-1] - wider - spectrogram.first_s) / spectrogram.hop_s + 0.5
    end = (columns[1:] + wider - spectrogram.first_s) / spectrogram.hop_s + 0.5
    picture = _means(
        by_row,
        np.floor(begin + _EDGE).astype(np.intp),
        np.ceil(end - _EDGE).astype(np.intp),
        axis=0,
    )  # (T, height) -> (width, height)
    return picture.T


def coarsened(picture: FloatArray, by: int) -> FloatArray:
    """The same picture (H, W) in squares of so many pixels that show their mean."""
    if by == 1:
        return picture
    height, width = picture.shape
    rows, columns = -(-height // by), -(-width // by)
    begin, end = np.arange(rows) * by, np.arange(rows) * by + by
    squares = _means(picture, begin, end, axis=0)
    begin, end = np.arange(columns) * by, np.arange(columns) * by + by
    squares = _means(squares, begin, end, axis=1)
    return squares.repeat(by, axis=0)[:height].repeat(by, axis=1)[:, :width]


def _means(
    values: FloatArray, first: NDArray[np.intp], last: NDArray[np.intp], axis: int
) -> FloatArray:
    """Means over index ranges of an axis, what is NaN left out; the nearest one where empty."""
    moved = np.moveaxis(values, axis, 0)
    count = len(moved)
    first = np.clip(first, 0, count - 1)
    last = np.clip(np.maximum(last, first + 1), 1, count)
    there = ~np.isnan(moved)
    total = _running(np.where(there, moved, 0.0))
    known = _running(there)
    amount = known[last] - known[first]
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(amount > 0, (total[last] - total[first]) / amount, np.nan)
    return np.moveaxis(means, 0, axis).astype(np.float32)


def _running(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, … rows."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums
