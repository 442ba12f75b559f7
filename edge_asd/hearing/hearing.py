"""What a monitor hears with: its microphone's health, its outages, and the account of its time.

Works whether the monitor listens or still records the sound it will learn from: a dead microphone
is told in both cases, and every second is accounted for.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_asd.books.ledger import Account
from edge_asd.health import Health
from edge_asd.hearing.noise_floor import NoiseFloor
from edge_asd.hearing.outage import Outage, OutageNotices
from edge_asd.hearing.signal_health import BlockHealth, Flaw, SignalFault, SignalRule, SignalWatch
from edge_asd.records import Block, FloatArray, MicrophoneNotice
from edge_asd.report.report import Reporter

NO_AUDIO = "no_audio"


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A block as the monitor hears it."""

    mono: FloatArray
    """(n,) its channel, native rate, before the gain."""
    health: BlockHealth
    lost_s: float
    """Audio that is missing before it."""

    @property
    def numbers(self) -> bool:
        """Whether its samples are numbers at all."""
        return self.health.flaw is not Flaw.NOT_FINITE


class Hearing:
    """See the module; not thread-safe.

    Args:
        name: Of the monitor.
        channel: Of its source, from 0.
        report: The sinks.
        notices: Outages that are told.
        settle_s: Audio after a second until no window can cover it any more.
        rule: What enrolment learned about the microphone; None before.
    """

    def __init__(
        self,
        name: str,
        channel: int,
        report: Reporter,
        notices: OutageNotices,
        *,
        settle_s: float,
        rule: SignalRule | None,
    ) -> None:
        self.name = name
        self.silent = False
        """There is maintenance: its time is accounted as such, and nothing new is told."""
        self._channel, self._report, self._notices = channel, report, notices
        self._rule = rule
        self._watch: SignalWatch | None = None
        self._noise_floor = NoiseFloor()
        self._rate = 0
        self._next_sample: int | None = None
        self._heard_until_s: float | None = None  # steady time after the newest block
        self._down = ""  # why the source does not deliver
        report.books.open(name, settle_s)

    @property
    def down(self) -> str:
        """Why the source does not deliver; empty while it does."""
        return self._down

    @property
    def fault(self) -> SignalFault | None:
        """A flaw of the signal that lasts."""
        return None if self._watch is None else self._watch.fault

    def watch(self, rate: int) -> SignalWatch:
        """The signal's watch, for blocks of this rate."""
        if self._watch is None or rate != self._rate:
            self._watch, self._rate = SignalWatch(self._rule, rate), rate
        return self._watch

    def learned(self, rule: SignalRule | None) -> None:
        """A profile knows what this microphone is like."""
        self._rule, self._watch = rule, None

    def take(self, block: Block, rate: int, *, dropped: bool) -> Sound:
        """Measure a block, and account for what is missing before it.

        Args:
            block: As the source gave it.
            rate: Its rate in hertz.
            dropped: Audio before it was dropped because the worker was late.
        """
        watch = self.watch(rate)
        expected, self._next_sample = self._next_sample, block.start + len(block.samples)
        broken = expected is not None and block.start != expected
        lost_s = max(0.0, (block.start - (expected or 0)) / rate) if broken else 0.0
        if broken or block.overflowed:
            watch.interrupt()
            self._noise_floor.interrupt()
        if broken:
            self._report.metrics.capture_lost(self.name, lost_s)
        self._spend(block.captured_at, self._gap(dropped=dropped))
        mono = block.samples[:, min(self._channel, block.samples.shape[1] - 1)]
        health = watch.block(mono, block.start / rate)
        self._measured(block, rate, health)
        self._heard_until_s, self._down = block.captured_at + len(mono) / rate, ""
        self._tell(health, block.captured_at - block.start / rate)
        return Sound(mono, health, lost_s if broken else 0.0)

    def account(self, sound: Sound, until_s: float, account: Account) -> None:
        """The block that ends at ``until_s`` is accounted for, unless a scored window covers it."""
        deaf = sound.health.flaw is not None or self.fault is not None
        self._spend(until_s, Account.MICROPHONE_FAULT if deaf else account)

    def new_start(self) -> None:
        """The next block does not continue the last one."""
        self._next_sample = None

    @property
    def open_notice(self) -> MicrophoneNotice | None:
        """What was told of the microphone and has not ended."""
        return self._notices.open

    def notify_after(self, seconds: float) -> None:
        """Tell of an outage that lasts so long, from now on."""
        self._notices.notify_after_s = seconds

    def leave(self, now_s: float) -> None:
        """Nobody listens any more: a notice that is open ends."""
        self._notice(None, now_s)

    def lost(self, reason: str) -> None:
        """The source does not deliver."""
        self._down = reason

    def wait(self, now_s: float, *, notify: bool) -> None:
        """Nothing arrives: time goes on, and at length that is told.

        Args:
            now_s: Steady time.
            notify: Whether that is the microphone's fault: a recording that is over is none.
        """
        if not self._down and self._heard_until_s is not None:
            return  # what comes next says what this time was
        self._spend(now_s, Account.MICROPHONE_FAULT if self._down else Account.STARTING)
        if notify and self._down:
            self._show(NO_AUDIO, self._down)
            self._notice(Outage(NO_AUDIO, self._down, self._heard_until_s), now_s)

    def _spend(self, until_s: float, account: Account) -> None:
        self._report.books.ledger.spend(
            self.name, until_s, Account.INHIBITED if self.silent else account
        )

    def _gap(self, *, dropped: bool) -> Account:
        """What the time between the last block and a new one was."""
        if self._down:
            return Account.MICROPHONE_FAULT
        if self._heard_until_s is None:
            return Account.STARTING
        return Account.DROPPED if dropped else Account.GAPPED

    def _measured(self, block: Block, rate: int, health: BlockHealth) -> None:
        metrics = self._report.metrics
        seconds = len(block.samples) / rate
        metrics.captured(
            self.name,
            len(block.samples),
            at=self._report.clock.wall(block.captured_at + seconds),
            level_dbfs=health.level_dbfs,
        )
        metrics.hearing.block(
            self.name, len(block.samples), clipped_ratio=health.clipped_ratio, dc=health.dc
        )
        if block.overflowed:
            metrics.capture_overflowed(self.name)
        if health.flaw is not None:
            metrics.hearing.flawed(self.name, health.flaw, seconds)
            self._noise_floor.interrupt()  # what is no sound says nothing about the room
            return
        floor = self._noise_floor.push(health.level_dbfs, seconds)
        if floor is not None:
            metrics.hearing.set_noise_floor(self.name, floor)

    def _tell(self, health: BlockHealth, origin_s: float) -> None:
        """Tell of the newest block; ``origin_s`` is the steady time of stream second 0."""
        fault, now_s = self.fault, self._heard_until_s or 0.0
        if fault is not None:
            self._show(fault.flaw.value, fault.reason)
            outage = Outage(fault.flaw.value, fault.reason, origin_s + fault.since_s)
            self._notice(outage, now_s)
        elif health.flaw is None:  # a flaw that may yet last neither begins nor ends anything
            self._show("", "the signal is sound")
            self._notice(None, now_s)

    def _show(self, fault: str, text: str) -> None:
        self._report.metrics.hearing.set_fault(self.name, fault)
        status = Health.CRITICAL if fault else Health.HEALTHY
        if fault and self.silent:  # whoever works at the machine may unplug it
            status, text = Health.SKIPPED, f"not looked after: {text}"
        self._report.health.set(f"microphone/{self.name}", status, text)

    def _notice(self, outage: Outage | None, now_s: float) -> None:
        if self.silent and outage is not None:
            return
        notice = self._notices.update(outage, now_s)
        if notice is not None:
            self._report.notice(self.name, notice)
