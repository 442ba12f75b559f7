"""One monitor at work: listening with its profile, or baselining on the sound it will learn from.

Called by the worker only.
"""

from __future__ import annotations

import logging
import random
from pathlib import Path

from edge_asd.batching import Steps, alone
from edge_asd.books.ledger import Account
from edge_asd.bundle.manifest import Manifest
from edge_asd.clock import uuid7
from edge_asd.config import EvidenceConfig, MicrophoneConfig, MonitorConfig
from edge_asd.decide import Moment
from edge_asd.engine import NetworkSet
from edge_asd.evidence.desk import Settled
from edge_asd.health import Health
from edge_asd.hearing.hearing import Hearing
from edge_asd.hearing.outage import OutageNotices
from edge_asd.monitor.baselining import Baselining
from edge_asd.monitor.listener import Listener
from edge_asd.monitor.pause import Pause
from edge_asd.operators.switches import Switches
from edge_asd.profile import Profile, profile_dir
from edge_asd.records import Block, Event, MicrophoneNotice, State
from edge_asd.report.report import Reporter
from edge_asd.report.standing import Standing

logger = logging.getLogger(__name__)


class Monitor:
    """See the module; not thread-safe.

    Args:
        config: The operator's section.
        networks: The bundle's networks, shared by all monitors of the worker.
        state_dir: Where profiles lie.
        report: The sinks.
        profile: What was learned before; None starts a baselining.
        open_event: Alert that was open when the daemon last stopped.
        open_notice: Notice about the microphone that was open then.
        microphone: When a dead microphone is told.
        evidence: What is kept of an alert.
        rng: Random bits of ids.
        switches: What the operator has switched.
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
        open_notice: MicrophoneNotice | None = None,
        microphone: MicrophoneConfig | None = None,
        evidence: EvidenceConfig | None = None,
        rng: random.Random | None = None,
        switches: Switches | None = None,
    ) -> None:
        self.config, self.name = config, config.name
        self.switches = switches or Switches()
        self.networks = networks
        """That score, shared with other monitors."""
        self._state_dir, self._report = state_dir, report
        self._rng = rng or random.SystemRandom()
        self._evidence = evidence or EvidenceConfig()
        folder = profile_dir(state_dir, self.name) / "recording"
        self.baselining = Baselining(folder, config.channel, self._show)
        manifest = networks.bundle.manifest
        settings = microphone or MicrophoneConfig()
        self.hearing = Hearing(
            self.name,
            config.channel,
            report,
            OutageNotices(settings.notify_after_s, self._new_id, open_notice),
            settle_s=_settled_after_s(manifest),
            rule=profile.signal if profile else None,
        )
        hop_s = manifest.hop_samples / manifest.sample_rate
        self._pause = Pause(self.name, hop_s, report.metrics)
        self._stretch = 1
        self._retain_s: float | None = None
        self._listener: Listener | None = None
        # What it shows while it does not listen; None while the listener speaks.
        self._shown: Standing | None = Standing(State.UNKNOWN, "starting")
        report.switched(self.name, self.switches)
        if profile is None:
            self._publish()
        else:
            self._listen(profile, open_event)
        if self.switches.silent:
            self._fall_silent()

    @property
    def profile(self) -> Profile | None:
        """What it learned."""
        return None if self._listener is None else self._listener.profile

    @property
    def standing(self) -> Standing:
        """What is known about the machine right now."""
        if self.switches.silent:
            return Standing(State.INHIBITED, self.switches.reason)
        if self._shown is not None:
            return self._shown
        if self._listener is not None:
            return self._listener.standing
        return Standing(State.UNKNOWN, "starting")

    @property
    def alert(self) -> Event | None:
        """The alert that is going on, also while something else is shown."""
        return None if self._listener is None else self._listener.event

    # Audio

    def push(self, block: Block, rate: int, *, queued_s: float, dropped: bool) -> bool:
        """Take in audio; see `steps`."""
        return alone(self.steps(block, rate, queued_s=queued_s, dropped=dropped))

    def steps(self, block: Block, rate: int, *, queued_s: float, dropped: bool) -> Steps[bool]:
        """Take in audio; windows that are due may share a batch with those of other monitors.

        Args:
            block: As the source gave it.
            rate: Its rate in hertz.
            queued_s: Audio that still waits behind it.
            dropped: Audio before it was dropped because the worker was late.

        Returns:
            True when enough normal sound was recorded to learn from.

        Raises:
            ConfigError: The source does not have the channel.
            EngineError: The runtime failed.
            StorageError: What is recorded cannot be written.
        """
        sound = self.hearing.take(block, rate, dropped=dropped)
        end_s = block.captured_at + len(block.samples) / rate
        unused = self._pause.take(len(block.samples) / rate)
        if unused is not None:
            self.hearing.account(sound, end_s, unused)
            return False
        listener = self._listener if self._shown is None else None
        if sound.lost_s and listener is not None:
            listener.gap(sound.lost_s, dropped=dropped)
        enough = False
        if not sound.numbers:
            if listener is not None:
                moment = Moment(block.start / rate, block.captured_at)
                listener.unusable("microphone: samples are not numbers", moment)
            self.hearing.new_start()
        elif self.baselining.recording:
            usable = sound.health.flaw is None
            enough = self.baselining.push(block, self.hearing.fault, usable=usable)
        elif listener is not None:
            watch = self.hearing.watch(rate)
            yield from listener.steps(block, rate, sound, watch, queued_s)
        self.hearing.account(sound, end_s, self._account)
        return enough

    def due(self) -> int | None:
        """Index of the source with which its next window is complete; None if it waits for none."""
        return None if self._shown is not None or self._listener is None else self._listener.due()

    def lost(self, reason: str) -> None:
        """The source does not deliver: it cannot be told how the machine sounds."""
        self.hearing.lost(reason)
        if self.switches.silent:
            return
        if self.baselining.recording:
            self.baselining.lost(reason)
        elif self._listener is not None and self._shown is None:
            self._listener.lost(reason)
        elif not self.baselining.learning:
            self._show(Standing(State.UNKNOWN, reason))

    def finish(self) -> bool:
        """The source is spent. True when what was recorded is enough to learn from."""
        if self.baselining.recording:
            return self.baselining.enough
        if self._listener is not None and self._shown is None and not self.switches.silent:
            self._listener.finish()
        return False

    def wait(self, now_s: float, *, notify: bool) -> None:
        """Nothing arrives at this steady time; see `Hearing.wait`."""
        self.hearing.wait(now_s, notify=notify)

    def settled(self, settled: Settled) -> None:
        """What became of the evidence of an alert."""
        if self._listener is not None:
            self._listener.settled(settled)

    def stop(self) -> None:
        """The daemon ends: evidence that waits for its end is kept as it is."""
        if self._listener is not None:
            self._listener.stop()
        self.baselining.stop()

    def retune(self, config: MonitorConfig, profile: Profile | None = None) -> None:
        """Go on with other rules for the same sound: a new start, in which alerts stay open.

        Args:
            config: The operator's section.
            profile: Another one that was learned; None for the present one.
        """
        self.config = config
        listener, shown = self._listener, self._shown
        if listener is not None:
            listener.stop()
            self._listen(profile or listener.profile, listener.event)
            if shown is not None:
                self._shown = shown
                self._publish()

    def keep_evidence(self, evidence: EvidenceConfig) -> None:
        """Keep this of alerts from now on."""
        self._evidence = evidence
        if self._listener is not None:
            self._listener.keep_evidence(evidence)

    def leave(self, reason: str) -> None:
        """The operator has no use for it any more: what is open ends."""
        if self._listener is not None:
            self._listener.end_alert(reason)
        self.hearing.leave(self._report.clock.now())
        self.stop()

    # Operators

    def switch(self, switches: Switches) -> None:
        """Follow what an operator has switched, or what has ended by itself."""
        before, self.switches = self.switches, switches
        self._report.switched(self.name, switches)
        if switches.silent:
            self._fall_silent()
        elif before.silent:
            self._take_up()
        if self._listener is not None and switches.snooze != before.snooze:
            self._listener.snooze(snoozed=switches.snoozed)
        if switches != before:
            self._publish()

    def acknowledge(self, by: str) -> Event | None:
        """Somebody has taken note of the alert that is going on.

        Returns:
            The alert; None if there is none that anybody was told of.
        """
        if self._listener is None or self.alert is None or self.alert.held:
            return None
        self._listener.acknowledge(by)
        return self.alert

    def _fall_silent(self) -> None:
        """Nothing is scored or learned: whoever waits for the end of an alert is told so."""
        self._pause.begin()
        self.hearing.silent = True
        if self._listener is not None:
            self._listener.end_alert(self.switches.reason, State.INHIBITED)
            self._listener.stop()
            # What other rules would have raised ends here, too.
            self._report.books.history.idle(self.name, self._report.clock.now())
        self._publish()

    def _take_up(self) -> None:
        """Listen again, from the audio on that comes after the pause and the machine's settling."""
        self._pause.end(self.config.settle_s)
        self.hearing.silent = False
        if self._listener is None:
            return
        shown = self._shown
        self._listen(self._listener.profile, None)
        self._shown = shown
        if self.hearing.down:
            self.lost(self.hearing.down)

    def stretch(self, hops: int) -> None:
        """Score every so many-th window."""
        self._stretch = hops
        if self._listener is not None:
            self._listener.stretch(hops)

    # Learning

    def await_profile(self) -> None:
        """A profile comes from elsewhere: drop what was recorded, or go on with the old one."""
        if self._listener is None:
            self.baselining.await_profile()
        else:
            self.baselining.end()

    def learned(self, profile: Profile) -> None:
        """Listen with a new profile."""
        self.baselining.end()
        self.baselining.given_up = False
        self._report.health.remove(f"enrolment/{self.name}")
        if self._listener is not None:
            self._listener.end_alert("enrolled again")
        self.hearing.learned(profile.signal)
        self._listen(profile, None)

    def retain(self, seconds: float | None) -> None:
        """Keep so much of the newest sound for networks that may take over; None for nothing."""
        self._retain_s = seconds
        if self._listener is not None:
            self._listener.retain(seconds)

    @property
    def retains(self) -> bool:
        """Whether networks that take over would hear all that they need."""
        silent = self.switches.silent or self._shown is not None or bool(self.hearing.down)
        return silent or self._listener is None or self._listener.retains

    def serve(
        self,
        networks: NetworkSet,
        profile: Profile | None = None,
        config: MonitorConfig | None = None,
    ) -> None:
        """Go on with other networks, between two windows.

        Args:
            networks: That serve from now on.
            profile: What was learned with them; None where they are of the same bundle.
            config: The operator's section, which may have changed; that is a new start.
        """
        if networks is self.networks:
            return
        self.networks = networks
        if profile is not None:
            manifest = networks.bundle.manifest
            self._pause.hop_s = manifest.hop_samples / manifest.sample_rate
            self._report.books.open(self.name, _settled_after_s(manifest))
        if self.switches.silent:
            self.retain(None)  # what was heard before is over
        self._retain_s = None
        if config is not None and config != self.config:
            self.retune(config, profile)
        elif self._listener is not None:
            self._listener.serve(networks, profile)

    def exchange(self, profile: Profile, *, ended: str = "") -> None:
        """Go on listening with more or fewer references; ``ended``: why an open alert is over."""
        if self._listener is not None:
            self._listener.exchange(profile, ended=ended)

    def learning_failed(self, reason: str, *, give_up: bool) -> None:
        """Go on with the old profile, or say why there is none.

        Args:
            reason: What went wrong.
            give_up: Without a profile, do not begin again by itself.
        """
        self.baselining.end()
        logger.error("monitor=%s enrolment failed reason=%s", self.name, reason)
        self._report.health.set(f"enrolment/{self.name}", Health.CRITICAL, reason)
        if self._listener is not None:
            if self._shown is not None:
                # A new start: what was heard meanwhile is missing. An open alert stays open.
                self._listen(self._listener.profile, self._listener.event)
            return
        self.baselining.given_up = give_up
        self._show(Standing(State.UNKNOWN, f"enrolment failed: {reason}"))

    # Inside

    def _listen(self, profile: Profile, open_event: Event | None) -> None:
        self._listener = Listener(
            self.config,
            self.networks,
            self._state_dir,
            self._report,
            profile=profile,
            new_id=self._new_id,
            evidence=self._evidence,
            open_event=open_event,
            snoozed=self.switches.snoozed,
        )
        self._listener.stretch(self._stretch)
        self._listener.retain(self._retain_s)
        self._shown = None
        self._publish()

    @property
    def _account(self) -> Account:
        """What the newest audio counts as, unless a scored window covers it."""
        if self.baselining.under_way:
            return Account.BASELINING
        return self._listener.account if self._listener is not None else Account.GAPPED

    def _new_id(self, steady_s: float) -> str:
        return uuid7(self._report.clock.wall(steady_s), self._rng)

    def _show(self, standing: Standing) -> None:
        self._shown = standing
        if not self.switches.silent:
            self._publish()

    def _publish(self) -> None:
        self._report.state(self.name, self.standing, self.profile)


def _settled_after_s(manifest: Manifest) -> float:
    """So long after a second no window can cover it any more."""
    return (manifest.window_samples + manifest.hop_samples) / manifest.sample_rate + 1.0
