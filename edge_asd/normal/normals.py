"""Alerts that an operator confirms as normal, in the daemon: verb ``normal``.

What it would change is found out in a thread of its own, from the evidence and with networks of its
own; the change is made by the worker between two windows. Requests::

    {"event": ID, "by": NAME, "days": N}       confirm; "forever": true instead of days
    {"event": ID, "preview": true}             say what it would change
    {"undo": ID, "monitor": NAME, "by": NAME}  take it back

``force`` confirms also where that masks an alert somebody took for a fault, or while another alert
is open; ``unseen: false`` leaves out what somebody has looked at already. Over MQTT only the first
form is taken, and no force.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from edge_asd.bundle import Bundle
from edge_asd.engine import open_networks
from edge_asd.engine_request import ANYWHERE, EngineRequest
from edge_asd.errors import BusyError, EdgeAsdError, StorageError, UsageError
from edge_asd.monitor.monitor import Monitor
from edge_asd.normal.confirming import Plan, expired, find_alert, plan_confirmation, undone
from edge_asd.normal.normal_orders import (
    NormalCommand,
    answer,
    owner_of,
    refuse_masking,
    undo_answer,
)
from edge_asd.operators.control import Reply
from edge_asd.profile import Profile
from edge_asd.profile.target_store import save_with_targets
from edge_asd.worker.worker import Worker

logger = logging.getLogger(__name__)

Result = Future[dict[str, Any]]
Spawn = Callable[[str, Callable[[], None]], threading.Thread]

_EXPIRE_EVERY_S = 3600.0


class Normals:
    """See the module; made before the worker runs, used by its thread.

    Args:
        worker: Carries the verb out.
        bundle: Of the profiles.
        state_dir: Where profiles and evidence lie.
        spawn: Starts a named thread.
        engine: What its networks run on here.
        wall: Wall time, seconds since 1970 UTC.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        worker: Worker,
        bundle: Bundle,
        state_dir: Path,
        *,
        spawn: Spawn,
        engine: EngineRequest = ANYWHERE,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker, self._state_dir = worker, state_dir
        self._bundle, self._engine = bundle, engine
        self._spawn, self._wall, self._clock = spawn, wall, clock
        self._busy = False
        self._stopping = threading.Event()
        self._expire_at_s = clock()  # at the start, too
        worker.learn_verb("normal", self._normal)
        worker.each_look.append(self.look)

    def follow(self, bundle: Bundle) -> None:
        """Profiles are of this bundle from now on."""
        self._bundle = bundle

    def learn_on(self, engine: EngineRequest) -> None:
        """Have networks run on this from now on."""
        self._engine = engine

    def stop(self) -> None:
        """Have what is being computed given up; called by the daemon at its end."""
        self._stopping.set()

    def look(self) -> None:
        """Let targets go whose time is over; most calls do nothing."""
        if self._clock() < self._expire_at_s:
            return
        self._expire_at_s = self._clock() + _EXPIRE_EVERY_S
        for monitor in self._worker.monitors:
            profile = monitor.profile
            left = expired(profile, self._wall()) if profile else None
            if left is None:
                continue
            try:
                save_with_targets(self._state_dir, left)
            except StorageError as error:  # tried again in an hour
                logger.warning("monitor=%s targets not expired error=%s", monitor.name, error)
                continue
            monitor.exchange(left)
            logger.info(
                "monitor=%s expired targets left=%d threshold=%.3f",
                monitor.name,
                len(left.recordings),
                left.calibration.threshold,
            )

    # The verb

    def _normal(self, request: Mapping[str, Any], progress: Reply, result: Result) -> None:
        command = NormalCommand.parse(request)
        if command.undo:
            result.set_result(self._undo(command))
            return
        if self._busy:
            raise BusyError("another alert is being confirmed as normal; wait for its end")
        profiles = {m.name: m.profile for m in self._worker.monitors if m.profile is not None}
        self._busy = True

        def work() -> None:
            outcome: Plan | EdgeAsdError
            try:
                outcome = self._plan(command, profiles, progress)
            except EdgeAsdError as error:
                outcome = error
            except Exception as error:
                # Whoever waits must hear of it, whatever it was.
                logger.exception("event=unexpected_error")
                outcome = EdgeAsdError(f"unexpected {type(error).__name__}: {error}; see the log")
            self._worker.between_rounds(lambda: self._planned(command, outcome, result))

        self._spawn("enrol-normal", work)  # as an enrolment it may be left behind at the end

    def _plan(
        self, command: NormalCommand, profiles: Mapping[str, Profile], progress: Reply
    ) -> Plan:
        name = find_alert(self._state_dir, command.wish.event).monitor
        if name not in profiles or command.monitor not in ("", name):
            raise UsageError(
                f"{command.wish.event}: is an alert of {name}; the daemon listens with a profile "
                f"to: {', '.join(profiles) or 'none'}"
            )

        def told(done: float, text: str) -> None:
            if self._stopping.is_set():
                raise BusyError(f"{name}: not confirmed, the daemon is stopping; ask again")
            progress(done, text)

        networks = open_networks(self._bundle, self._engine)
        try:
            return plan_confirmation(
                networks,
                profiles[name],
                self._state_dir,
                command.wish,
                now=self._wall(),
                progress=told,
            )
        finally:
            networks.close()

    def _planned(
        self, command: NormalCommand, outcome: Plan | EdgeAsdError, result: Result
    ) -> None:
        self._busy = False
        try:
            if isinstance(outcome, EdgeAsdError):
                raise outcome
            if not command.preview:
                self._apply(command, outcome)
        except EdgeAsdError as error:
            result.set_exception(error)
            return
        recording = outcome.recording
        result.set_result(
            answer(outcome.preview, applied=not command.preview, expires_at=recording.expires_at)
        )

    def _apply(self, command: NormalCommand, plan: Plan) -> None:
        monitor = self._worker.monitor(plan.preview.monitor)
        profile = _in_force(monitor)
        if profile.created_at != plan.created_at:
            raise BusyError(f"{monitor.name}: was enrolled anew meanwhile; ask again")
        refuse_masking(plan.preview, force=command.force)
        alert, event_id = monitor.alert, plan.recording.event_id
        if alert is not None and alert.id != event_id and not command.force:
            raise BusyError(
                f"{monitor.name}: another alert is open, {alert.id}; wait for its end, or use "
                "--force"
            )
        changed = plan.applied(profile)
        save_with_targets(self._state_dir, changed, {plan.recording.audio: plan.sound})
        ended = f"confirmed as normal by {command.wish.by}"
        monitor.exchange(changed, ended=ended if alert and alert.id == event_id else "")
        logger.info(
            "monitor=%s event=%s confirmed as normal by=%r windows=%d threshold=%.3f expires=%s",
            monitor.name,
            event_id,
            command.wish.by,
            len(plan.recording.chosen),
            changed.calibration.threshold,
            plan.recording.expires_at or "never",
        )

    def _undo(self, command: NormalCommand) -> dict[str, Any]:
        confirmed = {
            monitor.name: [one.event_id for one in monitor.profile.recordings]
            for monitor in self._worker.monitors
            if monitor.profile is not None
        }
        monitor = self._worker.monitor(command.monitor or owner_of(confirmed, command.undo))
        profile = _in_force(monitor)
        left = undone(profile, command.undo, command.wish.by, self._wall())
        save_with_targets(self._state_dir, left)
        monitor.exchange(left)
        logger.info(
            "monitor=%s event=%s confirmation undone by=%r threshold=%.3f",
            monitor.name,
            left.changes[-1].event_id,
            command.wish.by,
            left.calibration.threshold,
        )
        return undo_answer(profile, left)


def _in_force(monitor: Monitor) -> Profile:
    if monitor.profile is None or monitor.baselining.under_way:
        raise BusyError(f"{monitor.name}: is being enrolled; wait for its end")
    return monitor.profile
