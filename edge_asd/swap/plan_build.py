"""Builds the TensorRT plans of a bundle beside the engine that serves, and hands them over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

from edge_asd.bundle import Bundle
from edge_asd.engine import NetworkSet
from edge_asd.engine.fallback import explained
from edge_asd.engine.forge import CancelledError, Forge
from edge_asd.engine.plans import Plans
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import BusyError, EdgeAsdError
from edge_asd.health import Health
from edge_asd.metrics.engine import EngineMetrics

logger = logging.getLogger(__name__)

_EVERY_S = 30.0
"""Between two lines of the log about progress."""


class PlanBuild:
    """One build; ``run`` is the body of a thread, every other may ask and ``close``.

    Args:
        bundle: Of the networks.
        request: In which precision, where to keep the plans, and how long one may take.
        hand_over: Has networks serve, when there is time between two windows.
        metrics: Told how long it took.
    """

    def __init__(
        self,
        bundle: Bundle,
        request: EngineRequest,
        hand_over: Callable[[NetworkSet], Future[None]],
        metrics: EngineMetrics,
    ) -> None:
        self.state = (Health.HEALTHY, "looking for TensorRT")
        """How it stands, and whether somebody should look after it."""
        self._bundle, self._request, self._hand_over = bundle, request, hand_over
        self._metrics = metrics
        self._forge = Forge()
        self._told_s = 0.0

    def run(self) -> None:
        """Build what is missing and have it serve; whatever goes wrong, somebody else serves."""
        try:
            plans = Plans(self._bundle, self._request)
        except Exception as error:  # noqa: BLE001 - as below
            reason, asked_for = explained(error), self._request.name == "tensorrt"
            logger.info("engine build=none reason=%s", reason)
            self.state = (Health.WARNING if asked_for else Health.HEALTHY, reason)
        else:
            self._build(plans)

    def close(self) -> None:
        """End the process that builds; nothing is handed over any more unless it is already."""
        self._forge.close()

    def _build(self, plans: Plans) -> None:
        began_s = time.monotonic()
        try:
            self._progressed(0.0, "started")
            engines = plans.build(self._forge, self._progressed)
            spent_s = time.monotonic() - began_s
            networks = NetworkSet(self._bundle, engines, "its plans were built by this daemon")
            self._hand_over(networks).result()
            self._metrics.built(spent_s)
            logger.info("engine build=done bundle=%s seconds=%.0f", self._bundle.label, spent_s)
        except (CancelledError, BusyError):  # something else is wanted by now
            logger.info("engine build=cancelled bundle=%s", self._bundle.label)
        except EdgeAsdError as error:
            self._failed(str(error))
        except Exception as error:
            # The adapter of a library that few have: what it does must not end those who listen.
            logger.exception("engine build stopped by an unexpected error")
            self._failed(f"{explained(error)}; see the log")

    def _progressed(self, done: float, step: str) -> None:
        text = f"TensorRT plans are built beside it, {done:.0%} ({step})"
        self.state = (Health.HEALTHY, text)
        now_s = time.monotonic()
        if not done or now_s - self._told_s >= _EVERY_S:
            self._told_s = now_s
            logger.info("engine build=running done=%.0f%% step=%s", 100 * done, step)

    def _failed(self, reason: str) -> None:
        logger.warning("engine build=failed bundle=%s reason=%s", self._bundle.label, reason)
        self.state = (Health.WARNING, f"TensorRT cannot serve: {reason}")
