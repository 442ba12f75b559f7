"""Enrolments under way in the daemon: begun by a monitor itself, or asked for by an operator.

Used by the worker's thread only; a profile is computed in a thread of its own, whose end comes back
to the worker as a task.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_asd.alerting import enrol_request
from edge_asd.bundle import Bundle
from edge_asd.engine_request import EngineRequest
from edge_asd.enrolment.enrol import MIN_AUDIO_S, EnrolRequest, Progress
from edge_asd.enrolment.learning import (
    Learned,
    install,
    learn_from_files,
    learn_from_recording,
    refuse_during_alert,
)
from edge_asd.errors import BusyError, DataError, EdgeAsdError, StorageError, UsageError
from edge_asd.memory import give_back
from edge_asd.monitor.monitor import Monitor
from edge_asd.operators.answers import summary
from edge_asd.operators.control import Reply
from edge_asd.records import State

logger = logging.getLogger(__name__)

Task = Callable[[], None]
Spawn = Callable[[str, Task], threading.Thread]
"""Starts a named thread."""

RECORDING_SHARE = 0.7
"""Listening is so much of the progress of a live enrolment, learning the rest."""
_MAX_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class EnrolCommand:
    """What an operator asks for."""

    monitor: str
    files: tuple[Path, ...]
    """To learn from; empty to listen."""
    seconds: float | None
    """How long to listen; None as configured."""
    force: bool

    @classmethod
    def parse(cls, request: Mapping[str, Any]) -> EnrolCommand:
        """Check what came over the control socket.

        Raises:
            UsageError: A value is missing or of the wrong kind.
        """
        name, files = request.get("monitor"), request.get("from", [])
        seconds = request.get("seconds")
        if not isinstance(name, str):
            raise UsageError("enrol: 'monitor' must be the name of a monitor")
        if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
            raise UsageError("enrol: 'from' must be a list of paths")
        if seconds is not None:
            number = float(seconds) if isinstance(seconds, int | float) else math.nan
            if not MIN_AUDIO_S <= number <= _MAX_SECONDS:
                raise UsageError(
                    f"enrol: 'seconds' must be from {MIN_AUDIO_S:.0f} to {_MAX_SECONDS:.0f}, "
                    f"got {seconds!r}"
                )
        return cls(name, tuple(map(Path, files)), seconds, bool(request.get("force")))


@dataclass(slots=True, eq=False)
class _Enrolment:
    """One under way; somebody may wait for it."""

    monitor: Monitor
    done: Future[dict[str, Any]] = field(default_factory=Future)
    progress: Reply = field(default=lambda _fraction, _text: None)
    asked: bool = False
    """By an operator, not begun by the monitor itself."""
    computing: bool = False
    """The sound is there; the profile is being computed."""
    told: float = 0.0
    """Progress of the recording that was told last."""


class Enrolments:
    """See the module.

    Args:
        bundle: What profiles are learned with.
        engine: What its networks run on then.
        state_dir: Where they lie.
        spawn: Starts the threads in which profiles are computed.
        post: Has a task carried out by the worker.
        spent: Whether a monitor's source has ended.
        microphone: Identity of what a monitor hears with.
        accept: Lets a monitor hear with another microphone, where its own is missing.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: EngineRequest,
        state_dir: Path,
        *,
        spawn: Spawn,
        post: Callable[[Task], None],
        spent: Callable[[Monitor], bool],
        microphone: Callable[[Monitor], str],
        accept: Callable[[Monitor], object],
    ) -> None:
        self.failure: EdgeAsdError | None = None
        """Why the latest baselining failed that a monitor had begun by itself."""
        self._bundle, self._engine, self._state_dir = bundle, engine, state_dir
        self._spawn, self._post, self._spent = spawn, post, spent
        self._microphone, self._accept = microphone, accept
        self._under_way: dict[str, _Enrolment] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def stop(self, timeout_s: float) -> None:
        """Have profiles that are being computed given up; called by the daemon at its end."""
        self._stopping.set()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def follow(self, bundle: Bundle) -> None:
        """Learn with this bundle from now on; while none is under way."""
        self._bundle = bundle

    def learn_on(self, engine: EngineRequest) -> None:
        """Have networks run on this from now on."""
        self._engine = engine

    @property
    def names(self) -> tuple[str, ...]:
        """Monitors whose enrolment is under way."""
        return tuple(self._under_way)

    @property
    def idle(self) -> bool:
        """Whether none is under way."""
        return not self._under_way

    def refuse_while_computing(self, name: str) -> None:
        """Keep a monitor that is about to get a profile.

        Raises:
            BusyError: Its profile is being computed.
        """
        enrolment = self._under_way.get(name)
        if enrolment is not None and enrolment.computing:
            raise BusyError(f"{name}: its profile is being computed; try again when it has one")

    def abandon(self, name: str) -> None:
        """A monitor goes, and with it what it has recorded so far."""
        enrolment = self._under_way.pop(name, None)
        if enrolment is not None and enrolment.asked:
            reason = f"{name}: not learned, its section of the configuration changed; enrol again"
            enrolment.done.set_exception(BusyError(reason))

    def begin_baselining(self, monitor: Monitor, rate: int) -> None:
        """Start recording for a monitor that has no profile, unless that was tried in vain."""
        if monitor.profile or monitor.baselining.given_up or monitor.name in self._under_way:
            return
        self._under_way[monitor.name] = _Enrolment(monitor)
        try:
            monitor.baselining.start(rate, monitor.config.enrol_s)
        except StorageError as error:
            self.fail(monitor, error)

    def heard(self, monitor: Monitor) -> None:
        """Tell whoever waits how far the recording is."""
        enrolment, done = self._under_way.get(monitor.name), monitor.standing.progress
        if enrolment is None or done is None or enrolment.computing or done <= enrolment.told:
            return
        enrolment.told = done
        enrolment.progress(done * RECORDING_SHARE, f"listening, {monitor.standing.reason}")

    def recorded(self, monitor: Monitor) -> None:
        """Enough was heard: learn from it."""
        enrolment = self._under_way[monitor.name]
        try:
            folder = monitor.baselining.learn()
        except StorageError as error:
            self.fail(monitor, error)
            return

        microphone = self._microphone(monitor)

        def learn(request: EnrolRequest, now: float, progress: Progress) -> Learned:
            return learn_from_recording(
                self._bundle,
                folder,
                replace(request, microphone=microphone),
                now=now,
                progress=lambda done, text: progress(
                    RECORDING_SHARE + done * (1 - RECORDING_SHARE), text
                ),
                engine=self._engine,
            )

        self._learn(enrolment, learn)

    def source_ended(self, monitor: Monitor, *, enough: bool) -> None:
        """Nothing more will be heard: learn from what there is, or fail."""
        enrolment = self._under_way.get(monitor.name)
        if enrolment is None or enrolment.computing:
            return
        if enough:
            self.recorded(monitor)
            return
        reason = (
            f"{monitor.config.source}: ended after {monitor.baselining.heard_s:.0f} s of "
            f"baselining; at least {MIN_AUDIO_S:.0f} s are needed"
        )
        self.fail(monitor, DataError(reason))

    def fail(self, monitor: Monitor, error: EdgeAsdError) -> None:
        """End an enrolment that cannot succeed."""
        enrolment = self._under_way.pop(monitor.name, None)
        if enrolment is None:
            return
        if not enrolment.asked:
            self.failure = error
        monitor.learning_failed(str(error), give_up=not enrolment.asked)
        enrolment.done.set_exception(error)

    def command(
        self,
        command: EnrolCommand,
        monitor: Monitor,
        rate: int | None,
        *,
        progress: Reply,
        result: Future[dict[str, Any]],
    ) -> None:
        """Begin what an operator asks for.

        Args:
            command: What that is.
            monitor: Its monitor.
            rate: Rate of the monitor's source in hertz, None while it delivers nothing.
            progress: Told about every step.
            result: Gets the outcome.

        Raises:
            BusyError: An alert is open, or another enrolment is under way.
            UsageError: There is nothing to listen to.
            StorageError: The recording cannot be written.
        """
        state = State(monitor.alert.severity.value) if monitor.alert else monitor.standing.state
        refuse_during_alert(monitor.name, state, force=command.force)
        running = self._under_way.get(monitor.name)
        if running is not None and (running.asked or running.computing):
            raise BusyError(f"{monitor.name}: an enrolment is under way; wait for its end")
        if not command.files and self._spent(monitor):
            raise UsageError(f"{monitor.name}: its source has ended; use --from PATH…")
        if not command.files:
            self._accept(monitor)
        if not command.files and rate is None:
            reason = monitor.standing.reason
            raise UsageError(
                f"{monitor.name}: its source delivers no audio yet: {reason}; whatever microphone "
                "is there from now on is taken: enrol again once it is heard"
            )
        enrolment = _Enrolment(monitor, result, progress, asked=True)
        if rate is not None and not command.files:
            monitor.baselining.start(rate, command.seconds or monitor.config.enrol_s)
            self._under_way[monitor.name] = enrolment
            return
        self._under_way[monitor.name] = enrolment
        monitor.await_profile()
        self._learn(
            enrolment,
            lambda request, now, report: learn_from_files(
                self._bundle,
                self._state_dir,
                command.files,
                request,
                now=now,
                progress=report,
                engine=self._engine,
            ),
        )

    # Inside

    def _learn(
        self, enrolment: _Enrolment, learn: Callable[[EnrolRequest, float, Progress], Learned]
    ) -> None:
        """Compute a profile in a thread of its own; its end comes back as a task."""
        monitor = enrolment.monitor
        enrolment.computing = True
        request = enrol_request(monitor.config, self._bundle.manifest)

        def progress(done: float, text: str) -> None:
            if self._stopping.is_set():
                raise BusyError(f"{monitor.name}: not learned, the daemon is stopping; enrol again")
            enrolment.progress(done, text)

        def work() -> None:
            failure: EdgeAsdError
            try:
                learned = learn(request, time.time(), progress)
            except EdgeAsdError as error:
                failure = error
            except Exception as error:
                # Whoever waits must hear of it, whatever it was.
                logger.exception("monitor=%s event=unexpected_error", monitor.name)
                failure = EdgeAsdError(f"unexpected {type(error).__name__}: {error}")
            else:
                self._post(lambda: self._learned(enrolment, learned))
                give_back()
                return
            self._post(lambda: self.fail(monitor, failure))

        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(self._spawn(f"enrol-{monitor.name}", work))

    def _learned(self, enrolment: _Enrolment, learned: Learned) -> None:
        monitor, profile = enrolment.monitor, learned.profile
        try:
            install(self._state_dir, self._bundle, learned)
        except StorageError as error:
            self.fail(monitor, error)
            return
        del self._under_way[monitor.name]
        monitor.learned(profile)
        logger.info(
            "monitor=%s enrolled threshold=%.3f gain_db=%.1f",
            monitor.name,
            profile.calibration.threshold,
            profile.gain_db,
        )
        if self._spent(monitor):
            monitor.finish()
        enrolment.done.set_result(summary(profile))
