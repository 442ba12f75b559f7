"""The one thread that runs the pipeline for all monitors.

It takes blocks from the capture threads, hands them to the monitors, and carries out what the
control socket asks for between two blocks, so that nobody else ever touches a monitor.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from edge_asd.batching import Steps, together
from edge_asd.bundle import Bundle
from edge_asd.capture import CaptureThread
from edge_asd.engine_request import ANYWHERE, EngineRequest
from edge_asd.enrolment.enrolling import EnrolCommand, Enrolments, Spawn
from edge_asd.errors import BusyError, EdgeAsdError, EngineError, StorageError, UsageError
from edge_asd.health import Health
from edge_asd.monitor.monitor import Monitor
from edge_asd.operators.answers import status_of
from edge_asd.operators.audit import Audit
from edge_asd.operators.control import Reply
from edge_asd.records import Block
from edge_asd.report.report import Reporter
from edge_asd.worker.arrivals import Arrivals
from edge_asd.worker.desk import Desk
from edge_asd.worker.feed import Feed
from edge_asd.worker.overload import Overload

logger = logging.getLogger(__name__)

_LOOK_S = 0.6
"""So often it looks after sources that deliver nothing, and for what others have asked. Audio comes
every half second: a little later than that, it need not wake up for a look alone."""
_SOON_S = 0.3
"""What has to be looked at so soon is looked at now if audio has come: to wake up costs as much as
what is done then."""
_BOOKS_S = 1.0
"""So often everything that is written down is brought up to date."""


class Worker:
    """See the module.

    Args:
        feeds: Sources with their monitors.
        bundle: What profiles are learned with.
        state_dir: Where they lie.
        report: The sinks.
        spawn: Starts the threads in which profiles are computed.
        drain_s: After ``stop``, so long it takes in what already arrived.
        engine: What the bundle's networks run on while profiles are learned.
        clock: Monotonic seconds.
        arrivals: Where it waits for sources.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        bundle: Bundle,
        state_dir: Path,
        report: Reporter,
        *,
        spawn: Spawn,
        drain_s: float,
        engine: EngineRequest = ANYWHERE,
        clock: Callable[[], float] = time.monotonic,
        arrivals: Arrivals[Feed] | None = None,
    ) -> None:
        self._arrivals = arrivals or Arrivals()
        self._feeds: list[Feed] = []
        self.feeds = list(feeds)
        self.progress = 0
        """Grows with every round; for the watchdog."""
        self.failure: EdgeAsdError | None = None
        """What stopped the worker."""
        self.audit = Audit(report.metrics)
        self.about: dict[str, Callable[[], Any]] = {}
        """What ``status`` says beside the monitors, by key."""
        self.at_start: list[Callable[[], None]] = []
        """Called in the worker's own thread, before anything is heard."""
        self.each_look: list[Callable[[], None]] = []
        """Called twice a second or more often: what else has to look at the time."""
        self.at_end: list[Callable[[], None]] = []
        """Called when nothing more is heard."""
        self._report, self._drain_s, self._clock = report, drain_s, clock
        self._overload = _overload_of(bundle)
        self._show_overload()
        self._desk = Desk(self.audit, self._arrivals.wake)
        self.submit, self.between_rounds = self._desk.submit, self._desk.have_done
        """For other threads: have a command, or something else, carried out between two rounds."""
        self.learn_verb = self._desk.learn
        """Add a command; before ``run``, or in the worker's own thread."""
        self.learn_verb("status", self._status)
        self.learn_verb("enrol", self._enrol)
        self._stop = threading.Event()
        self._look_at_s = -math.inf
        self._books_at_s = -math.inf
        self._enrolments = Enrolments(
            bundle,
            engine,
            state_dir,
            spawn=spawn,
            post=self._desk.post,
            spent=lambda monitor: self._feed_of(monitor.name).done,
            microphone=lambda monitor: self._capture_of(monitor).status().identity,
            accept=lambda monitor: self._capture_of(monitor).accept_another_microphone(),
        )

    @property
    def feeds(self) -> list[Feed]:
        """Sources with their monitors; exchanged as a whole."""
        return self._feeds

    @feeds.setter
    def feeds(self, feeds: list[Feed]) -> None:
        known, self._feeds = self._feeds, feeds
        for feed in feeds:
            if feed not in known:
                feed.capture.tell(self._arrivals.announcer(feed))

    @property
    def enrolments(self) -> Enrolments:
        """Those under way."""
        return self._enrolments

    @property
    def monitors(self) -> list[Monitor]:
        """All of them."""
        return [monitor for feed in self.feeds for monitor in feed.monitors]

    @property
    def finished(self) -> bool:
        """Every source is spent, every profile learned, every event and its evidence on disk."""
        return (
            all(feed.done for feed in self.feeds)
            and self._enrolments.idle
            and not self._report.log.waiting
            and self._report.books.evidence.idle
        )

    @property
    def errors(self) -> list[EdgeAsdError]:
        """What kept sources from being heard to their end, or monitors from learning by it."""
        found = [feed.capture.status().error for feed in self.feeds]
        return [error for error in (*found, self._enrolments.failure) if error is not None]

    def run(self) -> None:
        """Work until stopped; the body of the thread."""
        try:
            for begin in self.at_start:
                begin()
            while not self._stop.is_set():
                self._round()
            self._drain()
        except EdgeAsdError as error:
            self.fail(error)
        except Exception as error:
            # The daemon must end and be started again, not stand still.
            logger.exception("worker stopped by an unexpected error")
            self.failure = EdgeAsdError(f"unexpected {type(error).__name__}: {error}; see the log")
        finally:
            self._report.log.retry()
            self._report.log.give_up()

    def fail(self, error: EdgeAsdError) -> None:
        """Nothing can be scored any more: the daemon ends with this."""
        if isinstance(error, EngineError):
            self._report.inference_failed()
        logger.error("worker stopped reason=%s", error)
        self.failure = error

    def follow(self, bundle: Bundle) -> None:
        """Another bundle serves from now on, whose windows may be of another length."""
        self._enrolments.follow(bundle)
        self._overload = _overload_of(bundle)
        for feed in self.feeds:
            for monitor in feed.monitors:
                monitor.stretch(self._overload.stretch)
            feed.expect()  # their next windows may end elsewhere
        self._show_overload()

    def stop(self) -> None:
        """End after the blocks that are already here."""
        self._stop.set()
        self._arrivals.wake()

    def stop_enrolments(self, timeout_s: float) -> None:
        """Have profiles that are being computed given up."""
        self._enrolments.stop(timeout_s)

    # Rounds

    def _round(self) -> None:
        """Hear every source of which audio is due, or wait until that of one is."""
        self.progress += 1
        self._desk.carry_out()
        if self._clock() >= self._look_at_s:
            self._look_at_s = self._clock() + _LOOK_S
            self._look()
        here = self._arrivals.take(max(0.0, self._look_at_s - self._clock()))
        together([steps for feed in here for steps in self._streams(feed)])
        for feed in here:
            feed.expect()
        if here and self._look_at_s - self._clock() < _SOON_S:
            self._look_at_s = -math.inf

    def _streams(self, feed: Feed) -> Iterator[Steps[None]]:
        """What all monitors of a source make of its oldest audio."""
        rate = feed.capture.sample_rate
        if feed not in self._feeds or not self._wants_audio(feed) or rate is None:
            return
        block = feed.capture.take()
        if block is None:
            return
        queued_s, dropped = feed.capture.held_s, feed.was_dropped()
        feed.down = ""
        if feed.capture.due:
            self._arrivals.announce(feed)  # its turn comes again after that of the others
        for monitor in feed.monitors:
            yield self._hear(monitor, block, rate, queued_s=queued_s, dropped=dropped)

    def _hear(
        self, monitor: Monitor, block: Block, rate: int, *, queued_s: float, dropped: bool
    ) -> Steps[None]:
        if not monitor.switches.silent:
            self._enrolments.begin_baselining(monitor, rate)
        try:
            enough = yield from monitor.steps(block, rate, queued_s=queued_s, dropped=dropped)
        except StorageError as error:  # of a recording; who listens writes nothing here
            self._enrolments.fail(monitor, error)
            return
        self._enrolments.heard(monitor)
        if enough:
            self._enrolments.recorded(monitor)

    def _look(self) -> None:
        """What has to be seen to, whether or not there is audio."""
        self._write_down()
        for look in self.each_look:
            look()
        for settled in self._report.books.evidence.settled():
            for monitor in self.monitors:
                if monitor.name == settled.monitor:
                    monitor.settled(settled)
        self._keep_up()
        for feed in self._feeds:
            if feed.done:
                self._wait(feed)
            elif feed.capture.held_s:
                # A file had to wait while a profile was computed; of what is down comes no more.
                if feed.capture.due or not feed.capture.status().up:
                    self._arrivals.announce(feed)
            elif self._wants_audio(feed):
                self._look_after(feed)

    def _write_down(self) -> None:
        if self._clock() >= self._books_at_s:
            self._books_at_s = self._clock() + _BOOKS_S
            self._report.look()

    @staticmethod
    def _wants_audio(feed: Feed) -> bool:
        """A file waits while a profile is computed; a microphone does not."""
        return not feed.done and (
            feed.live or not any(m.baselining.learning for m in feed.monitors)
        )

    def _look_after(self, feed: Feed) -> None:
        """A source has nothing to be heard: has it ended, is it down?"""
        status = feed.capture.status()
        if feed.capture.spent:
            # A source that is closed because we stop has not ended: an open alert stays open.
            if not self._stop.is_set():
                self._end(feed)
        elif not (status.up or status.starting) and status.reason != feed.down:
            feed.down = status.reason
            for monitor in feed.monitors:
                monitor.lost(f"no audio: {status.reason}")
        self._wait(feed)

    def _wait(self, feed: Feed) -> None:
        """No audio came: that is told and accounted for; a recording that is over is no fault."""
        for monitor in feed.monitors:
            monitor.wait(self._report.clock.now(), notify=not feed.done)

    def _keep_up(self) -> None:
        """Stretch the hop of all live monitors alike while scoring is late."""
        waiting_s = max((feed.capture.held_s for feed in self.feeds if feed.live), default=0.0)
        if not self._overload.update(waiting_s, self._clock()):
            return
        for feed in self.feeds:
            if feed.live:
                for monitor in feed.monitors:
                    monitor.stretch(self._overload.stretch)
        self._show_overload()

    def _show_overload(self) -> None:
        stretch = self._overload.stretch
        self._report.metrics.hearing.set_stretch(stretch)
        if stretch == 1:
            self._report.health.set("overload", Health.HEALTHY, "every window is scored")
            return
        text = f"scoring is late: every {stretch}th window is scored, no audio is skipped"
        if self._overload.exhausted:
            text += "; that may not be enough: fewer monitors, or a faster bundle"
        logger.warning("overload hop_stretch=%d", stretch)
        self._report.health.set("overload", Health.WARNING, text)

    def _drain(self) -> None:
        """Take in what has arrived, as far as there is time; nothing new is begun."""
        until = time.monotonic() + self._drain_s
        for feed in self.feeds:
            rate = feed.capture.sample_rate
            while rate is not None and (block := feed.capture.get(0.0)) is not None:
                if time.monotonic() > until:
                    logger.warning("audio left unheard seconds=%.1f", feed.capture.held_s)
                    break
                for monitor in feed.monitors:
                    if not monitor.baselining.recording:
                        monitor.push(block, rate, queued_s=feed.capture.held_s, dropped=False)
        for end in self.at_end:
            end()
        for monitor in self.monitors:
            monitor.stop()

    def _end(self, feed: Feed) -> None:
        """Nothing more comes: let every monitor hear the end."""
        feed.done = True
        error = feed.capture.status().error
        for monitor in feed.monitors:
            self._enrolments.source_ended(monitor, enough=monitor.finish())
            monitor.hearing.lost("the source ended")
            if error is not None:
                monitor.lost(str(error))

    # Commands

    def _status(
        self, _request: Mapping[str, Any], _progress: Reply, result: Future[dict[str, Any]]
    ) -> None:
        clock = self._report.clock
        told = {key: tell() for key, tell in self.about.items()}
        monitors = [status_of(each, clock) for each in self.monitors]
        result.set_result({"monitors": monitors, **told})

    def _enrol(
        self, request: Mapping[str, Any], progress: Reply, result: Future[dict[str, Any]]
    ) -> None:
        wanted = EnrolCommand.parse(request)
        feed, monitor = self._feed_of(wanted.monitor), self.monitor(wanted.monitor)
        if monitor.switches.silent and not wanted.files:
            raise BusyError(
                f"{monitor.name}: {monitor.switches.reason}: nothing is learned meanwhile; end "
                "that first, or use --from PATH…"
            )
        rate = feed.capture.sample_rate
        self._enrolments.command(wanted, monitor, rate, progress=progress, result=result)

    def _capture_of(self, monitor: Monitor) -> CaptureThread:
        return self._feed_of(monitor.name).capture

    def monitor(self, name: str) -> Monitor:
        """The monitor of that name.

        Raises:
            UsageError: There is none.
        """
        return next(m for m in self._feed_of(name).monitors if m.name == name)

    def _feed_of(self, name: str) -> Feed:
        for feed in self.feeds:
            if any(monitor.name == name for monitor in feed.monitors):
                return feed
        known = ", ".join(monitor.name for monitor in self.monitors)
        raise UsageError(f"the daemon has no monitor {name!r}; it has: {known}")


def _overload_of(bundle: Bundle) -> Overload:
    """Every sample lies in a scored window, however far the hop is stretched."""
    return Overload(bundle.manifest.window_samples // bundle.manifest.hop_samples)
