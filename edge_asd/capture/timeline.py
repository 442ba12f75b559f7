"""One stream out of many openings: indices that run on, times that do not jump, one rate."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

from edge_asd.capture.drift import DriftMeter
from edge_asd.capture.resample import PASSED, Resampler
from edge_asd.errors import CaptureError
from edge_asd.records import Block

logger = logging.getLogger(__name__)


class Timeline:
    """Joins what a source delivers, opening after opening; not thread-safe.

    The first opening sets the rate. A device that comes back at a higher one, or at one that is
    lower by less than the resampler cuts off, is resampled to it: the monitors hear no difference.

    Args:
        name: Of the source, for the log.
        live: Date blocks by when they were read, and find audio that was lost.
    """

    def __init__(self, name: str, *, live: bool) -> None:
        self.rate: int | None = None
        """Hertz; None before the source was opened once."""
        self._name = name
        self._live = live
        self._meter: DriftMeter | None = None
        self._resampler: Resampler | None = None
        self._offset: int | None = None  # None until the first block of this opening
        self._end: int | None = None  # index after the newest block, None before the first
        self._ended_at = 0.0  # steady time of that sample
        self._drift_ppm: float | None = None
        self._surplus_s = 0.0

    @property
    def drift_ppm(self) -> float | None:
        """How much faster than claimed the device delivers; None until that is known."""
        measured = None if self._meter is None else self._meter.drift_ppm
        return self._drift_ppm if measured is None else measured

    @property
    def surplus_s(self) -> float:
        """Audio that came although there was no time for it to be captured in."""
        return self._surplus_s + (0.0 if self._meter is None else self._meter.surplus_s)

    def source_index(self, index: int) -> int | None:
        """What an index of this stream is in the source's own count; None where that is not known.

        May be asked by any thread; right after a gap the answer may still be of the time before.
        """
        offset, meter = self._offset, self._meter
        if offset is None or self._resampler is not None:
            return None
        return index - offset - (0 if meter is None else meter.shift)

    def open(self, rate: int) -> None:
        """The source was opened.

        Raises:
            CaptureError: At so low a rate that a part of the sound would be missing.
        """
        self.rate = first = self.rate or rate
        if rate < PASSED * first:
            raise CaptureError(
                f"came back at {rate} Hz, was {first} Hz: the upper part of the sound would be "
                f"missing; add rate={first} to the source, or restart to accept the new device"
            )
        if rate != first:
            logger.warning("source=%s event=resampling rate=%d to=%d", self._name, rate, first)
        self._resampler = Resampler(rate, first, channel=None) if rate != first else None
        self._meter = DriftMeter(rate) if self._live else None
        self._offset = None

    def push(self, block: Block) -> list[Block]:
        """Take a block as the source gave it; return what can be handed on, oldest first."""
        return self._joined([block] if self._meter is None else self._meter.push(block))

    def close(self) -> list[Block]:
        """The source ends, for now: what had been withheld."""
        out: list[Block] = []
        if self._meter is not None:
            self._drift_ppm, self._surplus_s = self.drift_ppm, self.surplus_s
            out += self._joined(self._meter.flush())
            self._meter = None
        if self._resampler is not None:
            out += self._placed(self._resampler.flush())
            self._resampler = None
        return out

    def _joined(self, blocks: list[Block]) -> list[Block]:
        if self._resampler is not None:
            blocks = [made for block in blocks for made in self._resampler.push(block)]
        return self._placed(blocks)

    def _placed(self, blocks: list[Block]) -> list[Block]:
        out = []
        for block in blocks:
            if self._offset is None:
                self._offset = self._begin(block)
            placed = replace(block, start=block.start + self._offset)
            self._end = placed.start + len(placed.samples)
            self._ended_at = placed.captured_at + len(placed.samples) / (self.rate or 1)
            out.append(placed)
        return out

    def _begin(self, block: Block) -> int:
        """What to add to the indices of this opening: a restart always is a gap."""
        if self._end is None:
            return 0
        passed = math.ceil((block.captured_at - self._ended_at) * (self.rate or 1))
        return self._end + max(1, passed) - block.start
