"""What the health of a microphone is judged by: runs of one value, levels of octaves, clipping."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_asd.fourier import rfft
from edge_asd.records import FloatArray

FRAME_S = 0.1
OCTAVES_HZ = (44.0, 88.0, 177.0, 354.0, 707.0, 1414.0, 2828.0, 5657.0, 11314.0, 22627.0)
"""Edges of the octaves; fixed in hertz, so that what was learned at one rate holds at another."""
MAINS_HZ = (50.0, 60.0)
SHORTEST_RUN_S = 0.02
"""Samples of the same value for so long are noticed. Noise of half a step of a 16-bit converter
holds one value for a few milliseconds; a driver that fills lost audio with zeros, for longer."""
FULL_SCALE = 0.999
"""From here on a sample is at the end of what its format can hold."""
RAIL = 0.25
"""A run at such a value may be a loud signal at the end of what something can hold."""
_HUM_UP_TO_HZ = 2828.0
_PASSED = 0.9  # of the Nyquist frequency: above, filters of converters and resamplers fall off
_FLAT_HITS = 8
_FLAT_RUN = 4
_ABSURD = 100.0  # of full scale: bytes of another format read as numbers


@dataclass(frozen=True, slots=True)
class Run:
    """Samples in a row that are all the same, as far as heard."""

    begin: int
    """Stream index of the first."""
    end: int
    value: float


class RunTracker:
    """Find runs of one value, exact to the sample and across blocks; not thread-safe.

    Args:
        shortest: Runs of fewer samples are passed over.
    """

    def __init__(self, shortest: int) -> None:
        self.shortest = max(2, shortest)
        self.reset()

    def reset(self) -> None:
        """What follows does not continue what was heard."""
        self._begin = 0
        self._value = np.float32(np.nan)  # equal to nothing

    def push(self, mono: FloatArray, begin: int) -> list[Run]:
        """Take in samples (n,), n >= 1; a run that goes on is returned again with a later end."""
        edges = np.flatnonzero(mono[1:] != mono[:-1]) + 1
        if mono[0] != self._value:
            self._begin, self._value = begin, mono[0]
        runs = []
        first_end = begin + (int(edges[0]) if len(edges) else len(mono))
        if first_end - self._begin >= self.shortest:
            runs.append(Run(self._begin, first_end, float(mono[0])))
        if not len(edges):
            return runs
        for at in np.flatnonzero(np.diff(edges) >= self.shortest):
            value = float(mono[edges[at]])
            runs.append(Run(begin + int(edges[at]), begin + int(edges[at + 1]), value))
        self._begin, self._value = begin + int(edges[-1]), mono[-1]
        end = begin + len(mono)
        if end - self._begin >= self.shortest:
            runs.append(Run(self._begin, end, float(mono[-1])))
        return runs


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A tenth of a second of audio."""

    power: float
    """Mean square without the offset."""
    dc: float
    clipped: float
    """Share of samples at an extreme value that the signal was cut off at."""
    bands: FloatArray
    """(3, b) power in the octaves that the rate holds whole, from the lowest: as it is, and without
    the lines of either mains frequency."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Where the octaves lie in the spectrum of a frame."""

    window: FloatArray
    edges: NDArray[np.intp]
    """(b,) first bins of the octaves that the rate holds whole; ``last`` ends the last one."""
    last: int
    keep: FloatArray
    """(3, last) what turns a squared spectrum into power: of all bins, and twice with 0 at the
    lines of a mains frequency and more elsewhere to make up for them."""


class FrameMeter:
    """Measure frames of one rate; keeps no state.

    Args:
        rate: Hertz.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.samples = max(16, round(FRAME_S * rate))
        """Length of a frame."""
        self._layout = _layout(rate, self.samples)

    def measure(self, mono: FloatArray) -> Frame:
        """Measure a frame (``samples``,) of finite numbers.

        Cost: 50 to 100 microseconds at 48 kHz.
        """
        dc = float(mono.mean())
        swing = mono - np.float32(dc)
        power = float(np.dot(swing, swing)) / len(swing)
        return Frame(power, dc, _clipped(mono), self._bands(swing))

    def _bands(self, swing: FloatArray) -> FloatArray:
        layout = self._layout
        if not len(layout.edges):
            return np.empty((len(layout.keep), 0), np.float32)
        spectrum = rfft(swing * layout.window)[: layout.last]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        bands = np.add.reduceat(power * layout.keep, layout.edges, axis=1)
        return np.asarray(bands, dtype=np.float32)


def decibels(power: float) -> float:
    """Level of a power relative to full scale, -200 dB at least."""
    return 10.0 * math.log10(power + 1e-20)


def impossible(mono: FloatArray) -> tuple[int, int] | None:
    """First and end of the values in samples (n,), n >= 1, that sound cannot have; None: none."""
    if mono.max() <= _ABSURD and mono.min() >= -_ABSURD:  # False for NaN, too
        return None
    bad = np.flatnonzero(~(np.abs(mono) <= _ABSURD))
    return int(bad[0]), int(bad[-1]) + 1


def numbers(samples: FloatArray) -> FloatArray:
    """Samples with silence in the place of what sound cannot be, so that it does not spread.

    A filter carries one value that is not a number into everything after it.
    """
    possible = np.abs(samples) <= _ABSURD  # False for NaN, too
    return np.where(possible, samples, np.float32(0.0))


def _clipped(mono: FloatArray) -> float:
    high, low = float(mono.max()), float(mono.min())
    peak = max(high, -low)
    if peak >= FULL_SCALE:
        return float(np.count_nonzero(np.abs(mono) >= FULL_SCALE)) / len(mono)
    if peak < RAIL:  # softer sound of few bits has flat tops without being clipped
        return 0.0
    # Cut off below full scale (before the converter, or by a limiter): flat tops of one height.
    return float(_flat(mono, high) + _flat(mono, low)) / len(mono)


def _flat(mono: FloatArray, extreme: float) -> int:
    """Samples in runs at this extreme."""
    if abs(extreme) < RAIL:
        return 0
    hits = np.flatnonzero(mono == np.float32(extreme))
    if len(hits) < _FLAT_HITS:
        return 0
    lengths = np.diff(np.flatnonzero(np.diff(hits, prepend=-2, append=len(mono) + 2) != 1))
    return int(lengths[lengths >= _FLAT_RUN].sum())


@lru_cache(maxsize=16)
def _layout(rate: int, samples: int) -> _Layout:
    bin_hz = rate / samples
    bounds = np.ceil(np.asarray(OCTAVES_HZ) / bin_hz).astype(np.intp)
    held = sum(high <= _PASSED * rate / 2.0 for high in OCTAVES_HZ[1:])
    window = np.hanning(samples + 1)[:-1].astype(np.float32)
    edges, last = bounds[:held], int(bounds[held]) if held else 0
    bins_hz = np.arange(last) * bin_hz
    keep = np.ones((1 + len(MAINS_HZ), last), np.float32)
    for row, mains_hz in zip(keep[1:], MAINS_HZ, strict=True):
        order = np.round(bins_hz / mains_hz)
        # The main lobe of the window: a bin to either side of a line.
        near = np.abs(bins_hz - order * mains_hz) < 1.5 * bin_hz
        row[near & (order >= 1) & (bins_hz < _HUM_UP_TO_HZ)] = 0.0
        for first, end in itertools.pairwise(bounds[: held + 1]):
            left = row[first:end].sum()
            row[first:end] *= (end - first) / max(1.0, left)
    keep *= np.float32(2.0 / (samples * float(np.sum(np.square(window)))))
    return _Layout(window, edges, last, keep)
