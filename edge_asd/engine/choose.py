"""Open the networks of a bundle on the runtime at hand and prove them before use."""

from __future__ import annotations

import logging

from edge_asd.bundle import Bundle
from edge_asd.engine.golden import check_golden
from edge_asd.engine.networks import NetworkSet
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.engine_request import EngineRequest
from edge_asd.manifest import Precision

logger = logging.getLogger(__name__)

_DEFAULT = EngineRequest()


def open_networks(bundle: Bundle, request: EngineRequest = _DEFAULT) -> NetworkSet:
    """Open a bundle's networks and check them against its golden vectors.

    The golden check is the warm-up too: what it returns is ready to serve.

    Args:
        bundle: A verified bundle.
        request: Which runtime, and how.

    Raises:
        BundleError: The bundle does not hold a network in that precision.
        EngineError: A runtime refuses a network, or does not reproduce the golden embeddings.
    """
    precision: Precision = "fp16" if request.precision == "fp16" else "fp32"
    engines = {
        network.id: OnnxEngine(
            bundle.network(network.id, precision),
            f"{bundle.label}/{network.id}",
            request.threads,
            precision=precision,
        )
        for network in bundle.manifest.networks
    }
    for network in bundle.manifest.networks:
        check_golden(bundle, network, engines[network.id], network.tolerance(precision))
    networks = NetworkSet(bundle, engines)
    logger.info(
        "engine=%s bundle=%s precision=%s threads=%d",
        *(networks.backend, bundle.label, precision, request.threads),
    )
    return networks
