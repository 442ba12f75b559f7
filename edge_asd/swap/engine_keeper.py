"""What a daemon does about the engine that scores: it shows it, betters it and gives it up.

Where TensorRT is installed and its plans are missing, listening begins at once on the CPU; the
plans are built beside it and take over between two windows. A TensorRT that fails while it serves
has already been stood in for, window by window (`engine.fallback`); here that is told, and the best
engine of the CPU takes its place for good.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edge_asd.bundle import Bundle
from edge_asd.engine import NetworkSet, open_networks
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import EdgeAsdError
from edge_asd.health import Health, HealthBoard
from edge_asd.metrics.metrics import Metrics
from edge_asd.swap.swap import Serving

if TYPE_CHECKING:  # loads the adapter of TensorRT, which most devices have not
    from edge_asd.swap.plan_build import PlanBuild

logger = logging.getLogger(__name__)

CHECK = "engine"

Spawn = Callable[[str, Callable[[], None]], object]


class EngineKeeper:
    """See the module; looked at by the main thread.

    Args:
        serving: The networks that score.
        request: What is asked for now.
        board: The checks.
        metrics: Prometheus.
        spawn: Starts threads.
        builds: Whether the process stays for long enough to build anything.
    """

    def __init__(
        self,
        serving: Serving,
        request: Callable[[], EngineRequest],
        *,
        board: HealthBoard,
        metrics: Metrics,
        spawn: Spawn,
        builds: bool,
    ) -> None:
        self._serving, self._request, self._builds = serving, request, builds
        self._board, self._metrics, self._spawn = board, metrics, spawn
        self._considered: tuple[str, EngineRequest] | None = None  # a bundle, and what was asked
        self._build: PlanBuild | None = None
        self._lost = ""
        """Why TensorRT is not used any more."""

    def look(self) -> None:
        """Look at what serves, and begin what it needs."""
        networks = self._serving.networks
        if networks.failure and not self._lost:
            self._lost = networks.failure
            self._metrics.inference_error("tensorrt")
            self._metrics.engine.fell_back()
            self._spawn("engine-spare", lambda: self._replace(networks.bundle))
        request = self._request()
        if (networks.bundle.sha256, request) != self._considered:
            self._considered = networks.bundle.sha256, request
            self._consider(networks, request)
        self._board.set(CHECK, *self._health(networks))

    def close(self) -> None:
        """Build no more."""
        if self._build is not None:
            self._build.close()

    def _consider(self, networks: NetworkSet, request: EngineRequest) -> None:
        """Begin to build, if TensorRT could serve and does not."""
        self.close()
        self._build = None
        wanted = request.name in ("auto", "tensorrt") and networks.backend != "tensorrt"
        if self._builds and wanted and not self._lost and find_spec("tensorrt") is not None:
            from edge_asd.swap.plan_build import PlanBuild  # noqa: PLC0415 - see above

            exchange = partial(self._exchange, request)
            self._build = PlanBuild(networks.bundle, request, exchange, self._metrics.engine)
            self._spawn("engine-build", self._build.run)

    def _replace(self, bundle: Bundle) -> None:
        """Have the engine serve that would without TensorRT."""
        request = self._request()
        try:
            self._exchange(request, open_networks(bundle, request)).result()
        except EdgeAsdError as error:  # what stands in goes on
            logger.warning("engine not exchanged reason=%s", error)

    def _exchange(self, request: EngineRequest, networks: NetworkSet) -> Future[None]:
        """Have networks serve, if the operator still asks for the same."""

        def wanted() -> bool:
            served = self._serving.networks.bundle.sha256
            return self._request() == request and networks.bundle.sha256 == served

        return self._serving.exchange(networks, wanted=wanted)

    def _health(self, networks: NetworkSet) -> tuple[Health, str]:
        request, serves = self._request(), f"{networks.backend} {networks.precision} serves"
        if self._lost and request.name in ("auto", "tensorrt"):
            return Health.WARNING, f"{serves} since TensorRT failed: {self._lost}"
        if self._build is not None and networks.backend != "tensorrt":
            health, text = self._build.state
            return health, f"{serves}: {text}"
        text = f"{serves}: {networks.reason}" if networks.reason else serves
        missed = request.name == "tensorrt" and networks.backend != "tensorrt"
        return Health.WARNING if missed else Health.HEALTHY, text
