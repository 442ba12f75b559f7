"""A stream on its way to a verdict on the microphone: cut into frames, the newest half second kept.

Frames are counted from the beginning of a stretch of audio, so that what is found does not depend
on how the driver cut it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_asd.hearing.signal_measure import (
    RAIL,
    SHORTEST_RUN_S,
    Frame,
    FrameMeter,
    Run,
    RunTracker,
    decibels,
    impossible,
)
from edge_asd.records import FloatArray

HEARD_FRAMES = 5
"""Half a second: octaves of few bins scatter too much in a single frame."""
_STALE_S = 5.0
"""Frames that a gate muted are left out; those before them are used for so long."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """The newest half second of what can be judged."""

    begin: int
    """Stream index of its first sample."""
    frame_begin: int
    """Stream index of the newest frame."""
    end: int
    level_dbfs: float
    """Without the offset."""
    dc: float
    clipped: float
    octaves_db: FloatArray
    """(b,) level of the octaves that the rate holds, without mains lines."""
    rest_dbfs: float
    """Level of these octaves together; of everything where the rate holds none of them."""
    hum_db: float
    """How far mains lines raise that level."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Audio up to the end of a frame or of a block, and what is to be said about it."""

    begin: int
    end: int
    impossible: tuple[int, int] | None
    """Stream indices (begin, end) of values that sound cannot have."""
    runs: list[Run]
    """Those that go on are told again with every piece."""
    heard: Heard | None
    """Where a frame became complete that can be measured, and there were enough before it."""


class Ear:
    """Cuts a stream into frames and measures them; not thread-safe.

    Args:
        rate: Hertz.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._meter = FrameMeter(rate)
        self._runs = RunTracker(round(SHORTEST_RUN_S * rate))
        self._recent: deque[tuple[int, Frame]] = deque(maxlen=HEARD_FRAMES)
        self.reset(0)

    def reset(self, begin: int) -> None:
        """The next sample does not continue what was heard; it has this stream index."""
        self.end = begin
        self._runs.reset()
        self._recent.clear()
        self._new_frame()

    def push(self, mono: FloatArray) -> Iterator[Piece]:
        """Take in the samples (n,) that follow, and tell of them piece by piece."""
        at = 0
        while at < len(mono):
            part = mono[at : at + self._meter.samples - self._filled]
            at += len(part)
            yield self._take(part)

    def _take(self, part: FloatArray) -> Piece:
        begin, self.end = self.end, self.end + len(part)
        spoilt = impossible(part)
        runs = []
        if spoilt is None:
            runs = self._runs.push(part, begin)
            self._held.update((run.begin, run) for run in runs)
        else:
            spoilt = (begin + spoilt[0], begin + spoilt[1])
            self._runs.reset()
            self._spoilt = True
        self._parts.append(part)
        self._filled += len(part)
        heard = None
        if self._filled == self._meter.samples:
            frame = self._complete()
            heard = None if frame is None else self._hear(frame)
            self._new_frame()
        return Piece(begin, self.end, spoilt, runs, heard)

    def _complete(self) -> Frame | None:
        """The frame that is full; None where most of it is no sound."""
        begin = self.end - self._filled
        muted, constant = 0, False
        for run in self._held.values():
            length = run.end - max(run.begin, begin)
            constant |= length == self._filled
            # A run at a high value is what clipping leaves of a loud sound.
            muted += length if abs(run.value) < RAIL else 0
        if self._spoilt or constant or muted > self._filled // 2:
            return None
        return self._meter.measure(
            self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        )

    def _hear(self, frame: Frame) -> Heard | None:
        begin = self.end - self._meter.samples
        if self._recent and begin - self._recent[-1][0] > _STALE_S * self.rate:
            self._recent.clear()
        self._recent.append((begin, frame))
        if len(self._recent) < HEARD_FRAMES:
            return None
        frames = [recent for _, recent in self._recent]
        bands = np.add.reduce([one.bands for one in frames]) / np.float32(HEARD_FRAMES)  # (3, b)
        quietest = bands.min(axis=0)
        total, rest = float(bands[0].sum()), float(quietest.sum())
        level_dbfs = decibels(sum(one.power for one in frames) / HEARD_FRAMES)
        return Heard(
            begin=self._recent[0][0],
            frame_begin=begin,
            end=self.end,
            level_dbfs=level_dbfs,
            dc=sum(one.dc for one in frames) / HEARD_FRAMES,
            clipped=sum(one.clipped for one in frames) / HEARD_FRAMES,
            octaves_db=np.float32(10.0) * np.log10(quietest + np.float32(1e-20)),
            rest_dbfs=decibels(rest) if total else level_dbfs,
            hum_db=decibels(total) - decibels(rest),
        )

    def _new_frame(self) -> None:
        self._parts: list[FloatArray] = []
        self._filled = 0  # samples
        self._held: dict[int, Run] = {}  # runs of one value in it, by their begin
        self._spoilt = False
