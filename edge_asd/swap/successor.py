"""Networks that are to take the place of those that serve, with all that every monitor needs.

Everything that can fail or takes long happens in ``prepare``, beside the networks that serve and
without changing anything: opening and proving, learning every profile again, writing. What the
worker does between two rounds is to decide, and to switch.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from edge_asd.bundle.store import keep_bundle
from edge_asd.engine import NetworkSet, open_networks
from edge_asd.engine_request import EngineRequest
from edge_asd.enrolment.enrol import Progress
from edge_asd.enrolment.relearning import learn_all_again
from edge_asd.errors import BusyError, EdgeAsdError
from edge_asd.memory import give_back
from edge_asd.monitor.monitor import Monitor
from edge_asd.profile import Profile
from edge_asd.profile.profile_set import commit, drop, stage
from edge_asd.swap.returning import Spawn, beside_listeners
from edge_asd.swap.swap import Serving, ToServe
from edge_asd.worker.worker import Worker

logger = logging.getLogger(__name__)

_SPARE_S = 1.0
_POLL_S = 0.05
_OPENED = 0.05
_LEARNED = 0.95


class Successor:
    """See the module; the worker decides and switches, one other thread does the rest.

    Args:
        serving: Whose networks are exchanged.
        worker: Whose monitors are served.
        state_dir: Where profiles lie.
        wanted: What shall serve.
        spawn: Starts the thread in which profiles are learned.
    """

    def __init__(
        self, serving: Serving, worker: Worker, state_dir: Path, wanted: ToServe, *, spawn: Spawn
    ) -> None:
        self._serving, self._worker = serving, worker
        self._state_dir, self._wanted, self._spawn = state_dir, wanted, spawn
        self._before: dict[str, Profile] = {}
        self._networks: NetworkSet | None = None
        self._profiles: dict[str, Profile] | None = None  # None where the bundle stays
        self._returned: dict[str, Profile] = {}
        self._decided = False

    @property
    def networks(self) -> NetworkSet:
        """Those that are ready."""
        if self._networks is None:
            raise RuntimeError("prepare comes first")
        return self._networks

    @property
    def engine(self) -> EngineRequest:
        """What they run on, as it was asked for."""
        return self._wanted.engine

    @property
    def learned(self) -> Mapping[str, Profile]:
        """What monitors have learned with them, by name; of the same bundle only who return."""
        return {**(self._profiles or {}), **self._returned}

    def prepare(self, *, now: float, progress: Progress) -> None:
        """Make everything ready; nothing has changed afterwards, whether it succeeds or not.

        Args:
            now: Wall time, seconds since 1970 UTC.
            progress: Called with a fraction and what is being done; whatever it raises ends this.

        Raises:
            BusyError: An alert is open, or an enrolment is under way.
            EdgeAsdError: The bundle cannot be used, or a profile not be learned with it.
        """
        wanted = self._wanted
        other = wanted.bundle.sha256 != self._serving.networks.bundle.sha256
        try:
            if other:
                self._before = self._worker.between_rounds(self._begin).result()
            progress(0.0, f"opening {wanted.bundle.label}")
            self._networks = open_networks(wanted.bundle, wanted.engine)
            learned = self._learn(self._networks, now, progress)
            if other:
                self._profiles = {name: learned[name] for name in self._before}
            self._returned = {name: learned[name] for name in wanted.returning}
            if other or learned:
                progress(_LEARNED, "writing")
                keep_bundle(self._state_dir, wanted.bundle)
                stage(self._state_dir, learned.values())
            if other:
                self._await_sound(progress)
            progress(1.0, "ready")
        except BaseException:
            self.drop()
            raise

    def decide(self, monitors: Iterable[Monitor]) -> None:
        """From now on these count, also after a crash; `switch` follows. By the worker.

        Args:
            monitors: That go on as they are.

        Raises:
            BusyError: An alert is open, an enrolment is under way, or what a monitor has learned
                has changed while it was learned again.
            ConfigError: Rules of a monitor do not fit the bundle.
            StorageError: What was decided cannot be written down.
        """
        if self._profiles is not None:
            for name, profile in self._learnable().items():
                before = self._before.get(name)
                if before is None or before.key != profile.key:
                    raise BusyError(
                        f"{name}: what it has learned changed while it was learned again with "
                        f"{self._wanted.bundle.label}; reload again"
                    )
            self._serving.refuse(monitors, self.networks, self._profiles, self._wanted.sections)
        if self.learned:
            commit(self._state_dir, self.learned)
        self._decided = True

    def switch(self) -> None:
        """Serve from now on; by the worker, between two rounds.

        Raises:
            EdgeAsdError: See `Serving.switch`.
        """
        networks, self._networks = self.networks, None
        self._serving.switch(networks, self._profiles, self._wanted.sections)

    def drop(self) -> None:
        """Forget it all; does nothing once it serves."""
        if self._networks is not None:
            self._networks.close()
            self._networks = None
            if not self._decided:
                drop(self._state_dir)
            give_back()
        with contextlib.suppress(EdgeAsdError):
            self._worker.between_rounds(lambda: self._retain(None))

    # By the worker

    def _begin(self) -> dict[str, Profile]:
        """What is to be learned again; sound is kept from now on for who takes over."""
        profiles = self._learnable()
        manifest = self._wanted.bundle.manifest
        window_s = (manifest.window_samples + manifest.hop_samples) / manifest.sample_rate
        self._retain(window_s + _SPARE_S)
        return profiles

    def _learnable(self) -> dict[str, Profile]:
        """Profiles in force of the monitors that will be there.

        Raises:
            BusyError: One of them cannot be exchanged at present.
        """
        label = self._wanted.bundle.label
        profiles = {}
        for monitor in self._worker.monitors:
            if monitor.name not in self._wanted.sections:
                continue
            if monitor.name in self._worker.enrolments.names:
                raise BusyError(
                    f"{monitor.name}: is being enrolled; {label} can take over when it has a "
                    "profile: reload again then"
                )
            if monitor.alert is not None:
                raise BusyError(
                    f"{monitor.name}: an alert is open, {monitor.alert.id}; {label} can take over "
                    "when it has ended: reload again then"
                )
            if monitor.profile is not None:
                profiles[monitor.name] = monitor.profile
        return profiles

    def _retain(self, seconds: float | None) -> None:
        for monitor in self._worker.monitors:
            monitor.retain(seconds)

    # By the preparing thread

    def _learn(self, networks: NetworkSet, now: float, progress: Progress) -> dict[str, Profile]:
        """Every profile again: of those who listen, and of those who return."""
        wanted = self._wanted

        def told(done: float, text: str) -> None:
            progress(_OPENED + (_LEARNED - _OPENED) * done, text)

        return beside_listeners(
            self._spawn,
            lambda: learn_all_again(
                networks,
                self._state_dir,
                {**self._before, **wanted.returning},
                wanted.sections,
                now=now,
                progress=told,
            ),
        )

    def _await_sound(self, progress: Progress) -> None:
        """Until every monitor has kept the sound that who takes over must hear."""
        while not self._worker.between_rounds(self._retained).result():
            progress(_LEARNED, "waiting for a window of sound")
            time.sleep(_POLL_S)

    def _retained(self) -> bool:
        return all(monitor.retains for monitor in self._worker.monitors)
