"""What a sound microphone sounds like: learned at enrolment, from what the source gives.

Native rate and no gain, as live: the resampler would blur runs of one value, and the octaves above
the bundle's rate say most about a covered microphone. Everything learned is in hertz, seconds and
decibels of full scale, so that it holds for a source of another rate.

The hard question is a microphone that went deaf beside a machine that stopped: both are a fall of
the level. A stop leaves the sound of the room; deafness leaves the noise of a converter, or of the
machine through a cushion, and reaches nearly every octave. So what counts is how far three of four
octaves lie below the quietest half second of enrolment. Where that lies far below the mean, it was
the room, and falling well below it is enough. Where it does not, the room was not heard and may be
far softer than the machine: only a fall as no room explains, or the flat spectrum of a converter,
is taken for deafness. What cannot be told apart at all (a stop in a room so silent that the
converter is louder) is called deafness, because silence must not pass for a machine at rest;
enrolling with a stop in the audio teaches the difference.

An automatic gain that brings the noise of a deaf microphone up to the level of enrolment is beyond
this: such a hiss is scored, and differs.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from edge_asd.hearing.signal_ear import Ear, Heard
from edge_asd.hearing.signal_measure import SHORTEST_RUN_S, decibels
from edge_asd.operating import SILENT_DROP_DB, IdleRule
from edge_asd.records import FloatArray

ROOM_BELOW_DB = 30.0
"""No room lies so far below the mean of its machine in three of four octaves. Stops of simulated
machines 25 dB above their room reach 23 dB below the quietest half second, 26 below the mean."""
BELOW_QUIETEST_DB = 15.0
"""Nor so far below itself at its quietest."""
FLAT_BELOW_DB = 20.0
FLAT_BELOW_QUIETEST_DB = 8.0
"""The two for a spectrum as flat as a converter's noise and no room's."""
CONVERTER_DBFS = -90.0
"""Flat noise below this is that of a 16-bit converter (dither alone is -96 dBFS)."""
_CONVERTER_BELOW_DB = 6.0
HUM_DB = 10.0
"""So far above the rest, mains lines are what is heard."""
_NOTHING_BUT_HUM_DB = 20.0
_LEAVES_AT = 0.7  # of the depth at which it was taken for deaf; strokes come through a cushion
_WHITE_DB = 10.0 * math.log10(2.0)  # an octave of white noise over the one below
_TILT_SLACK_DB = 1.2
_RIPPLE_DB = 2.5
_FLAT_FROM_BAND = 2  # 177 Hz: below, a converter's noise rises, and mains hum leaves few bins
_MIN_BANDS = 3
MAX_HOLD_S = 10.0
_HOLD_UNHEARD_S = 0.5
_HOLD_MARGIN = 1.5
_RECURRING = 3
LOUDER_DB = 3.0
"""Louder than the loudest half second of enrolment by this much is louder than enrolled."""
_CLIPPED_TWICE = 2.0
_CLIPPED_SLACK = 5e-4
DC_SLACK = 0.05
"""Offset of full scale beyond the offsets of enrolment; codecs stay within 0.02."""


@dataclass(frozen=True, slots=True)
class SignalRule:
    """What enrolment learned about the microphone; see the module."""

    mean_dbfs: float
    """Level of all of enrolment, without mains lines."""
    floor_dbfs: float
    """Level of its quietest half second."""
    octaves_dbfs: tuple[float, ...] = ()
    """The same for every octave that the rate held, from the lowest."""
    loudest_dbfs: float | None = None
    """Level of the loudest half second; None if it is not known: then nothing is too loud."""
    clipped_ratio: float = 0.0
    """Largest share of clipped samples in half a second."""
    dc_low: float = 0.0
    dc_high: float = 0.0
    """Range of the offset, of full scale."""
    hold_s: float = SHORTEST_RUN_S
    """One value may be held for so long: a noise gate between two strokes."""

    @classmethod
    def from_idle_rule(cls, idle: IdleRule) -> SignalRule:
        """For a profile from before microphones were learned: levels alone, and cautious."""
        floor_dbfs = idle.silent_below_dbfs + SILENT_DROP_DB
        return cls(
            mean_dbfs=floor_dbfs,
            floor_dbfs=floor_dbfs,
            clipped_ratio=1.0,
            dc_low=-2.0 * DC_SLACK,
            dc_high=2.0 * DC_SLACK,
            hold_s=_HOLD_UNHEARD_S,
        )

    def deafness(self, heard: Heard, *, already: bool) -> float | None:
        """How far the sound has fallen, in dB, where what is left is not that of any room.

        Args:
            heard: The newest half second.
            already: It was so until now.

        Returns:
            None where it may be a room or the machine.
        """
        fallen, depth = self.floor_dbfs - heard.rest_dbfs, self._depth_db(heard)
        bare = heard.rest_dbfs < CONVERTER_DBFS and fallen >= _CONVERTER_BELOW_DB
        least = min(BELOW_QUIETEST_DB, FLAT_BELOW_QUIETEST_DB) * _LEAVES_AT
        if not bare and depth < least:
            return None  # whatever its shape, which takes longer to tell
        flat = is_flat(heard.octaves_db)
        if flat and bare:
            return fallen
        known = self.mean_dbfs - self.floor_dbfs  # so far below the machine the room was heard
        enough = max(BELOW_QUIETEST_DB, ROOM_BELOW_DB - known)
        if heard.hum_db >= _NOTHING_BUT_HUM_DB:
            # Lines of hum leak into the octaves beside them: the rest is hardly ever flat.
            enough = max(BELOW_QUIETEST_DB, FLAT_BELOW_DB - known)
        if flat:
            enough = max(FLAT_BELOW_QUIETEST_DB, FLAT_BELOW_DB - known)
        return depth if depth >= enough * (_LEAVES_AT if already else 1.0) else None

    def _depth_db(self, heard: Heard) -> float:
        """How far three of four octaves, at least, lie below the quietest sound of enrolment."""
        pairs = zip(self.octaves_dbfs, heard.octaves_db.tolist(), strict=False)
        depths: list[float] = sorted(
            floor - now for floor, now in pairs
        )  # of the octaves both rates hold
        if len(depths) < _MIN_BANDS:
            return self.floor_dbfs - heard.level_dbfs
        return depths[len(depths) // 4]

    def is_loud(self, heard: Heard) -> bool:
        """Whether it is louder, or more clipped, than enrolled."""
        if heard.clipped > _CLIPPED_TWICE * self.clipped_ratio + _CLIPPED_SLACK:
            return True
        return self.loudest_dbfs is not None and (heard.level_dbfs > self.loudest_dbfs + LOUDER_DB)

    def offset(self, heard: Heard) -> float:
        """How far the offset lies outside of what is possible, of full scale; 0 if it does not."""
        beyond = max(self.dc_low - heard.dc, heard.dc - self.dc_high, 0.0)
        # A loud machine that drives the converter into one of its ends shifts the mean as well.
        allowed = DC_SLACK
        if heard.clipped > _CLIPPED_SLACK:
            allowed = max(allowed, 10.0 ** (heard.level_dbfs / 20.0))
        return beyond if beyond > allowed else 0.0


NOTHING_LEARNED = SignalRule(
    mean_dbfs=0.0, floor_dbfs=CONVERTER_DBFS + _CONVERTER_BELOW_DB, clipped_ratio=1.0
)
"""For a monitor without a profile: what is impossible, and the bare noise of a converter."""


def is_flat(octaves_db: FloatArray) -> bool:
    """Whether octaves (b,) rise as those of white noise do."""
    levels = octaves_db[_FLAT_FROM_BAND:]
    if len(levels) < _MIN_BANDS:
        return False
    steps = np.arange(len(levels)) - (len(levels) - 1) / 2.0
    centred = levels - levels.mean()
    tilt = float(np.dot(steps, centred) / np.dot(steps, steps))
    ripple = float(np.abs(centred - tilt * steps).max())
    return abs(tilt - _WHITE_DB) < _TILT_SLACK_DB and ripple < _RIPPLE_DB


class SignalLearner:
    """Learns the rule from normal audio, in order of time; not thread-safe.

    Keeps a few numbers, whatever the length of the audio.

    Args:
        rate: Of the source, hertz.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._ear = Ear(rate)
        self._octaves_db: FloatArray | None = None
        self._floor_dbfs, self._loudest_dbfs = math.inf, -math.inf
        self._dc_low, self._dc_high, self._clipped = math.inf, -math.inf, 0.0
        self._power, self._count = 0.0, 0
        self._run = (0, 0)  # the newest run of one value, as far as heard
        self._longest: list[int] = []  # heap of the longest that ended

    def push(self, mono: FloatArray, begin_s: float) -> None:
        """Take in samples (n,) at the source's rate that begin at this stream time."""
        begin = round(begin_s * self.rate)
        if begin != self._ear.end:
            self._ear.reset(begin)
        for piece in self._ear.push(mono):
            for run in piece.runs:
                if run.begin != self._run[0]:
                    self._keep_run()
                self._run = (run.begin, run.end)
            if piece.heard is not None:
                self._hear(piece.heard)

    def interrupt(self) -> None:
        """Audio is lost before the next samples."""
        self._ear.reset(self._ear.end)

    @property
    def hold_s(self) -> float:
        """How long one value may be held.

        The third longest that occurred, and half as much again: a gate mutes again and again. One
        dropout of enrolment does not become normal by having been there.
        """
        begin, end = self._run
        longest = sorted([*self._longest, end - begin])
        if len(longest) < _RECURRING:
            return SHORTEST_RUN_S
        recurring_s = longest[-_RECURRING] / self.rate
        return min(MAX_HOLD_S, max(SHORTEST_RUN_S, _HOLD_MARGIN * recurring_s))

    def rule(self, idle: IdleRule) -> SignalRule:
        """Return what was learned; from the idle rule alone where nothing could be measured."""
        if self._octaves_db is None:
            return SignalRule.from_idle_rule(idle)
        mean_dbfs = decibels(self._power / self._count)
        return SignalRule(
            mean_dbfs=round(mean_dbfs, 2),
            floor_dbfs=round(self._floor_dbfs, 2),
            octaves_dbfs=tuple(round(db, 2) for db in self._octaves_db.tolist()),
            loudest_dbfs=round(self._loudest_dbfs, 2),
            clipped_ratio=round(self._clipped, 6),
            dc_low=round(self._dc_low, 6),
            dc_high=round(self._dc_high, 6),
            hold_s=round(self.hold_s, 4),
        )

    def _keep_run(self) -> None:
        begin, end = self._run
        heapq.heappush(self._longest, end - begin)
        if len(self._longest) > _RECURRING:
            heapq.heappop(self._longest)

    def _hear(self, heard: Heard) -> None:
        lowest = heard.octaves_db if self._octaves_db is None else self._octaves_db
        self._octaves_db = np.minimum(lowest, heard.octaves_db)
        self._floor_dbfs = min(self._floor_dbfs, heard.rest_dbfs)
        self._loudest_dbfs = max(self._loudest_dbfs, heard.level_dbfs)
        self._clipped = max(self._clipped, heard.clipped)
        self._dc_low, self._dc_high = min(self._dc_low, heard.dc), max(self._dc_high, heard.dc)
        self._power += 10.0 ** (heard.rest_dbfs / 10.0)
        self._count += 1
