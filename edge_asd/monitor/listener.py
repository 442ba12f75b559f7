"""A monitor that has a profile: audio in, scores, states and alerts out.

The pipeline decides, the announcer tells what; normal listening is taken back into a calibration
that is still provisional.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from edge_asd.alerting import rules_of, thresholds_of
from edge_asd.batching import Steps, alone
from edge_asd.books.ledger import Account
from edge_asd.capture import Resampler
from edge_asd.config import EvidenceConfig, MonitorConfig
from edge_asd.decide import Decider, Moment, Rules
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet
from edge_asd.evidence.desk import Settled
from edge_asd.hearing.hearing import Sound
from edge_asd.hearing.signal_health import SignalFault, SignalWatch
from edge_asd.monitor.announcer import Announcer
from edge_asd.monitor.clips import Clips
from edge_asd.monitor.live_calibration import LiveCalibration
from edge_asd.monitor.takeover import Retained, heard_again
from edge_asd.operating import Operating
from edge_asd.pipeline import Heard, Judged, Pipeline
from edge_asd.profile import Profile
from edge_asd.records import Block, Event, EventType, Scored, State
from edge_asd.report.report import Reporter
from edge_asd.report.standing import Standing, WindowSpan


class Listener:
    """See the module; not thread-safe.

    Args:
        config: The operator's section.
        networks: The bundle's networks, shared by all monitors of the worker.
        state_dir: Where profiles lie.
        report: The sinks.
        profile: What was learned.
        new_id: Makes an event id from the steady time of its start.
        evidence: What is kept of an alert.
        open_event: Alert that was open when the daemon last stopped.
        snoozed: No alert may be raised.
    """

    def __init__(
        self,
        config: MonitorConfig,
        networks: NetworkSet,
        state_dir: Path,
        report: Reporter,
        *,
        profile: Profile,
        new_id: Callable[[float], str],
        evidence: EvidenceConfig,
        open_event: Event | None = None,
        snoozed: bool = False,
    ) -> None:
        self.name = config.name
        self._channel, self._settle_s = config.channel, config.settle_s
        self._alert, self._state_dir = config.alert, state_dir
        self._report = report
        self._pipeline: Pipeline | None = None  # from the first block on
        self._resampler: Resampler | None = None
        self._retained: Retained | None = None
        rules = self._take(networks, profile)
        self._decider = Decider(
            rules, thresholds_of(self.profile), self.profile.percentile, new_id, open_event
        )
        self._decider.snoozed = snoozed
        self._announcer = Announcer(self.name, self._decider, lambda: self.profile, report)
        self._clips = Clips(
            report.books.evidence,
            evidence,
            span_s=rules.within_s + self._window_s,
            profile=lambda: self.profile,
        )
        self._stretch = 1
        self._deaf = False  # the microphone did not work until now
        self._queued_s = 0.0

    # Audio

    def steps(
        self, block: Block, rate: int, sound: Sound, watch: SignalWatch, queued_s: float
    ) -> Steps[None]:
        """Take in audio; windows that are due may share a batch with those of other monitors.

        Args:
            block: As the source gave it.
            rate: Its rate in hertz.
            sound: The monitor's channel of it.
            watch: What is known about the microphone.
            queued_s: Audio that still waits behind it.

        Raises:
            ConfigError: The source does not have the channel.
            EngineError: The runtime failed.
        """
        self._queued_s = queued_s
        pipeline = self._ready(rate, watch)
        fault, moment = watch.fault, Moment(block.start / rate, block.captured_at)
        if fault is None and self._deaf and sound.health.flaw is None:
            self._deaf = False
            self._unknown("listening again, nothing can be said yet", moment)
        self._clips.push(sound.mono, block.start, block.captured_at)
        if self._retained is not None:
            self._retained.push(block, rate)
        if self._resampler is not None:
            yield from self._run(pipeline, self._resampler.push(block))
        if fault is not None:
            self._fault(fault, moment)

    def due(self) -> int | None:
        """Index of the source with which the next window is complete; None where none is begun."""
        if self._pipeline is None or self._resampler is None:
            return None
        return self._resampler.due(self._pipeline.windower.due)

    def gap(self, lost_s: float, *, dropped: bool) -> None:
        """So much audio is lost before the next block."""
        windows = round((lost_s + self._window_s) / self._hop_s)
        self._report.metrics.windows(self.name, "dropped" if dropped else "gapped", windows)
        self._decider.gap(windows)
        self._calibration.interrupt()

    def unusable(self, reason: str, moment: Moment) -> None:
        """A block cannot be scored; what follows it is a new start."""
        self._deaf = True
        self._unknown(reason, moment)
        if self._resampler is not None:
            self._resampler.flush()

    def lost(self, reason: str) -> None:
        """The source does not deliver: it cannot be told how the machine sounds."""
        self._deaf = True
        # The stream stands still, time does not.
        at_s = self._pipeline.now.at_s if self._pipeline else 0.0
        self._unknown(reason, Moment(at_s, self._report.clock.now()))

    def finish(self) -> None:
        """The source is spent."""
        if self._pipeline is not None and self._resampler is not None:
            alone(self._run(self._pipeline, self._resampler.flush()))
        self._announcer.tell(self._decider.finish("source ended", self._now()))
        self.stop()

    def stop(self) -> None:
        """Nothing more is heard: alerts whose sound is not complete keep what there is."""
        self._clips.finish()

    def keep_evidence(self, evidence: EvidenceConfig) -> None:
        """Keep this of alerts from now on; clips under way end here."""
        self._clips.configure(evidence)

    def stretch(self, hops: int) -> None:
        """Score every so many-th window."""
        self._stretch = hops
        if self._pipeline is not None:
            self._pipeline.stretch = hops

    @property
    def account(self) -> Account:
        """What the newest audio counts as, unless a scored window covers it."""
        idle = (Operating.IDLE, Operating.SETTLING)
        if self._pipeline is not None and self._pipeline.operating.state in idle:
            return Account.IDLE
        return Account.GAPPED

    # Alerts

    @property
    def event(self) -> Event | None:
        """The alert that is going on, whatever the monitor shows meanwhile."""
        return self._decider.event

    @property
    def standing(self) -> Standing:
        """What is known about the machine."""
        return self._announcer.standing

    def settled(self, settled: Settled) -> None:
        """What became of the evidence of an alert."""
        self._report.evidence(settled, self.event, self.profile)

    def end_alert(self, reason: str, state: State = State.UNKNOWN) -> None:
        """End an alert that is going on; ``state`` is what is said from then on."""
        if self.event is not None:
            self._announcer.tell(self._decider.finish(reason, self._now(), state))

    def exchange(self, profile: Profile, *, ended: str = "") -> None:
        """Go on with more or fewer references, between two windows.

        Args:
            profile: Of the same enrolment.
            ended: Why the alert that is open is over; empty if it goes on.
        """
        if ended:
            self.end_alert(ended)
        self.profile = profile
        if self._pipeline is not None:
            self._pipeline.profile = profile
        self._decider.forget()
        self._decider.thresholds = thresholds_of(profile)
        self._calibration.forget()  # statistics of other references
        self._calibration.show(profile)
        self.publish()

    # Other networks

    def retain(self, seconds: float | None) -> None:
        """Keep so much of the newest sound for a pipeline that may take over; None for nothing."""
        self._retained = None if seconds is None else Retained(seconds)

    @property
    def retains(self) -> bool:
        """Whether a pipeline that takes over would hear all that it needs."""
        begun = self._resampler.begun if self._resampler is not None else None
        if begun is None:  # whoever listens next begins with the next block
            return True
        return self._retained is not None and self._retained.reaches(begun)

    def serve(self, networks: NetworkSet, profile: Profile | None = None) -> None:
        """Go on with other networks, between two windows.

        Args:
            networks: That serve from now on.
            profile: What was learned with them; None where they are of the same bundle.
        """
        if profile is None:
            self._networks = networks
            if self._pipeline is not None:
                self._pipeline.embedder.networks = networks
            return
        self._clips.finish()  # what waits is of an alert that the former networks have raised
        former, resampler, retained = self._pipeline, self._resampler, self._retained
        rules = self._take(networks, profile)
        self._decider.go_by(rules, thresholds_of(self.profile), self.profile.percentile)
        self._clips.span(rules.within_s + self._window_s)
        self._pipeline, self._resampler, self._retained = None, None, None
        if former is not None and resampler is not None and retained is not None:
            self._succeed(former, resampler, retained)
        self.publish()

    def _take(self, networks: NetworkSet, profile: Profile) -> Rules:
        """Take what networks and a profile say; what the operator asks for may differ from it."""
        manifest, alert = networks.bundle.manifest, self._alert
        rules = rules_of(alert, manifest)
        if (
            rules.persistence != profile.persistence
            or alert.false_alarms_per_week != profile.calibration.asked_per_week
        ):
            profile = profile.retuned(rules.persistence, alert.false_alarms_per_week, manifest)
        self._networks, self.profile = networks, profile
        self._window_s = manifest.window_samples / manifest.sample_rate
        self._hop_s = manifest.hop_samples / manifest.sample_rate
        self._calibration = LiveCalibration(self.name, self._hop_s, self._state_dir, self._report)
        self._calibration.show(profile)
        return rules

    def _succeed(self, former: Pipeline, resampler: Resampler, retained: Retained) -> None:
        """Take the place of a pipeline: the next window is the one it would have judged next."""
        rate = resampler.source_rate
        pipeline = self._ready(rate, former.signal)
        if resampler.begun is None or self._resampler is None:
            return
        for block in retained.blocks():
            self._clips.push(block.samples[:, self._channel], block.start, block.captured_at)
        pipeline.succeed(former)
        alone(
            self._run(
                pipeline, heard_again(retained, self._resampler, resampler.begun, pipeline.hop)
            )
        )
        pipeline.operating.follow(former.operating, pipeline.rate / former.rate)

    def acknowledge(self, by: str) -> None:
        """Somebody has taken note of the alert that is going on."""
        self._announcer.acknowledge(by, self._now())

    def snooze(self, *, snoozed: bool) -> None:
        """A snooze begins, ends, or ends later: whoever knows of an open alert is told."""
        self._announcer.snooze(self._now(), snoozed=snoozed)

    def publish(self) -> None:
        """Show how it stands."""
        self._announcer.publish()

    # Inside

    def _ready(self, rate: int, watch: SignalWatch) -> Pipeline:
        """The pipeline, made with the first block: only then the source's rate is known."""
        if self._pipeline is None or self._pipeline.signal is not watch:
            embedder = WindowEmbedder(self._networks)
            self._pipeline = Pipeline(embedder, self.profile, self._decider, watch, self._settle_s)
            self._pipeline.stretch = self._stretch
            self._resampler = Resampler(rate, self._pipeline.rate, self._channel)
            self._clips.open(rate)
        return self._pipeline

    def _now(self) -> Moment:
        return self._pipeline.now if self._pipeline else Moment(0.0, self._report.clock.now())

    def _unknown(self, reason: str, moment: Moment) -> None:
        self._report.books.history.unknown(self.name, moment.captured_at)
        self._announcer.tell(self._decider.set_state(State.UNKNOWN, reason, moment))

    def _fault(self, fault: SignalFault, moment: Moment) -> None:
        if not self._deaf:
            self._calibration.forget()  # what a dying microphone gave must not teach the threshold
        self._deaf = True
        self._unknown(f"microphone: {fault.reason}", moment)

    def _run(self, pipeline: Pipeline, blocks: Iterable[Block]) -> Steps[None]:
        for block in blocks:
            for outcome in (yield from pipeline.steps(block)):
                if isinstance(outcome, Judged):
                    self._judged(pipeline, outcome)
                else:
                    self._heard(outcome)
        better = self._calibration.improved(self.profile)
        if better is not None:
            self.profile = better
            self._decider.thresholds = thresholds_of(better)
            self.publish()

    def _heard(self, heard: Heard) -> None:
        if heard.operating is not Operating.RUNNING:
            self._calibration.interrupt()
        # Recent scores are forgotten in every idle slot, not only where the state changes.
        if heard.operating is Operating.IDLE:
            moment = heard.decision.transition or self._now()
            self._report.books.history.idle(self.name, moment.captured_at)
        self._announcer.tell(heard.decision)

    def _judged(self, pipeline: Pipeline, judged: Judged) -> None:
        self._report.metrics.windows(self.name, judged.result)
        if judged.scored is None:
            return
        self._timed(pipeline, judged.scored)
        self._announcer.tell(judged.decision, judged.scored)
        self._announcer.release(self._now())
        if judged.decision.event and judged.decision.event.type is EventType.NEW:
            self._want(judged.decision.event, judged.scored)
        span = WindowSpan(self._window_s, judged.hops * self._hop_s)
        self._report.score(self.name, judged.scored, self.standing.state, self.profile, span)
        self._calibration.heard(self.profile, self.standing.state, judged.decision.statistic)

    def _timed(self, pipeline: Pipeline, scored: Scored) -> None:
        metrics = self._report.metrics
        for stage, seconds in {**pipeline.embedder.spent_s, "queue": self._queued_s}.items():
            metrics.latency(stage, seconds)
        # A recording that is played faster than it lasts is ahead of time: it has no such latency.
        since_s = self._report.clock.now() - (scored.captured_at + self._window_s)
        if since_s >= 0:
            metrics.latency("total", since_s)

    def _want(self, event: Event, scored: Scored) -> None:
        """Ask for the sound that an alert rests on: from the first window that was high."""
        if self._pipeline is None:
            return
        end_s = scored.end / self._pipeline.rate
        high_s = (self._decider.rules.persistence.k - 1) * self._hop_s
        self._clips.want(event, end_s - high_s - self._window_s, end_s, scored.parts)
