"""Cut the sound of an alert out of a stream, from before it begins until after it was decided."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_asd.evidence.ring import Ring
from edge_asd.records import Event, FloatArray

MAX_WAITING = 4
"""Alerts of one monitor that wait for the sound after them; one more is refused and counted."""

_SLACK_S = 2.0  # a block may reach so far beyond the decision that it leads to
_ANCHOR_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Marks:
    """Where in a clip things happened, seconds from its first sample; may lie outside of it."""

    evidence_s: float
    """The first window that counted begins."""
    event_s: float
    """The alert began, as its message says."""
    decided_s: float
    """The last window that counted ends: the alert was raised."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """The sound of one alert, one channel as the source gave it."""

    event: Event
    """As it was when the alert was raised."""
    samples: FloatArray
    """(n,) float32 before gain and resampling; silence where audio was lost."""
    rate: int
    """Of the source, hertz."""
    start: int
    """Stream index of the first sample, at that rate."""
    captured_at: float
    """Steady time of the first sample, seconds since 1970."""
    marks: Marks
    gaps: tuple[tuple[int, int], ...]
    """Where audio was lost: samples (begin, end) of the clip."""
    asked_s: float
    """How long it would be had everything been there."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Standardised score of every fused scorer when the alert was raised."""

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last sample."""
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True)
class _Wanted:
    event: Event
    parts: Mapping[str, float]
    evidence: int  # stream index at which the first window that counted begins
    decided: int
    begin: int
    end: int


class Tap:
    """Keeps the last seconds of a stream and cuts clips out of them; not thread-safe.

    A source that comes back at another rate is another stream: ``finish`` this tap and make a new
    one.

    Args:
        rate: Of the source, hertz.
        before_s: Sound before what the alert rests on.
        after_s: Sound after the alert was raised.
        evidence_s: The longest an alert can rest on: the span of its windows and one window.
    """

    def __init__(self, rate: int, before_s: float, after_s: float, evidence_s: float) -> None:
        self.rate = rate
        self.refused = 0
        """Alerts without a clip because too many waited."""
        self._before, self._after = round(before_s * rate), round(after_s * rate)
        longest = before_s + evidence_s + after_s + _SLACK_S
        self._ring = Ring(max(1, round(longest * rate)))
        self._waiting: list[_Wanted] = []
        self._anchors: deque[tuple[int, float]] = deque()  # stream index and its steady time

    @property
    def waiting(self) -> int:
        """Clips that wait for the sound after the alert."""
        return len(self._waiting)

    def push(self, mono: FloatArray, start: int, captured_at: float) -> list[Clip]:
        """Take in audio of the monitor's channel.

        Args:
            mono: Samples (n,) float32, before gain and resampling.
            start: Stream index of the first sample; a jump is lost audio.
            captured_at: Steady time of the first sample.

        Returns:
            The clips that are complete now.
        """
        clips = self.finish() if start < self._ring.end else []
        self._anchor(start, captured_at)
        done = 0
        for wanted in [w for w in self._waiting if w.end <= start + len(mono)]:
            cut = max(done, wanted.end - start)  # however long the block: first up to here …
            self._ring.push(mono[done:cut], start + done)
            clips.append(self._cut(wanted))  # … so that nothing older has gone yet
            done = cut
        self._waiting = [w for w in self._waiting if w.end > start + len(mono)]
        self._ring.push(mono[done:], start + done)
        return clips

    def want(
        self,
        event: Event,
        begin_s: float,
        end_s: float,
        parts: Mapping[str, float] | None = None,
    ) -> bool:
        """Ask for the clip of an alert; it comes from ``push`` or ``finish``.

        Args:
            event: As raised.
            begin_s: Stream time at which the first window that counted begins.
            end_s: Stream time at which the last of them ends.
            parts: Standardised scores that were fused.

        Returns:
            Whether there will be one.
        """
        if len(self._waiting) >= MAX_WAITING:
            self.refused += 1
            return False
        evidence, decided = round(begin_s * self.rate), round(end_s * self.rate)
        begin, end = evidence - self._before, decided + self._after
        wanted = _Wanted(event, dict(parts or {}), evidence, decided, begin, end)
        self._waiting.append(wanted)
        self._waiting.sort(key=lambda one: one.end)
        return True

    def finish(self) -> list[Clip]:
        """Hand out what waits as it is: the stream ends, is interrupted, or the daemon stops."""
        clips = [self._cut(wanted) for wanted in self._waiting]
        self._waiting = []
        return clips

    def _cut(self, wanted: _Wanted) -> Clip:
        begin = max(wanted.begin, wanted.end - self._ring.capacity)
        span = self._ring.read(begin, wanted.end)
        decided_s = (wanted.decided - span.start) / self.rate
        return Clip(
            event=wanted.event,
            samples=span.samples,
            rate=self.rate,
            start=span.start,
            captured_at=self._captured_at(span.start),
            marks=Marks(
                evidence_s=(wanted.evidence - span.start) / self.rate,
                event_s=decided_s - wanted.event.duration_s,
                decided_s=decided_s,
            ),
            gaps=tuple((low - span.start, high - span.start) for low, high in span.gaps),
            asked_s=(wanted.end - wanted.begin) / self.rate,
            parts=wanted.parts,
        )

    def _anchor(self, start: int, captured_at: float) -> None:
        """Remember when the stream was where; clocks drift apart, and lost audio is no time."""
        fresh = not self._anchors or start != self._ring.end
        if fresh or start - self._anchors[-1][0] >= _ANCHOR_EVERY_S * self.rate:
            self._anchors.append((start, captured_at))
        while len(self._anchors) > 1 and self._anchors[1][0] <= self._ring.begin:
            self._anchors.popleft()

    def _captured_at(self, index: int) -> float:
        known = [anchor for anchor in self._anchors if anchor[0] <= index] or [self._anchors[0]]
        start, captured_at = known[-1]
        return captured_at + (index - start) / self.rate
