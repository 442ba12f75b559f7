"""Open the networks of a bundle on the runtime at hand and prove them before use."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from edge_asd.bundle import Bundle
from edge_asd.engine.auto import open_cpu
from edge_asd.engine.networks import NetworkSet
from edge_asd.engine_request import ANYWHERE, EngineRequest

logger = logging.getLogger(__name__)


def open_networks(bundle: Bundle, request: EngineRequest = ANYWHERE) -> NetworkSet:
    """Open a bundle's networks and check them against its golden vectors.

    The golden check is the warm-up too: what it returns is ready to serve.

    Args:
        bundle: A verified bundle.
        request: Which runtime, and how.

    Raises:
        BundleError: The bundle does not hold a network in that precision.
        ConfigError: The runtime cannot run here, or does not compute in that precision.
        EngineError: A runtime refuses a network, or does not reproduce the golden embeddings.
    """
    networks = _opened(bundle, request)
    logger.info(
        "engine=%s bundle=%s precision=%s threads=%d reason=%s",
        networks.backend,
        bundle.label,
        networks.precision,
        request.threads,
        networks.reason,
    )
    return networks


def _opened(bundle: Bundle, request: EngineRequest) -> NetworkSet:
    """On TensorRT if that may serve and its plans are there, else on the CPU."""
    if request.name not in ("auto", "tensorrt") or find_spec("tensorrt") is None:
        return open_cpu(bundle, request)
    # Loads the adapter, which most devices have no use for.
    from edge_asd.engine.plans import NotBuilt, open_tensorrt  # noqa: PLC0415

    found = open_tensorrt(bundle, request)
    if not isinstance(found, NotBuilt):
        return NetworkSet(bundle, found, "its plans were built and proven on this GPU")
    networks = open_cpu(bundle, request)
    reasons = (f"TensorRT does not serve: {found.reason}", networks.reason)
    networks.reason = "; ".join(filter(None, reasons))
    return networks
