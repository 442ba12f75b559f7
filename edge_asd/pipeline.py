"""THE path of one monitor on one screen: window > features > engine > score > decide.

No threads, no I/O, no clock: what comes out depends on the samples that go in, however they are
cut into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_asd.audio import db_to_factor
from edge_asd.batching import Steps, alone
from edge_asd.decide import Decider, Decision, Moment
from edge_asd.embed import WindowEmbedder
from edge_asd.hearing.signal_health import SignalWatch
from edge_asd.operating import Operating, OperatingTracker, Slot, measure_slot
from edge_asd.profile import Profile
from edge_asd.records import Block, Scored, State, Window
from edge_asd.window import Windower


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One slot was heard: what the machine does, and what that changed."""

    slot: Slot
    operating: Operating
    decision: Decision


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One window was complete."""

    result: str
    """What became of it: ``scored``, ``idle`` (the machine did not run in all of it), ``flawed``
    (the microphone did not work in all of it) or ``skipped`` (scoring is late)."""
    scored: Scored | None = None
    decision: Decision = field(default_factory=Decision)
    hops: int = 1
    """Hops since the window judged before it."""


class Pipeline:
    """From mono blocks at the bundle's rate to decisions; not thread-safe.

    Args:
        embedder: Features and networks of this stream.
        profile: What the monitor learned.
        decider: Its state machine.
        signal: Knows where in the stream the microphone did not work.
        settle_s: Nothing is scored so soon after the machine has started.
    """

    def __init__(
        self,
        embedder: WindowEmbedder,
        profile: Profile,
        decider: Decider,
        signal: SignalWatch,
        settle_s: float,
    ) -> None:
        manifest = embedder.manifest
        self.rate, self.hop = manifest.sample_rate, manifest.hop_samples
        self.embedder, self.profile, self.decider = embedder, profile, decider
        self.signal = signal
        self.stretch = 1
        """Every so many-th window is scored; above 1 while scoring cannot keep up."""
        self._skipped: int | None = None  # windows since the last scored one; None at a new start
        self._judged = 0  # sample up to which another pipeline has judged the sound
        self.gain_db = profile.gain_db
        self.slotter = Windower(self.hop, self.hop, self.rate)
        self.windower = Windower(
            manifest.window_samples, self.hop, self.rate, db_to_factor(self.gain_db)
        )
        settle = round(settle_s * self.rate)
        self.operating = OperatingTracker(profile.idle_rule, self.hop, settle)

    @property
    def now(self) -> Moment:
        """Where the stream is."""
        return Moment(self.windower.end / self.rate, self.windower.end_captured_at)

    @property
    def judged_s(self) -> float:
        """Stream time up to which windows were judged."""
        return max(self.windower.done, self._judged) / self.rate

    def succeed(self, former: Pipeline) -> None:
        """Go on from what another pipeline knows of the stream; what it judged is only heard."""
        self._judged, self.stretch = round(former.judged_s * self.rate), former.stretch
        self.operating.follow(former.operating, self.rate / former.rate)

    def push(self, block: Block) -> list[Heard | Judged]:
        """Take in audio and return, in order of time, all that followed from it."""
        return alone(self.steps(block))

    def steps(self, block: Block) -> Steps[list[Heard | Judged]]:
        """The same, for windows that may share a batch with those of other streams."""
        run = self.windower.run
        slots, windows = self.slotter.push(block), self.windower.push(block)
        if self.windower.run > max(run, 0):
            self.operating.reset()
            self._skipped, self._judged = None, 0
        # A slot that ends with or before a window comes first: whether the machine ran is known
        # when the window is judged, and never from later audio.
        ends = [(piece.start + self.hop, 0, piece) for piece in slots]
        ends += [(piece.start + self.windower.length, 1, piece) for piece in windows]
        ends.sort(key=lambda entry: entry[:2])
        outcomes: list[Heard | Judged] = []
        for end, is_window, piece in ends:
            heard = None if is_window else self._hear(piece)
            if end > self._judged:
                outcomes.append(heard or (yield from self._judge(piece)))
        return outcomes

    def _hear(self, piece: Window) -> Heard:
        slot = measure_slot(piece.samples)
        end = piece.start + self.hop
        begin_s, end_s = piece.start / self.rate, end / self.rate
        # A microphone that does not work says nothing about the machine.
        deaf = not self.signal.window(begin_s, end_s).usable
        operating = self.operating.update(slot, piece.start, deaf=deaf)
        decision = Decision()
        if operating is Operating.IDLE and end > self._judged:
            moment = Moment(end_s, piece.captured_at + self.hop / self.rate)
            decision = self.decider.set_state(State.IDLE, "", moment)
        return Heard(slot, operating, decision)

    def _judge(self, window: Window) -> Steps[Judged]:
        health = self.signal.window(
            window.start / self.rate, (window.start + len(window.samples)) / self.rate
        )
        if not health.usable or self.signal.fault is not None:
            return Judged("flawed")
        if not self.operating.may_score(window.start):
            return Judged("idle")
        if self._skipped is not None and self._skipped + 1 < self.stretch:
            self._skipped += 1
            return Judged("skipped")
        hops, self._skipped = 1 + (self._skipped or 0), 0
        scored = yield from self._score(window)
        decision = self.decider.scored(scored, self.rate, may_clear=health.may_clear, hops=hops)
        return Judged("scored", scored, decision, hops)

    def _score(self, window: Window) -> Steps[Scored]:
        views = yield from self.embedder.steps(window)  # features > engine
        fused = self.profile.detector.score(views)
        return Scored(
            start=window.start,
            end=window.start + len(window.samples),
            captured_at=window.captured_at,
            score=float(fused.scores[0]),
            level_dbfs=float(views.levels_dbfs[0]) - self.gain_db,
            nearest=fused.nearest[0],
            parts={name: float(values[0]) for name, values in fused.parts.items()},
        )
