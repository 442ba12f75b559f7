"""The networks that serve, and how others take their place while everybody listens.

Between two rounds of the worker no window is due. There all monitors change over at once, so that
every window is scored by the one set or by the other, and none by a mixture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from edge_asd.alerting import persistence_of
from edge_asd.bundle import Bundle
from edge_asd.config import AlertConfig, MonitorConfig
from edge_asd.engine import NetworkSet
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import BusyError, EdgeAsdError, EngineError, ProfileError
from edge_asd.monitor.monitor import Monitor
from edge_asd.profile import Profile
from edge_asd.publish.payload import ModelRef
from edge_asd.worker.worker import Worker

logger = logging.getLogger(__name__)

Follower = Callable[[NetworkSet], None]


@dataclass(frozen=True, slots=True)
class ToServe:
    """What shall serve."""

    bundle: Bundle
    engine: EngineRequest
    sections: Mapping[str, MonitorConfig]
    """Of the monitors that will be there, by name."""
    returning: Mapping[str, Profile]
    """What those learned that come, and know another bundle than this one."""


class Serving:
    """See the module; the worker's thread changes it, every thread may ask.

    Args:
        networks: That serve from the start; closed here, as all that follow.
    """

    def __init__(self, networks: NetworkSet) -> None:
        self.followers: list[Follower] = []
        """Told by the worker of networks that serve from now on; filled before it runs."""
        self._networks = networks
        self._worker: Worker | None = None

    @property
    def networks(self) -> NetworkSet:
        """Those that score; only the worker may embed with them."""
        return self._networks

    @property
    def model(self) -> ModelRef:
        """What messages say of them."""
        return model_of(self._networks)

    def begin(self, worker: Worker) -> None:
        """Serve the monitors of this worker, which does not run yet."""
        self._worker = worker

    def exchange(
        self,
        networks: NetworkSet,
        profiles: Mapping[str, Profile] | None = None,
        *,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Future[None]:
        """Have all monitors go on with other networks; from any thread.

        Args:
            networks: Opened and proven; closed if they are refused.
            profiles: What every monitor that listens has learned with them, by name; None where
                they are of the same bundle, so that what was learned counts for them, too.
            wanted: Asked when it is time: the operator may want something else by then.

        Returns:
            Done when they serve and the former ones are closed; fails with an EdgeAsdError when
            they are refused, and with nothing changed.
        """
        if self._worker is None:
            raise RuntimeError("nobody is served yet")

        def change_over() -> None:
            if not wanted():
                networks.close()
                raise BusyError(f"{label_of(networks)}: something else was asked for meanwhile")
            self.switch(networks, profiles)

        return self._worker.between_rounds(change_over)

    def switch(
        self,
        networks: NetworkSet,
        profiles: Mapping[str, Profile] | None = None,
        sections: Mapping[str, MonitorConfig] | None = None,
    ) -> None:
        """The same at once; by the worker, between two rounds.

        Args:
            networks: As there.
            profiles: As there.
            sections: What monitors go by from now on, by name, where that changes, too.

        Raises:
            EdgeAsdError: They are refused, and nothing has changed.
        """
        if self._worker is None:
            raise RuntimeError("nobody is served yet")
        before = self._networks
        # Those that a reload has just made serve with them already.
        monitors = [one for one in self._worker.monitors if one.networks is not networks]
        try:
            self.refuse(monitors, networks, profiles, sections)
        except EdgeAsdError:
            networks.close()
            raise
        self._networks = networks
        for monitor in monitors:
            section = (sections or {}).get(monitor.name)
            try:
                monitor.serve(networks, (profiles or {}).get(monitor.name), section)
            except EngineError as error:  # as for any window: the daemon ends and is started again
                self._worker.fail(error)
        for follow in self.followers:
            follow(networks)
        before.close()
        logger.info("networks serve now=%r before=%r", label_of(networks), label_of(before))

    def refuse(
        self,
        monitors: Iterable[Monitor],
        networks: NetworkSet,
        profiles: Mapping[str, Profile] | None = None,
        sections: Mapping[str, MonitorConfig] | None = None,
    ) -> None:
        """Whether these could go on so, changing nothing; by the worker. Arguments as there.

        Raises:
            EdgeAsdError: One of them could not.
        """
        before = self._networks
        if profiles is None and networks.bundle.sha256 != before.bundle.sha256:
            raise ProfileError(
                f"nothing has been learned with {networks.bundle.label}: it cannot take the "
                f"place of {before.bundle.label}"
            )
        for monitor in monitors:
            after = (sections or {}).get(monitor.name, monitor.config)
            _refuse(monitor, networks, before, profiles, after.alert)

    def close(self) -> None:
        """Nobody scores any more."""
        self._networks.close()


def _refuse(
    monitor: Monitor,
    networks: NetworkSet,
    before: NetworkSet,
    profiles: Mapping[str, Profile] | None,
    alert: AlertConfig,
) -> None:
    """Keep a monitor from going on with networks that it cannot go on with.

    Raises:
        ProfileError: It has learned nothing with them.
        BusyError: An alert is open that rests on other networks.
        ConfigError: Its rules do not fit them.
    """
    if profiles is None:  # the same bundle: what was learned counts for these networks, too
        return
    if monitor.profile is not None and monitor.name not in profiles:
        raise ProfileError(
            f"{monitor.name}: has learned nothing with {networks.bundle.label}: its profile is of "
            f"{before.bundle.label}"
        )
    if monitor.alert is not None:
        raise BusyError(
            f"{monitor.name}: an alert is open, {monitor.alert.id}, and rests on scores of "
            f"{before.bundle.label}; wait for its end"
        )
    persistence_of(alert, networks.bundle.manifest)


def label_of(networks: NetworkSet) -> str:
    """Networks for people."""
    return f"{networks.bundle.label} on {networks.backend} {networks.precision}"


def model_of(networks: NetworkSet) -> ModelRef:
    """What messages say of networks."""
    manifest = networks.bundle.manifest
    return ModelRef(
        name=manifest.name,
        version=manifest.version,
        sha256=networks.bundle.sha256,
        backend=networks.backend,
    )
