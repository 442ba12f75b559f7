"""Frames against time: when a sample was captured, and how much audio never came.

A read can only be late. So of all blocks the one that came earliest for its place in the stream
tells best when sample 0 was captured: the lower envelope of arrival minus stream time. Delays,
however long, lie above it and pass; what stays above it is audio that was lost, and what falls
below it is audio that cannot have been captured in that time.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_asd.records import Block

TOLERANCE_S = 0.2
"""Lost or surplus audio below this is taken for a change of delay."""

PLAUSIBLE_PPM = 2000.0
"""No clock of a sound card is as wrong as this; a device that is runs at another rate."""

_PACED_S = 1.0  # a reader that did not catch up for so long has nothing to catch up with
_PACED_BLOCKS = 4
_HOLD_S = 3.0  # longest that audio waits until it is known whether there is a gap before it
_SETTLE_S = 3.0  # what a driver had buffered when the stream was opened comes within this time
_BIN_S = 10.0
_BINS = 180  # half an hour: temperature changes a clock more slowly
_STEER_BINS = 6
_REPORT_BINS = 30
_OFTEN = 3  # losses within a minute are no accidents: the device runs at another rate
_FORGET_S = 600.0  # corrections that do not add up within this are a change of delay


class DriftMeter:
    """Dates the blocks of one opening of a source; see the module. Not thread-safe.

    A block that comes late by more than the tolerance is held back until its delay is explained:
    either those behind it come in a burst and make up for it, or reads are paced again and the
    deficit remains. Then the audio was lost, and the stream's index jumps by it, before that block.

    Args:
        rate: Samples a second that the source claims.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.surplus_s = 0.0
        """Audio that came although there was no time for it to be captured in."""
        self._epoch_s: float | None = None  # steady time of the first block; it keeps numbers small
        self._settled_s = 0.0
        self._shift = 0  # samples found lost so far
        # The envelope: the sample at stream time x was captured at x + delay + slope * (x - at).
        self._delay_s = self._at_s = self._slope = 0.0
        self._unexplained_s = 0.0  # corrections of the delay that no plausible drift explains
        self._held: list[Block] = []
        self._bin_end_s = 0.0
        self._least: tuple[float, float, float] | None = None  # of the bin: lateness, x, delay
        self._minima: deque[tuple[float, float]] = deque(maxlen=_BINS)  # x and delay, of bins
        self._trend: float | None = None  # change of the delay with time
        self._losses: deque[float] = deque(maxlen=_OFTEN)  # x of the newest ones
        self._by_rate_s = 0.0  # lost because of the rate: part of the trend

    @property
    def drift_ppm(self) -> float | None:
        """How much faster than claimed it delivers, in millionths; None until that can be told.

        A plausible drift can be told after five minutes, a wrong rate after one.
        """
        if self._trend is None:
            return None
        ppm = -1e6 * self._trend
        known = len(self._minima) >= _REPORT_BINS or abs(ppm) > PLAUSIBLE_PPM
        return ppm if known else None

    @property
    def shift(self) -> int:
        """What it adds to the indices of the source: samples found lost so far."""
        return self._shift

    def push(self, block: Block) -> list[Block]:
        """Date a block.

        Args:
            block: As the source gave it; ``captured_at`` is when it had been read, less its length.

        Returns:
            The blocks whose time is known now, oldest first: usually this one.
        """
        block = replace(block, start=block.start + self._shift)
        if self._epoch_s is None:
            self._begin(block)
        lateness_s = self._lateness_s(block)
        if lateness_s < 0.0:
            self._lower(-lateness_s, block)
        if not self._held and lateness_s <= TOLERANCE_S:
            return self._release([block])
        self._held.append(block)
        return self.flush() if lateness_s <= TOLERANCE_S else self._explain()

    def flush(self) -> list[Block]:
        """Hand out what is held back: nothing comes that could explain its delay, or it passed."""
        held, self._held = self._held, []
        return self._release(held)

    # Time

    def _begin(self, block: Block) -> None:
        self._epoch_s = block.captured_at
        self._at_s = block.start / self.rate
        self._delay_s = -self._at_s
        self._settled_s = self._at_s + _SETTLE_S
        self._bin_end_s = self._at_s + _BIN_S

    def _envelope_s(self, x_s: float) -> float:
        return self._delay_s + self._slope * (x_s - self._at_s)

    def _came_s(self, block: Block) -> float:
        return block.captured_at - (self._epoch_s or 0.0)

    def _lateness_s(self, block: Block) -> float:
        """How much later it came than the envelope says."""
        x_s = block.start / self.rate
        return self._came_s(block) - x_s - self._envelope_s(x_s)

    def _release(self, blocks: list[Block]) -> list[Block]:
        """Blocks with the time at which their first sample was captured."""
        for block in blocks:
            self._note(block)
        return [replace(b, captured_at=b.captured_at - self._lateness_s(b)) for b in blocks]

    # Late, lost and surplus

    def _explain(self) -> list[Block]:
        """Decide on what is held back, if that is possible yet."""
        waited_s = self._came_s(self._held[-1]) - self._came_s(self._held[0])
        if len(self._held) < _PACED_BLOCKS or waited_s < _PACED_S:
            return []
        lateness_s = [self._lateness_s(block) for block in self._held]
        recent_s = lateness_s[-self._recent_blocks() :]
        half = len(recent_s) // 2
        if min(recent_s[half:]) > min(recent_s[:half]) - 0.05 * _PACED_S:
            self._lose(min(recent_s), lateness_s)
            return self.flush()
        # Still catching up, if slowly: no reason to withhold it any longer.
        return self.flush() if waited_s > _HOLD_S else []

    def _recent_blocks(self) -> int:
        """How many of the held blocks came in the last second; four at least."""
        since_s = self._came_s(self._held[-1]) - _PACED_S
        return max(_PACED_BLOCKS, sum(self._came_s(block) >= since_s for block in self._held))

    def _lose(self, seconds: float, lateness_s: list[float]) -> None:
        """Audio was lost: before the first block held back from which on all are that late."""
        samples = self._skip(seconds)
        x_s = self._held[0].start / self.rate
        self._losses.append(x_s)
        if len(self._losses) == _OFTEN and x_s - self._losses[0] < 60.0:
            self._by_rate_s += seconds
        before = [at for at, late_s in enumerate(lateness_s) if late_s < seconds - TOLERANCE_S / 2]
        first = before[-1] + 1 if before else 0
        for at in range(first, len(self._held)):
            block = self._held[at]
            self._held[at] = replace(block, start=block.start + samples)

    def _lower(self, seconds: float, block: Block) -> None:
        """A block came before the envelope said that it had been captured."""
        self._delay_s -= seconds
        if block.start / self.rate > self._settled_s:
            self._correct(-seconds)

    def _correct(self, seconds: float) -> None:
        """Account for a change of the delay once such changes add up to more than the tolerance."""
        self._unexplained_s += seconds
        if self._unexplained_s < -TOLERANCE_S:
            self.surplus_s -= self._unexplained_s
            self._unexplained_s = 0.0
        elif self._unexplained_s > TOLERANCE_S:
            self._delay_s -= self._skip(self._unexplained_s) / self.rate
            self._by_rate_s += self._unexplained_s
            self._unexplained_s = 0.0

    def _skip(self, seconds: float) -> int:
        """Have the index of what comes jump; by how many samples."""
        samples = round(seconds * self.rate)
        self._shift += samples
        return samples

    # The envelope

    def _note(self, block: Block) -> None:
        """Take a block into its bin, and bring the envelope up to date at the bin's end."""
        x_s = block.start / self.rate
        if x_s >= self._bin_end_s:
            self._end_bin(x_s)
        lateness_s = self._lateness_s(block)
        if self._least is None or lateness_s < self._least[0]:
            self._least = lateness_s, x_s, self._came_s(block) - x_s + self._by_rate_s

    def _end_bin(self, x_s: float) -> None:
        self._bin_end_s = x_s + _BIN_S
        if self._least is None:
            return
        (lateness_s, *minimum), self._least = self._least, None
        self._minima.append((minimum[0], minimum[1]))
        self._delay_s, self._at_s = self._envelope_s(x_s), x_s
        if len(self._minima) >= _STEER_BINS:
            self._trend = _median_slope(np.array(self._minima))
            limit = 1e-6 * PLAUSIBLE_PPM
            self._slope = min(limit, max(-limit, self._trend))
        self._unexplained_s *= math.exp(-_BIN_S / _FORGET_S)
        if lateness_s > 0.0:
            self._delay_s += lateness_s / 2
            self._correct(lateness_s / 2)


def _median_slope(points: NDArray[np.float64]) -> float:
    """Slope of a line through points (n, 2), which single outliers do not move.

    Source: Theil 1950, incomplete method: the median over pairs that lie half the points apart.
    """
    half = len(points) // 2
    rise = points[len(points) - half :] - points[:half]
    return float(np.median(rise[:, 1] / rise[:, 0]))
