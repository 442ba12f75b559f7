"""Audio at another rate: one channel of a source -> mono, or all of them together."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import soxr

from edge_asd.errors import ConfigError
from edge_asd.records import Block, FloatArray

PASSED = 0.91
"""Share of the lower of both Nyquist frequencies that passes unchanged."""

_REACH = 112  # samples at the lower rate: the filter ends before them, to either side


class Resampler:
    """Streaming resampler that keeps lost audio visible.

    The output depends on the samples alone, never on how they were cut into blocks. Where audio is
    missing, the tail is flushed and a new stretch begins: its ``start`` never continues the old
    one, so that everything downstream sees the gap. Equal rates pass samples through unchanged.

    Args:
        source_rate: Rate of the blocks pushed, hertz.
        target_rate: Rate wanted, hertz.
        channel: Which channel to take, from 0; None takes all.

    The filter's own delay is 6 ms at 16 kHz, but the library works in blocks and keeps up to 30 ms
    more (80 from 96 kHz). Who waits for a sample says so (``due``) and gets it without that.

    Source: libsoxr at its quality HQ: passes up to `PASSED` of the lower Nyquist frequency and
    rejects from that frequency on.
    """

    def __init__(self, source_rate: int, target_rate: int, channel: int | None = 0) -> None:
        if min(source_rate, target_rate) < 1:
            raise ValueError(f"rates must be positive, got {source_rate} and {target_rate}")
        self.source_rate = source_rate
        self.target_rate = target_rate
        self.channel = channel
        self._stream: soxr.ResampleStream | None = None  # None between stretches or at equal rates
        self._begun = False
        self._channels = 1
        self._first = 0  # source index where the stretch began for us …
        self._origin = 0  # … and where it began
        self._end = 0  # source index after the newest sample
        self._begin = 0  # target index where the stretch began
        self._made = 0  # target samples of the stretch handed out
        self._awaited = 0  # target index up to which somebody waits for them
        self._owed = 0  # target samples handed out that the library has still to give
        self._recent: deque[tuple[int, FloatArray]] = deque()  # source index and samples
        self._heard_end: int | None = None  # target index after the newest sample handed out
        self._anchor = (0, 0.0)  # a source index and its wall time, from the newest block

    @property
    def begun(self) -> int | None:
        """Source index at which the present stretch began; None between stretches."""
        return self._origin if self._begun else None

    def join(self, origin: int) -> None:
        """The present stretch had begun there, before this resampler came to it."""
        self._origin = origin

    def push(self, block: Block) -> list[Block]:
        """Resample a block.

        Args:
            block: Samples (n, C) at the source's rate.

        Returns:
            Blocks (m, 1) at the target rate, or (m, C) of all channels, oldest first, ``start`` in
            target samples; what is still inside the filter comes later.

        Raises:
            ConfigError: The source does not have the channel.
        """
        samples = self._wanted(block.samples)
        out: list[Block] = []
        broken = self._begun and (block.start != self._end or block.overflowed)
        if broken:
            out += self.flush()
        if not self._begun:
            self._begin_stretch(block.start, samples.shape[1])
        self._end = block.start + len(block.samples)
        self._anchor = (block.start, block.captured_at)
        out += self._emit(self._convert(samples, last=False), overflowed=block.overflowed)
        if self._awaited:
            self._recent.append((block.start, samples))
            out += self._emit(self._ahead(), overflowed=False)
        return out

    def due(self, index: int) -> int | None:
        """Have the samples before a target index as soon as they can be known.

        Returns:
            Source index after the last sample on which they depend: when that has been pushed they
            have been handed out. None between stretches.
        """
        if not self._begun:
            return None
        self._awaited = 0 if self._stream is None else index
        return self._depends(index)

    def flush(self) -> list[Block]:
        """Hand out what is still inside the filter; the next block begins a new stretch.

        Together with what `push` returned, a stretch of n samples has become
        round(n * target / source).
        """
        if not self._begun:
            return []
        self._begun = False
        nothing = np.empty((0, self._channels), np.float32)
        tail = self._emit(self._convert(nothing, last=True), overflowed=False)
        self._stream = None
        return tail

    def _wanted(self, samples: FloatArray) -> FloatArray:
        if self.channel is None:
            return samples
        channels = samples.shape[1]
        if not 0 <= self.channel < channels:
            raise ConfigError(
                f"channel {self.channel} is asked for, but the source has {channels} (counted "
                f"from 0); set channel to {_span(channels)}, or open the source with channels="
            )
        return np.ascontiguousarray(samples[:, self.channel, None])  # (n, C) -> (n, 1)

    def _begin_stretch(self, start: int, channels: int) -> None:
        self._begin = self._to_target(start)
        if self._begin == self._heard_end:
            self._begin += 1  # a gap too short for this rate must still be one
        self._begun, self._first, self._made, self._channels = True, start, 0, channels
        self._origin = start
        self._awaited = self._owed = 0
        self._recent.clear()
        if self.source_rate != self.target_rate:
            self._stream = soxr.ResampleStream(
                self.source_rate, self.target_rate, channels, dtype="float32", quality="HQ"
            )

    def _convert(self, samples: FloatArray, *, last: bool) -> FloatArray:
        if self._stream is None:
            return samples
        made = self._stream.resample_chunk(np.ascontiguousarray(samples), last=last)
        known = min(self._owed, len(made))
        self._owed -= known
        return np.asarray(made[known:], dtype=np.float32).reshape(-1, self._channels)

    def _depends(self, index: int) -> int:
        """Source index after the last sample on which target samples before ``index`` depend."""
        if self._stream is None:
            return self._first + index - self._begin
        return self._first + self._to_source(index - self._begin) + self._reach

    @property
    def _reach(self) -> int:
        """Source samples to either side of a target sample that it depends on."""
        return -(-_REACH * self.source_rate // min(self.source_rate, self.target_rate))

    def _ahead(self) -> FloatArray:
        """What is waited for and can be known, from the newest source samples alone."""
        oldest = self._first + self._to_source(self._made) - 2 * self._reach
        while self._recent[0][0] + len(self._recent[0][1]) <= oldest:
            self._recent.popleft()
        missing = self._awaited - self._begin - self._made
        nothing = self._recent[0][1][:0]
        if missing <= 0 or self._end < self._depends(self._awaited):
            return nothing
        step = self.source_rate // math.gcd(self.source_rate, self.target_rate)
        skipped = (self._first - self._recent[0][0]) % step  # to begin on a target sample
        begin = self._recent[0][0] + skipped - self._first
        if self._recent[0][0] > max(self._first, oldest + self._reach - step):
            return nothing  # asked for too late: what it depends on was not kept
        samples = np.concatenate([part for _, part in self._recent])[skipped:]
        made = soxr.resample(samples, self.source_rate, self.target_rate, quality="HQ")
        at = self._made - begin * self.target_rate // self.source_rate
        self._owed += missing
        return np.asarray(made[at : at + missing], dtype=np.float32)

    def _emit(self, samples: FloatArray, *, overflowed: bool) -> list[Block]:
        if not len(samples):
            return []
        index, captured_at = self._anchor
        heard = self._first + self._made * self.source_rate / self.target_rate
        block = Block(
            samples=samples,
            start=self._begin + self._made,
            captured_at=captured_at + (heard - index) / self.source_rate,
            overflowed=overflowed,
        )
        self._made += len(samples)
        self._heard_end = self._begin + self._made
        return [block]

    def _to_target(self, start: int) -> int:
        """round(start * target / source), exactly."""
        return (2 * start * self.target_rate + self.source_rate) // (2 * self.source_rate)

    def _to_source(self, samples: int) -> int:
        """Source samples that so many target samples last, rounded up."""
        return -(-samples * self.source_rate // self.target_rate)


def _span(channels: int) -> str:
    return "0" if channels == 1 else f"0 to {channels - 1}"
