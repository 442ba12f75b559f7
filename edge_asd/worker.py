"""The one thread that runs the pipeline for all monitors.

It takes blocks from the capture threads, hands them to the monitors, and carries out what the
control socket asks for between two blocks, so that nobody else ever touches a monitor.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_asd.bundle import Bundle
from edge_asd.capture import CaptureThread
from edge_asd.control import Reply
from edge_asd.enrol import EnrolRequest, Progress
from edge_asd.errors import EdgeAsdError, EngineError, StorageError, UsageError
from edge_asd.learning import (
    Learned,
    install,
    learn_from_files,
    learn_from_recording,
    refuse_during_alert,
)
from edge_asd.monitor import Monitor, enrol_request
from edge_asd.report import Reporter

logger = logging.getLogger(__name__)

Spawn = Callable[[str, Callable[[], None]], object]
"""Starts a named thread."""

_WAIT_S = 0.1


@dataclass(slots=True, eq=False)
class Feed:
    """One source and the monitors that listen to it."""

    capture: CaptureThread
    monitors: Sequence[Monitor]
    live: bool
    done: bool = False
    """Spent, and every monitor has heard its end."""
    down: str = ""
    """Why it does not deliver, as told to the monitors."""
    dropped_blocks: int = 0
    """Of the capture thread, as last seen."""

    def was_dropped(self) -> bool:
        """Whether blocks were dropped since the last call."""
        seen, self.dropped_blocks = self.dropped_blocks, self.capture.status().dropped_blocks
        return self.dropped_blocks > seen


@dataclass(slots=True, eq=False)
class Enrolment:
    """An enrolment under way; somebody may wait for it."""

    monitor: Monitor
    done: Future[dict[str, Any]] = field(default_factory=Future)
    progress: Reply = field(default=lambda _fraction, _text: None)


class Worker:
    """See the module.

    Args:
        feeds: Sources with their monitors.
        bundle: What profiles are learned with.
        state_dir: Where they lie.
        report: The sinks.
        spawn: Starts the threads in which profiles are computed.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        bundle: Bundle,
        state_dir: Path,
        report: Reporter,
        spawn: Spawn,
    ) -> None:
        self.feeds = list(feeds)
        self.progress = 0
        """Grows with every round; for the watchdog."""
        self.failure: EdgeAsdError | None = None
        """What stopped the worker."""
        self._bundle, self._state_dir, self._report, self._spawn = bundle, state_dir, report, spawn
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._enrolments: dict[str, Enrolment] = {}
        self._stop = threading.Event()

    @property
    def monitors(self) -> list[Monitor]:
        """All of them."""
        return [monitor for feed in self.feeds for monitor in feed.monitors]

    @property
    def finished(self) -> bool:
        """Every source is spent, every profile learned, every event on disk."""
        return (
            all(feed.done for feed in self.feeds)
            and not self._enrolments
            and not self._report.unrecorded
        )

    def run(self) -> None:
        """Work until stopped; the body of the thread."""
        try:
            while not self._stop.is_set():
                self._round()
            for feed in self.feeds:
                self._drain(feed)
        except EdgeAsdError as error:
            if isinstance(error, EngineError):
                self._report.inference_failed()
            logger.exception("worker stopped")
            self.failure = error

    def stop(self) -> None:
        """End after the blocks that are already here."""
        self._stop.set()

    def submit(self, request: Mapping[str, Any], progress: Reply) -> Future[dict[str, Any]]:
        """Have a command carried out between two blocks; called by other threads."""
        result: Future[dict[str, Any]] = Future()

        def carry_out() -> None:
            try:
                self._command(dict(request), progress, result)
            except EdgeAsdError as error:
                result.set_exception(error)

        self._tasks.put(carry_out)
        return result

    # Rounds

    def _round(self) -> None:
        self.progress += 1
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                break
            task()
        if self._report.unrecorded:
            self._report.retry()
        waiting = [feed for feed in self.feeds if self._wants_audio(feed)]
        if not waiting:
            time.sleep(_WAIT_S)
        for feed in waiting:
            self._feed(feed, _WAIT_S / len(waiting))

    @staticmethod
    def _wants_audio(feed: Feed) -> bool:
        """A file waits while a profile is computed; a microphone does not."""
        return not feed.done and (feed.live or not any(m.learning for m in feed.monitors))

    def _feed(self, feed: Feed, wait_s: float) -> None:
        block = feed.capture.get(wait_s)
        rate = feed.capture.sample_rate
        if block is not None and rate is not None:
            feed.down = ""
            queued_s, dropped = feed.capture.held_s, feed.was_dropped()
            for monitor in feed.monitors:
                self._begin_baselining(monitor, rate)
                if monitor.push(block, rate, queued_s=queued_s, dropped=dropped):
                    self._learn_recording(monitor)
            return
        status = feed.capture.status()
        if feed.capture.spent:
            self._end(feed)
        if not status.up and status.reason != feed.down and not feed.done:
            feed.down = status.reason
            for monitor in feed.monitors:
                monitor.lost(f"no audio: {status.reason}")

    def _drain(self, feed: Feed) -> None:
        rate = feed.capture.sample_rate
        while rate is not None and (block := feed.capture.get(0.0)) is not None:
            self.progress += 1
            for monitor in feed.monitors:
                monitor.push(block, rate, queued_s=feed.capture.held_s, dropped=False)

    def _end(self, feed: Feed) -> None:
        """Nothing more comes: let every monitor hear the end."""
        feed.done = True
        error = feed.capture.status().error
        for monitor in feed.monitors:
            if monitor.finish():
                self._learn_recording(monitor)
            elif error is not None:
                monitor.lost(str(error))
            enrolment = self._enrolments.get(monitor.name)
            if enrolment and not monitor.learning:
                self._failed(enrolment, UsageError(monitor.standing.reason))

    # Enrolment

    def _begin_baselining(self, monitor: Monitor, rate: int) -> None:
        if monitor.profile or monitor.recording or monitor.learning:
            return
        if monitor.name in self._enrolments or monitor.given_up:
            return
        self._enrolments[monitor.name] = Enrolment(monitor)
        monitor.start_recording(rate, monitor.config.enrol_s)

    def _learn_recording(self, monitor: Monitor) -> None:
        enrolment = self._enrolments[monitor.name]
        folder = monitor.stop_recording()
        self._learn(
            enrolment,
            lambda request, now, progress: learn_from_recording(
                self._bundle, folder, request, now=now, progress=progress
            ),
        )

    def _learn(
        self, enrolment: Enrolment, learn: Callable[[EnrolRequest, float, Progress], Learned]
    ) -> None:
        """Compute a profile in a thread of its own; its end comes back as a task."""
        monitor = enrolment.monitor
        request = enrol_request(monitor.config, self._bundle.manifest)

        def work() -> None:
            try:
                learned = learn(request, time.time(), enrolment.progress)
            except EdgeAsdError as error:
                failure = error
                self._tasks.put(lambda: self._failed(enrolment, failure))
            else:
                self._tasks.put(lambda: self._learned(enrolment, learned))

        self._spawn(f"enrol-{monitor.name}", work)

    def _learned(self, enrolment: Enrolment, learned: Learned) -> None:
        monitor = enrolment.monitor
        try:
            install(self._state_dir, self._bundle, learned)
        except StorageError as error:
            self._failed(enrolment, error)
            return
        monitor.learned(learned.profile)
        self._enrolments.pop(monitor.name, None)
        enrolment.done.set_result(summary(learned.profile))
        logger.info(
            "monitor=%s enrolled threshold=%.3f gain_db=%.1f",
            monitor.name,
            learned.profile.calibration.threshold,
            learned.profile.gain_db,
        )

    def _failed(self, enrolment: Enrolment, error: EdgeAsdError) -> None:
        self._enrolments.pop(enrolment.monitor.name, None)
        enrolment.monitor.learning_failed(str(error))
        enrolment.done.set_exception(error)

    # Commands

    def _command(
        self, request: dict[str, Any], progress: Reply, result: Future[dict[str, Any]]
    ) -> None:
        command = request.get("command")
        if command == "status":
            result.set_result({"monitors": [status_of(monitor) for monitor in self.monitors]})
        elif command == "enrol":
            self._enrol_command(request, progress, result)
        else:
            raise UsageError(f"unknown command {command!r}; this daemon knows: status, enrol")

    def _enrol_command(
        self, request: dict[str, Any], progress: Reply, result: Future[dict[str, Any]]
    ) -> None:
        name = request.get("monitor")
        found = [(f, m) for f in self.feeds for m in f.monitors if m.name == name]
        if not found:
            known = ", ".join(monitor.name for monitor in self.monitors)
            raise UsageError(f"the daemon has no monitor {name!r}; it has: {known}")
        feed, monitor = found[0]
        refuse_during_alert(monitor.name, monitor.standing.state, force=bool(request.get("force")))
        if monitor.learning:
            raise UsageError(f"{name}: an enrolment is under way; wait for its end")
        files = [Path(path) for path in request.get("from", [])]
        rate = feed.capture.sample_rate
        if not files and rate is None:
            raise UsageError(f"{name}: its source delivers no audio yet: {feed.down or 'starting'}")
        replaced = self._enrolments.pop(monitor.name, None)
        if replaced is not None:
            replaced.done.cancel()
        enrolment = Enrolment(monitor, result, progress)
        self._enrolments[monitor.name] = enrolment
        if files:
            monitor.cancel_recording()
            self._learn(
                enrolment,
                lambda wanted, now, report: learn_from_files(
                    self._bundle, self._state_dir, files, wanted, now=now, progress=report
                ),
            )
        elif rate is not None:
            monitor.start_recording(rate, float(request.get("seconds", monitor.config.enrol_s)))


def status_of(monitor: Monitor) -> dict[str, Any]:
    """What ``edge-asd status`` shows of a monitor."""
    standing, profile = monitor.standing, monitor.profile
    return {
        "monitor": monitor.name,
        "source": monitor.config.source,
        "state": standing.state.value,
        "reason": standing.reason,
        "score": standing.score,
        "threshold": profile.calibration.threshold if profile else None,
        "percentile": standing.percentile,
        "progress": standing.progress,
        "provisional": profile.calibration.provisional if profile else None,
        "event_id": standing.event.id if standing.event else None,
    }


def summary(profile: Any) -> dict[str, Any]:
    """What ``edge-asd enrol`` shows of a new profile."""
    calibration = profile.calibration
    return {
        "monitor": profile.monitor,
        "bundle": profile.bundle_label,
        "enrolled_s": profile.enrolled_s,
        "gain_db": profile.gain_db,
        "threshold": calibration.threshold,
        "alarm_threshold": calibration.alarm_threshold,
        "method": calibration.method,
        "asked_per_week": calibration.asked_per_week,
        "supported_per_week": calibration.supported_per_week,
        "provisional": calibration.provisional,
        "idle_heard": profile.idle_rule.quiet_shape_db is not None,
    }
