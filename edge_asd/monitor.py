"""One monitor at work: the pipeline with its profile, or the recorder that will make one.

Called by the worker only. A monitor is *listening* (it has a profile), *recording* normal sound for
a profile, or *learning* it, which happens in a thread of its own while no audio is needed.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.audio import level_dbfs
from edge_asd.capture import Resampler
from edge_asd.clock import uuid7
from edge_asd.config import AlertConfig, MonitorConfig
from edge_asd.decide import Decider, Decision, Moment, Rules, Thresholds
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet
from edge_asd.enrol import MIN_AUDIO_S, EnrolRequest
from edge_asd.errors import ConfigError, StorageError
from edge_asd.health import Health
from edge_asd.manifest import Manifest
from edge_asd.operating import Operating
from edge_asd.pipeline import Heard, Judged, Pipeline
from edge_asd.profile import Profile, profile_dir, save_profile
from edge_asd.records import Block, Event, Scored, State
from edge_asd.report import Reporter, Standing
from edge_asd.reservoir import PieceWriter
from edge_asd.score.calibrate import Persistence, QuietBlocks

logger = logging.getLogger(__name__)

_PROGRESS_EVERY = 0.05
"""Baselining is reported in steps of this share."""


def persistence_of(alert: AlertConfig, manifest: Manifest) -> Persistence:
    """Persistence in windows, for a bundle's hop.

    Raises:
        ConfigError: ``above_s`` is so short that one bang could raise, and that was not allowed.
    """
    hop_s = manifest.hop_samples / manifest.sample_rate
    shortest = manifest.window_samples / manifest.sample_rate + hop_s
    if alert.above_s <= shortest and not alert.transients:
        raise ConfigError(
            f"alert.above_s={alert.above_s:g}: one bang is heard in every window of "
            f"{shortest - hop_s:g} s; set it above {shortest:.2f}, or set transients: true"
        )
    return Persistence.from_seconds(alert.above_s, alert.within_s, hop_s)


def enrol_request(config: MonitorConfig, manifest: Manifest) -> EnrolRequest:
    """What enrolment of this monitor needs to know."""
    return EnrolRequest(
        monitor=config.name,
        source=config.source,
        channel=config.channel,
        persistence=persistence_of(config.alert, manifest),
        false_alarms_per_week=config.alert.false_alarms_per_week,
        settle_s=config.settle_s,
    )


@dataclass(slots=True)
class _Recording:
    """Normal sound on its way to a profile."""

    writer: PieceWriter
    wanted_s: float
    reported: float = 0.0


class Monitor:
    """See the module; not thread-safe.

    Args:
        config: The operator's section.
        networks: The bundle's networks, shared by all monitors of the worker.
        state_dir: Where profiles lie.
        report: The sinks.
        profile: What was learned before; None starts a baselining.
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
        profile: Profile | None,
        open_event: Event | None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.config, self.name = config, config.name
        self.profile = profile
        self.learning = False
        """Audio is not needed while a profile is computed."""
        self.given_up = False
        """Baselining failed: it is not begun again by itself."""
        self.standing = Standing(State.UNKNOWN, "starting")
        self._networks, self._state_dir, self._report = networks, state_dir, report
        self._manifest = networks.bundle.manifest
        self._hop_s = self._manifest.hop_samples / self._manifest.sample_rate
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._resampler: Resampler | None = None
        self._pipeline: Pipeline | None = None
        self._recording: _Recording | None = None
        self._next_sample: int | None = None
        self._queued_s = 0.0
        self._quiet = QuietBlocks(self._hop_s)
        if profile is not None:
            self._listen(profile, open_event)
        self._publish(self.standing)

    # Audio

    def push(self, block: Block, rate: int, *, queued_s: float, dropped: bool) -> bool:
        """Take in audio; True when enough normal sound was recorded to learn from.

        Args:
            block: As the source gave it.
            rate: Its rate in hertz.
            queued_s: Audio that still waits behind it.
            dropped: Audio before it was dropped because the worker was late.
        """
        self._queued_s = queued_s
        finite = bool(np.isfinite(block.samples).all())
        mono = block.samples[:, min(self.config.channel, block.samples.shape[1] - 1)]
        end = block.captured_at + len(block.samples) / rate
        level = level_dbfs(mono) if finite else float("nan")
        self._report.metrics.captured(self.name, len(block.samples), at=end, level_dbfs=level)
        if block.overflowed:
            self._report.metrics.capture_overflowed(self.name)
        self._count_gap(block, rate, dropped=dropped)
        if not finite:
            self._unknown("microphone: samples are not numbers", block, rate)
            self._next_sample = None  # what follows is a new start
            return False
        if self._recording is not None:
            return self._record(block)
        if self._pipeline is not None:
            if self._resampler is None:
                self._resampler = Resampler(rate, self._manifest.sample_rate, self.config.channel)
            self._run(self._resampler.push(block))
        return False

    def lost(self, reason: str) -> None:
        """The source does not deliver: it cannot be told how the machine sounds."""
        if self._pipeline is None:
            if self.standing.state is not State.BASELINING:
                self._publish(Standing(State.UNKNOWN, reason))
            return
        at_s = self._pipeline.now.at_s  # the stream stands still, the wall clock does not
        moment = Moment(at_s, self._clock())
        self._apply(self._pipeline.decider.set_state(State.UNKNOWN, reason, moment))

    def finish(self) -> bool:
        """The source is spent. True when what was recorded is enough to learn from."""
        if self._recording is not None:
            enough = self._recording.writer.written_s >= MIN_AUDIO_S
            if not enough:
                heard_s = self._recording.writer.written_s
                reason = f"the source ended after {heard_s:.0f} s of baselining"
                self.cancel_recording()
                self._publish(Standing(State.UNKNOWN, reason))
            return enough
        if self._pipeline is not None:
            if self._resampler is not None:
                self._run(self._resampler.flush())
            self._apply(self._pipeline.decider.finish("source ended", self._pipeline.now))
        return False

    # Learning

    @property
    def recording(self) -> bool:
        """Whether normal sound is being recorded."""
        return self._recording is not None

    def start_recording(self, rate: int, wanted_s: float) -> None:
        """Begin a baselining.

        Raises:
            StorageError: The audio cannot be written.
        """
        folder = profile_dir(self._state_dir, self.name) / "recording"
        self._recording = _Recording(PieceWriter(folder, rate, self.config.channel), wanted_s)
        self._publish(Standing(State.BASELINING, f"listening for {wanted_s:.0f} s", progress=0.0))

    def stop_recording(self) -> Path:
        """Finish the recording and return its folder; the monitor is learning from now on."""
        if self._recording is None:
            raise RuntimeError("nothing is being recorded")
        writer = self._recording.writer
        writer.close()
        self._recording, self.learning = None, True
        self._publish(Standing(State.BASELINING, "learning", progress=1.0))
        return writer.folder

    def cancel_recording(self) -> None:
        """Drop what was recorded: the profile comes from elsewhere."""
        if self._recording is not None:
            self._recording.writer.close()
            self._recording = None

    def learned(self, profile: Profile) -> None:
        """Listen with a new profile."""
        self.learning, self.given_up = False, False
        self._report.health.remove(f"enrolment/{self.name}")
        self._end_alert("enrolled again")
        self._listen(profile, None)
        self._publish(Standing(State.UNKNOWN, "starting"))

    def learning_failed(self, reason: str) -> None:
        """Go on with the old profile, or say why there is none."""
        self.learning = False
        self.given_up = self.profile is None
        logger.error("monitor=%s enrolment failed reason=%s", self.name, reason)
        self._report.health.set(f"enrolment/{self.name}", Health.CRITICAL, reason)
        if self.profile is None:
            self._publish(Standing(State.UNKNOWN, f"enrolment failed: {reason}"))
        else:
            self._listen(self.profile, self.standing.event)

    # Inside

    def _listen(self, profile: Profile, open_event: Event | None) -> None:
        alert = self.config.alert
        persistence = persistence_of(alert, self._manifest)
        if (
            persistence != profile.persistence
            or alert.false_alarms_per_week != profile.calibration.asked_per_week
        ):
            profile = profile.retuned(persistence, alert.false_alarms_per_week, self._manifest)
        rules = Rules(
            persistence=persistence,
            hop_s=self._hop_s,
            clear_s=alert.clear_s,
            cooldown_s=alert.cooldown_s,
            update_s=alert.update_s,
        )
        decider = Decider(
            rules,
            _thresholds(profile),
            profile.percentile,
            lambda wall_s: uuid7(wall_s, self._rng),
            open_event,
        )
        self.profile = profile
        embedder = WindowEmbedder(self._networks)
        self._pipeline = Pipeline(embedder, profile, decider, self.config.settle_s)
        self._resampler = None
        self._quiet.forget()
        self.standing = Standing(State.UNKNOWN, "starting", event=open_event)
        self._report.thresholds(self.name, profile)
        self._calibration_health()

    def _run(self, blocks: list[Block]) -> None:
        pipeline = self._pipeline
        if pipeline is None:
            return
        for block in blocks:
            for outcome in pipeline.push(block):
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
        if judged.scored is None or self.profile is None or self._pipeline is None:
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
        if self._pipeline is None or self.profile is None:
            return
        decider = self._pipeline.decider
        if decision.suppressed:
            self._report.metrics.alert_suppressed(self.name, "cooldown")
        if decision.event is not None:
            self._report.event(self.name, decision.event, self.profile, self.standing.event)
        standing = Standing(
            decider.state,
            decider.reason,
            score=self.standing.score if scored is None else scored.score,
            percentile=(
                self.standing.percentile
                if scored is None
                else self.profile.percentile(scored.score)
            ),
            event=decider.event,
        )
        changed = decision.transition is not None or decision.event is not None
        self.standing = standing
        if decision.transition is not None:
            logger.info(
                "monitor=%s state=%s previous=%s reason=%r",
                self.name,
                standing.state.value,
                decision.transition.previous.value,
                decision.transition.reason,
            )
        if changed:
            self._publish(standing)

    def _end_alert(self, reason: str) -> None:
        if self._pipeline is not None and self._pipeline.decider.event is not None:
            self._apply(self._pipeline.decider.finish(reason, self._pipeline.now))

    def _collect(self, decision: Decision) -> None:
        """Keep what normal listening says about the threshold, while that is provisional."""
        if self.profile is None or not self.profile.calibration.provisional:
            return
        if self.standing.state is not State.NORMAL:
            self._quiet.forget()  # what led to an alert must not teach the threshold
        elif decision.statistic is not None:
            self._quiet.add(decision.statistic, self.profile.blocks.block_s)

    def _recalibrate(self) -> None:
        """Take quiet live blocks into the calibration, a tenth more listening at a time."""
        if self.profile is None or self._pipeline is None:
            return
        maxima = self._quiet.take(max(5, len(self.profile.blocks.maxima) // 10))
        if maxima is None:
            return
        self.profile = self.profile.recalibrated(maxima)
        self._pipeline.decider.thresholds = _thresholds(self.profile)
        self._report.thresholds(self.name, self.profile)
        self._calibration_health()
        logger.info(
            "monitor=%s recalibrated threshold=%.3f supported_per_week=%.2f",
            self.name,
            self.profile.calibration.threshold,
            self.profile.calibration.supported_per_week,
        )
        self._publish(self.standing)
        try:
            save_profile(self._state_dir, self.profile)
        except StorageError as error:  # the old profile on disk is whole; this one is in use
            self._report.health.set(f"profile/{self.name}", Health.WARNING, str(error))

    def _calibration_health(self) -> None:
        if self.profile is None:
            return
        calibration = self.profile.calibration
        text = (
            f"{calibration.asked_per_week:g} false alarms a week asked for, "
            f"{calibration.supported_per_week:.3g} supported by what was heard"
        )
        status = Health.WARNING if calibration.provisional else Health.HEALTHY
        self._report.health.set(f"calibration/{self.name}", status, text)

    def _record(self, block: Block) -> bool:
        recording = self._recording
        if recording is None:
            return False
        recording.writer.push(block)
        done = min(1.0, recording.writer.written_s / recording.wanted_s)
        if done - recording.reported >= _PROGRESS_EVERY:
            recording.reported = done
            left_s = recording.wanted_s - recording.writer.written_s
            self._publish(
                Standing(State.BASELINING, f"{max(0.0, left_s):.0f} s to go", progress=done)
            )
        return done >= 1.0

    def _count_gap(self, block: Block, rate: int, *, dropped: bool) -> None:
        expected, self._next_sample = self._next_sample, block.start + len(block.samples)
        if expected is None or block.start == expected or self._pipeline is None:
            return
        lost_s = max(0.0, (block.start - expected) / rate)
        window_s = self._manifest.window_samples / self._manifest.sample_rate
        windows = round((lost_s + window_s) / self._hop_s)
        self._report.metrics.capture_lost(self.name, lost_s)
        self._report.metrics.windows(self.name, "dropped" if dropped else "gapped", windows)
        self._pipeline.decider.gap(windows)
        self._quiet.interrupt()

    def _unknown(self, reason: str, block: Block, rate: int) -> None:
        if self._pipeline is not None:
            moment = Moment(block.start / rate, block.captured_at)
            self._apply(self._pipeline.decider.set_state(State.UNKNOWN, reason, moment))
            if self._resampler is not None:
                self._resampler.flush()

    def _publish(self, standing: Standing) -> None:
        self.standing = standing
        self._report.state(self.name, standing, self.profile)


def _thresholds(profile: Profile) -> Thresholds:
    calibration = profile.calibration
    return Thresholds(calibration.threshold, calibration.alarm_threshold, calibration.clear_below)
