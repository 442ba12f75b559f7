"""A monitor that has a profile: audio in, scores, states and alerts out.

The pipeline decides; what it decided is handed to the sinks here, and normal listening is taken
back into a calibration that is still provisional.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

from edge_asd.alerting import rules_of, thresholds_of
from edge_asd.capture import Resampler
from edge_asd.clock import uuid7
from edge_asd.config import MonitorConfig
from edge_asd.decide import Decider, Decision, Moment
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet
from edge_asd.errors import StorageError
from edge_asd.health import Health
from edge_asd.operating import Operating
from edge_asd.pipeline import Heard, Judged, Pipeline
from edge_asd.profile import Profile, save_profile
from edge_asd.records import Block, Event, Scored, State
from edge_asd.report import Reporter, Standing
from edge_asd.score.calibrate import QuietBlocks

logger = logging.getLogger(__name__)


class Listener:
    """See the module; not thread-safe.

    Args:
        config: The operator's section.
        networks: The bundle's networks, shared by all monitors of the worker.
        state_dir: Where profiles lie.
        report: The sinks.
        profile: What was learned.
        open_event: Alert that was open when the daemon last stopped.
        clock: Wall time.
        rng: Random bits of event ids.
    """

    def __init__(
        self,
        config: MonitorConfig,
        networks: NetworkSet,
        state_dir: Path,
        report: Reporter,
        *,
        profile: Profile,
        open_event: Event | None = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.name = config.name
        self._channel = config.channel
        self._state_dir, self._report, self._clock = state_dir, report, clock
        manifest = networks.bundle.manifest
        rules, alert = rules_of(config.alert, manifest), config.alert
        if (
            rules.persistence != profile.persistence
            or alert.false_alarms_per_week != profile.calibration.asked_per_week
        ):
            profile = profile.retuned(rules.persistence, alert.false_alarms_per_week, manifest)
        self.profile = profile
        random_bits = rng or random.SystemRandom()
        decider = Decider(
            rules,
            thresholds_of(profile),
            profile.percentile,
            lambda wall_s: uuid7(wall_s, random_bits),
            open_event,
        )
        self.standing = Standing(State.UNKNOWN, "starting", event=open_event)
        self._pipeline = Pipeline(WindowEmbedder(networks), profile, decider, config.settle_s)
        self._resampler: Resampler | None = None
        self._quiet = QuietBlocks(rules.hop_s)
        self._queued_s = 0.0
        report.thresholds(self.name, profile)
        self._calibration_health()

    # Audio

    def push(self, block: Block, rate: int, queued_s: float) -> None:
        """Take in audio.

        Args:
            block: As the source gave it.
            rate: Its rate in hertz.
            queued_s: Audio that still waits behind it.

        Raises:
            ConfigError: The source does not have the channel.
            EngineError: The runtime failed.
        """
        self._queued_s = queued_s
        if self._resampler is None:
            self._resampler = Resampler(rate, self._pipeline.rate, self._channel)
        self._run(self._resampler.push(block))

    def gap(self, windows: int) -> None:
        """So many windows are lost before the next block."""
        self._pipeline.decider.gap(windows)
        self._quiet.interrupt()

    def unusable(self, reason: str, moment: Moment) -> None:
        """A block cannot be scored; what follows it is a new start."""
        self._apply(self._pipeline.decider.set_state(State.UNKNOWN, reason, moment))
        if self._resampler is not None:
            self._resampler.flush()

    def lost(self, reason: str) -> None:
        """The source does not deliver: it cannot be told how the machine sounds."""
        at_s = self._pipeline.now.at_s  # the stream stands still, the wall clock does not
        moment = Moment(at_s, self._clock())
        self._apply(self._pipeline.decider.set_state(State.UNKNOWN, reason, moment))

    def finish(self) -> None:
        """The source is spent."""
        if self._resampler is not None:
            self._run(self._resampler.flush())
        self._apply(self._pipeline.decider.finish("source ended", self._pipeline.now))

    # Alerts

    @property
    def event(self) -> Event | None:
        """The alert that is going on, whatever the monitor shows meanwhile."""
        return self._pipeline.decider.event

    def end_alert(self, reason: str) -> None:
        """End an alert that is going on."""
        if self.event is not None:
            self._apply(self._pipeline.decider.finish(reason, self._pipeline.now))

    def publish(self) -> None:
        """Show how it stands."""
        self._report.state(self.name, self.standing, self.profile)

    # Inside

    def _run(self, blocks: list[Block]) -> None:
        for block in blocks:
            for outcome in self._pipeline.push(block):
                if isinstance(outcome, Judged):
                    self._judged(outcome)
                else:
                    self._heard(outcome)
        self._recalibrate()

    def _heard(self, heard: Heard) -> None:
        if heard.operating is not Operating.RUNNING:
            self._quiet.interrupt()
        self._apply(heard.decision)

    def _judged(self, judged: Judged) -> None:
        if judged.scored is None:
            self._report.metrics.windows(self.name, "idle")
            return
        self._report.metrics.windows(self.name, "scored")
        spent_s = self._pipeline.embedder.spent_s
        total_s = self._queued_s + sum(spent_s.values())
        for stage, seconds in {**spent_s, "queue": self._queued_s, "total": total_s}.items():
            self._report.metrics.latency(stage, seconds)
        self._apply(judged.decision, judged.scored)
        self._report.score(self.name, judged.scored, self.standing.state, self.profile)
        self._collect(judged.decision)

    def _apply(self, decision: Decision, scored: Scored | None = None) -> None:
        decider = self._pipeline.decider
        if decision.suppressed:
            self._report.metrics.alert_suppressed(self.name, "cooldown")
        if decision.event is not None:
            self._report.event(self.name, decision.event, self.profile, self.standing.event)
        before = self.standing
        self.standing = Standing(
            decider.state,
            decider.reason,
            score=before.score if scored is None else scored.score,
            percentile=(
                before.percentile if scored is None else self.profile.percentile(scored.score)
            ),
            event=decider.event,
        )
        if decision.transition is not None:
            logger.info(
                "monitor=%s state=%s previous=%s reason=%r",
                self.name,
                self.standing.state.value,
                decision.transition.previous.value,
                decision.transition.reason,
            )
        if decision.transition is not None or decision.event is not None:
            self.publish()

    def _collect(self, decision: Decision) -> None:
        """Keep what normal listening says about the threshold, while that is provisional."""
        if not self.profile.calibration.provisional:
            return
        if self.standing.state is not State.NORMAL:
            self._quiet.forget()  # what led to an alert must not teach the threshold
        elif decision.statistic is not None:
            self._quiet.add(decision.statistic, self.profile.blocks.block_s)

    def _recalibrate(self) -> None:
        """Take quiet live blocks into the calibration, a tenth more listening at a time."""
        maxima = self._quiet.take(max(5, len(self.profile.blocks.maxima) // 10))
        if maxima is None:
            return
        self.profile = self.profile.recalibrated(maxima)
        self._pipeline.decider.thresholds = thresholds_of(self.profile)
        self._report.thresholds(self.name, self.profile)
        self._calibration_health()
        logger.info(
            "monitor=%s recalibrated threshold=%.3f supported_per_week=%.2f",
            self.name,
            self.profile.calibration.threshold,
            self.profile.calibration.supported_per_week,
        )
        self.publish()
        try:
            save_profile(self._state_dir, self.profile)
        except StorageError as error:  # the old profile on disk is whole; this one is in use
            self._report.health.set(f"profile/{self.name}", Health.WARNING, str(error))
        else:
            self._report.health.remove(f"profile/{self.name}")

    def _calibration_health(self) -> None:
        calibration = self.profile.calibration
        text = (
            f"{calibration.asked_per_week:g} false alarms a week asked for, "
            f"{calibration.supported_per_week:.3g} supported by what was heard"
        )
        status = Health.WARNING if calibration.provisional else Health.HEALTHY
        self._report.health.set(f"calibration/{self.name}", status, text)
