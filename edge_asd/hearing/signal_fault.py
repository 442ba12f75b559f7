"""When flaws of the signal become a fault of the microphone, and when that has ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

PERSISTS_S = 2.0
"""So much flaw in a row is a fault."""
RECOVERS_S = 3.0
"""So much sound audio ends it."""
SEAM_S = 0.25
"""Less sound audio than this between two flaws does not tear a row."""
WHOLE_S = 10.0
"""Flaws that leave no stretch of sound audio as long as this leave no whole window, either."""
RECURS_S = 2.0 * WHOLE_S
"""After so much of that it is a fault, however short the flaws; `WHOLE_S` ends it."""
_RECURRING = 3


class Flaw(str, Enum):
    """What a microphone that works does not deliver; the plainest first."""

    NOT_FINITE = "not_finite"
    DIGITAL_ZERO = "digital_zero"
    STUCK = "stuck"
    DC_OFFSET = "dc_offset"
    NOISE_FLOOR = "noise_floor"
    HUM = "hum"


@dataclass(frozen=True, slots=True)
class SignalFault:
    """The machine cannot be heard."""

    flaw: Flaw
    reason: str
    """For people, with what to look at; the same text as long as the fault lasts."""
    since_s: float
    """Stream time of the first flaw of the row."""


@dataclass(slots=True)
class Stretch:
    """Flawed audio, as far as heard."""

    begin_s: float
    end_s: float
    flaw: Flaw
    detail: float
    """How bad at its worst: dB of fall or level, share of full scale, number of values."""

    def text(self, lasted_s: float | None = None) -> str:
        """Reason for people; ``lasted_s`` of the whole row, where that is longer."""
        lasted_s = self.end_s - self.begin_s if lasted_s is None else lasted_s
        return _TEXTS[self.flaw].format(lasted=_seconds(lasted_s), detail=self.detail)


_TEXTS = {
    Flaw.NOT_FINITE: (
        "values that are no sound for {lasted}: is the source's sample format the right one?"
    ),
    Flaw.DIGITAL_ZERO: "digital silence for {lasted}: is the microphone muted or unplugged?",
    Flaw.STUCK: (
        "the same value {detail:.3f} for {lasted}: the converter hangs; unplug it and plug it in "
        "again"
    ),
    Flaw.DC_OFFSET: (
        "offset {detail:.2f} of full scale beyond what was enrolled for {lasted}: is a plug loose "
        "or the microphone broken?"
    ),
    Flaw.NOISE_FLOOR: (
        "{detail:.0f} dB below the quietest sound of enrolment for {lasted}: is the microphone "
        "covered, broken or unplugged? If the room is as silent as that when the machine stops, "
        "enrol again with a stop in the audio"
    ),
    Flaw.HUM: (
        "only mains hum at {detail:.0f} dBFS for {lasted}: is the plug loose, its shield or the "
        "microphone broken?"
    ),
}


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.1f} s" if duration_s >= 1.0 else f"{1000.0 * duration_s:.0f} ms"


class FaultTracker:
    """Follows flaws along the stream; not thread-safe."""

    def __init__(self) -> None:
        self.fault: SignalFault | None = None
        self._sound_from_s: float | None = None  # end of the newest flaw; None before the first
        self._row_begin_s = 0.0
        self._kind_begin_s = 0.0  # since when the row is of its newest kind
        self._newest: Stretch | None = None
        self._broken_from_s: float | None = None  # since then no stretch was whole
        self._rows = 0  # rows since then
        self._recurs = False

    def interrupt(self, begin_s: float) -> None:
        """Audio was lost; what follows begins at this stream time."""
        if self._sound_from_s is not None:
            self._sound_from_s = begin_s
        self._newest = None

    def flawed(self, stretch: Stretch) -> None:
        """A stretch of flaw was heard, or goes on."""
        sound_from_s = self._sound_from_s
        if (
            self._newest is None
            or sound_from_s is None
            or (stretch.begin_s - sound_from_s > SEAM_S)
        ):
            whole = sound_from_s is None or stretch.begin_s - sound_from_s >= WHOLE_S
            if whole or self._broken_from_s is None:
                self._broken_from_s, self._rows = stretch.begin_s, 0
            self._rows += 1
            self._row_begin_s = self._kind_begin_s = stretch.begin_s
        elif stretch.flaw is not self._newest.flaw:
            self._kind_begin_s = max(stretch.begin_s, self._newest.end_s)
        self._newest = stretch
        self._sound_from_s = max(stretch.end_s, sound_from_s or 0.0)

    def advance(self, now_s: float) -> None:
        """The stream has come so far."""
        if self._sound_from_s is None:
            return
        sound_s = now_s - self._sound_from_s
        if self.fault is not None and sound_s >= (WHOLE_S if self._recurs else RECOVERS_S):
            self.fault, self._recurs = None, False
        if self._newest is None or sound_s >= WHOLE_S:
            return
        self._persistent(sound_s)
        self._recurrent(now_s)

    def _persistent(self, sound_s: float) -> None:
        newest = self._newest
        if newest is None or self._sound_from_s is None or sound_s > SEAM_S:
            return
        kind_s = self._sound_from_s - self._kind_begin_s
        row_s = self._sound_from_s - self._row_begin_s
        changed = self.fault is not None and self.fault.flaw is not newest.flaw
        if self.fault is None and row_s >= PERSISTS_S:
            self.fault = SignalFault(newest.flaw, newest.text(row_s), self._row_begin_s)
        elif changed and self.fault is not None and kind_s >= PERSISTS_S:
            self.fault = SignalFault(newest.flaw, newest.text(kind_s), self.fault.since_s)

    def _recurrent(self, now_s: float) -> None:
        newest, broken_from_s = self._newest, self._broken_from_s
        if newest is None or broken_from_s is None or self._rows < _RECURRING:
            return
        if now_s - broken_from_s < RECURS_S:
            return
        if self.fault is None:
            text = newest.text()
            reason = f"{self._rows} times in {now_s - broken_from_s:.0f} s: {text}"
            self.fault = SignalFault(newest.flaw, reason, broken_from_s)
        self._recurs = True
