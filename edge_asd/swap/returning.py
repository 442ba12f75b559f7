"""Monitors that come back, and know another bundle than the one that came to serve meanwhile.

Their normal sound was kept, so they learn with this bundle before they listen: beside whoever is
listening, at low priority.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from edge_asd.bundle.store import keep_bundle
from edge_asd.engine import NetworkSet, open_networks
from edge_asd.engine_request import EngineRequest
from edge_asd.enrolment.enrol import Progress
from edge_asd.enrolment.relearning import learn_all_again
from edge_asd.memory import give_back
from edge_asd.monitor.monitor import Monitor
from edge_asd.profile import Profile
from edge_asd.profile.profile_set import commit, drop, stage
from edge_asd.swap.swap import Serving, ToServe

T = TypeVar("T")

Spawn = Callable[[str, Callable[[], None]], threading.Thread]

_NICER = 10  # who listens comes first


class Returning:
    """What `Successor` is for other networks, where the networks stay; used like it.

    Args:
        serving: Their networks.
        state_dir: Where profiles lie.
        wanted: What serves, and who returns.
        spawn: Starts the thread in which profiles are learned.
    """

    def __init__(self, serving: Serving, state_dir: Path, wanted: ToServe, *, spawn: Spawn) -> None:
        self._serving, self._state_dir, self._wanted = serving, state_dir, wanted
        self._spawn = spawn
        self._decided = False
        self.learned: Mapping[str, Profile] = {}
        """What they have learned with these networks, by name."""

    @property
    def networks(self) -> NetworkSet:
        """Those that serve, and go on."""
        return self._serving.networks

    @property
    def engine(self) -> EngineRequest:
        """What they run on."""
        return self._wanted.engine

    def prepare(self, *, now: float, progress: Progress) -> None:
        """Learn; nothing has changed afterwards, whether it succeeds or not.

        Args:
            now: Wall time, seconds since 1970 UTC.
            progress: Called with a fraction and what is being done; whatever it raises ends this.

        Raises:
            EdgeAsdError: One of them cannot be learned again.
        """
        self.learned = learn_returning(
            self._wanted, self._state_dir, now=now, progress=progress, spawn=self._spawn
        )

    def decide(self, monitors: Iterable[Monitor]) -> None:  # noqa: ARG002 - they stay as they are
        """From now on it counts, also after a crash; by the worker.

        Raises:
            StorageError: What was decided cannot be written down.
        """
        commit(self._state_dir, self.learned)
        self._decided = True

    def switch(self) -> None:
        """Go on; there is nothing to switch."""

    def drop(self) -> None:
        """Forget it, unless it counts."""
        if not self._decided:
            drop(self._state_dir)


def learn_returning(
    wanted: ToServe, state_dir: Path, *, now: float, progress: Progress, spawn: Spawn
) -> dict[str, Profile]:
    """What monitors that return know with the bundle that serves, by name.

    It is staged, and counts once it is committed (`profile.profile_set`).

    Args:
        wanted: What serves, and who returns.
        state_dir: Where profiles lie.
        now: Wall time, seconds since 1970 UTC.
        progress: Called with a fraction and what is being done; whatever it raises ends this.
        spawn: Starts the thread in which profiles are learned.

    Raises:
        EdgeAsdError: One of them cannot be learned again; nothing has changed.
    """
    # Those that serve are the worker's.
    with contextlib.closing(open_networks(wanted.bundle, wanted.engine)) as networks:
        learned = beside_listeners(
            spawn,
            lambda: learn_all_again(
                networks,
                state_dir,
                wanted.returning,
                wanted.sections,
                now=now,
                progress=progress,
            ),
        )
    give_back()
    keep_bundle(state_dir, wanted.bundle)
    stage(state_dir, learned.values())
    return learned


def beside_listeners(spawn: Spawn, work: Callable[[], T]) -> T:
    """Do something long in a thread that comes after those who listen, and wait for it."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            _step_back()
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    spawn("enrol-again", run)
    return done.result()


def _step_back() -> None:
    thread = threading.get_native_id()
    nice = min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICER)
    os.setpriority(os.PRIO_PROCESS, thread, nice)
