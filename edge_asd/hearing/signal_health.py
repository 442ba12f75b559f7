"""Can the microphone be trusted? A verdict on every block and every window, and a lasting fault.

A fault of the machine may be loud: audio louder than enrolled, or clipped more than enrolled, is
scored and may raise an alert, but does not clear one. Only what no microphone in a room delivers
is a flaw: values that are no sound, digital zeros, a value that stands still, an offset, and a
fall to the noise of a converter or to mains hum (see `signal_rule`). A window that holds any flaw
is not scored: a dropout of 60 ms is a click, and would score high for the wrong reason.

Cost: 0.1 to 0.2 ms for a tenth of a second at 48 kHz.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from edge_asd.audio import SILENCE_DBFS, level_dbfs
from edge_asd.hearing.signal_ear import Ear, Heard, Piece
from edge_asd.hearing.signal_fault import FaultTracker, Flaw, SignalFault, Stretch
from edge_asd.hearing.signal_measure import RAIL, numbers
from edge_asd.hearing.signal_rule import HUM_DB, NOTHING_LEARNED, SignalLearner, SignalRule
from edge_asd.records import FloatArray

__all__ = [
    "BlockHealth",
    "Flaw",
    "SignalFault",
    "SignalLearner",
    "SignalRule",
    "SignalWatch",
    "WindowHealth",
    "numbers",
]

HISTORY_S = 60.0
"""Windows may be asked for that began so long before the newest block."""
_MAX_STRETCHES = 1024
_RAIL_HOLD_S = 0.5
"""A machine may drive a converter into its end for so long: a slow, huge rumble."""
_ORDER = {flaw: place for place, flaw in enumerate(Flaw)}


@dataclass(frozen=True, slots=True)
class BlockHealth:
    """What is to be said about a block."""

    flaw: Flaw | None
    """The plainest flaw in it."""
    reason: str
    """For people; empty without a flaw."""
    level_dbfs: float
    """Of the block; what is no sound counts as silence."""
    clipped_ratio: float
    """Share of the samples of the newest half second at an extreme that cut the signal off."""
    dc: float
    """Its offset, of full scale."""
    loud: bool
    """Louder, or more clipped, than enrolled."""


@dataclass(frozen=True, slots=True)
class WindowHealth:
    """Whether a window may be scored, and what its score may do."""

    usable: bool
    may_clear: bool
    """False where it is louder or more clipped than enrolled: it may raise an alert only."""
    reason: str
    """Why it is not usable."""


class SignalWatch:
    """Watches one channel of one source as it comes; not thread-safe.

    What it says does not depend on how the stream is cut, to within a block.

    Args:
        rule: From the profile; None for a monitor that has none.
        rate: Of the source, hertz.
    """

    def __init__(self, rule: SignalRule | None, rate: int) -> None:
        self.rule = rule or NOTHING_LEARNED
        self.rate = rate
        self._ear = Ear(rate)
        self._faults = FaultTracker()
        self._stretches: deque[Stretch] = deque(maxlen=_MAX_STRETCHES)
        self._loud: deque[tuple[float, float]] = deque(maxlen=_MAX_STRETCHES)
        self._newest: dict[Flaw, Stretch] = {}
        self._heard: Heard | None = None
        self._deaf = False
        self._fresh = True  # the next block begins a new stretch of audio

    @property
    def fault(self) -> SignalFault | None:
        """What has been wrong for two seconds and not right for three since."""
        return self._faults.fault

    def interrupt(self) -> None:
        """Audio is lost before the next block: what was going on does not go on in it.

        A fault stays until there was sound audio for long enough.
        """
        self._fresh = True

    def block(self, mono: FloatArray, begin_s: float) -> BlockHealth:
        """Judge a block.

        Args:
            mono: Samples (n,) at the source's rate, before gain and resampling.
            begin_s: Stream time of the first. A jump is an interruption.
        """
        begin = round(begin_s * self.rate)
        if self._fresh or begin != self._ear.end:
            self._restart(begin)
        possible = True
        for piece in self._ear.push(mono):
            possible &= piece.impossible is None
            self._judge(piece)
        begin_s, end_s = begin / self.rate, self._ear.end / self.rate
        self._faults.advance(end_s)
        self._forget(begin_s - HISTORY_S)
        found = self._within(begin_s, end_s)
        heard = self._heard
        return BlockHealth(
            flaw=None if found is None else found.flaw,
            reason="" if found is None else found.text(),
            level_dbfs=level_dbfs(mono if possible else numbers(mono))
            if len(mono)
            else SILENCE_DBFS,
            clipped_ratio=0.0 if heard is None else heard.clipped,
            dc=0.0 if heard is None else heard.dc,
            loud=self._is_loud(begin_s, end_s),
        )

    def window(self, begin_s: float, end_s: float) -> WindowHealth:
        """Judge a span of stream time from the blocks heard so far."""
        found = self._within(begin_s, end_s)
        if found is not None:
            return WindowHealth(usable=False, may_clear=False, reason=found.text())
        return WindowHealth(usable=True, may_clear=not self._is_loud(begin_s, end_s), reason="")

    def _restart(self, begin: int) -> None:
        if begin < self._ear.end:  # another stream
            self._stretches.clear()
            self._loud.clear()
        self._ear.reset(begin)
        self._faults.interrupt(begin / self.rate)
        self._newest.clear()
        self._heard, self._deaf, self._fresh = None, False, False

    def _judge(self, piece: Piece) -> None:
        if piece.impossible is not None:
            begin, end = piece.impossible
            self._flawed(Flaw.NOT_FINITE, begin, end, float(end - begin))
        for run in piece.runs:
            hold_s = self.rule.hold_s
            if abs(run.value) >= RAIL:
                hold_s = max(hold_s, _RAIL_HOLD_S)
            if run.end - run.begin >= hold_s * self.rate:
                flaw = Flaw.DIGITAL_ZERO if run.value == 0.0 else Flaw.STUCK
                self._flawed(flaw, run.begin, run.end, run.value)
        if piece.heard is not None:
            self._judge_sound(piece.heard)

    def _judge_sound(self, heard: Heard) -> None:
        self._heard = heard
        offset = self.rule.offset(heard)
        if offset:
            self._flawed(Flaw.DC_OFFSET, heard.frame_begin, heard.end, offset)
        depth_db = self.rule.deafness(heard, already=self._deaf)
        self._deaf = depth_db is not None
        if depth_db is not None:
            # The mean of half a second is so low only if all of it is.
            if heard.hum_db >= HUM_DB:
                self._flawed(Flaw.HUM, heard.begin, heard.end, heard.level_dbfs)
            else:
                self._flawed(Flaw.NOISE_FLOOR, heard.begin, heard.end, depth_db)
        if self.rule.is_loud(heard):
            begin_s, end_s = heard.frame_begin / self.rate, heard.end / self.rate
            if self._loud and self._loud[-1][1] >= begin_s:
                begin_s = self._loud.pop()[0]
            self._loud.append((begin_s, end_s))

    def _flawed(self, flaw: Flaw, begin: int, end: int, detail: float) -> None:
        begin_s, end_s = begin / self.rate, end / self.rate
        stretch = self._newest.get(flaw)
        if stretch is not None and begin_s <= stretch.end_s:
            stretch.end_s, stretch.detail = max(stretch.end_s, end_s), detail
        else:
            stretch = self._newest[flaw] = Stretch(begin_s, end_s, flaw, detail)
            self._stretches.append(stretch)
        self._faults.flawed(stretch)

    def _forget(self, before_s: float) -> None:
        while self._stretches and self._stretches[0].end_s < before_s:
            self._stretches.popleft()
        while self._loud and self._loud[0][1] < before_s:
            self._loud.popleft()

    def _within(self, begin_s: float, end_s: float) -> Stretch | None:
        """The plainest flaw that touches a span."""
        found = [one for one in self._stretches if one.begin_s < end_s and one.end_s > begin_s]
        return min(found, key=lambda one: _ORDER[one.flaw], default=None)

    def _is_loud(self, begin_s: float, end_s: float) -> bool:
        return any(begin < end_s and end > begin_s for begin, end in self._loud)
