"""Open the networks of a bundle on the runtime at hand and prove them before use."""

from __future__ import annotations

import logging

from edge_asd.bundle import Bundle
from edge_asd.engine.candidates import Candidate, candidates
from edge_asd.engine.golden import check_golden, tolerance
from edge_asd.engine.networks import NetworkSet
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.engine_request import EngineRequest
from edge_asd.protocols import Engine

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
        ConfigError: The runtime is not installed, or does not compute in that precision.
        EngineError: A runtime refuses a network, or does not reproduce the golden embeddings.
    """
    chosen = candidates(request)[0]
    networks = NetworkSet(bundle, open_proven(bundle, chosen, request.threads))
    logger.info(
        "engine=%s bundle=%s precision=%s threads=%d",
        *(networks.backend, bundle.label, networks.precision, request.threads),
    )
    return networks


def open_proven(bundle: Bundle, candidate: Candidate, threads: int) -> dict[str, Engine]:
    """Every network of a bundle on a CPU engine that reproduces its golden vectors.

    Args:
        bundle: Whose networks.
        candidate: Which engine.
        threads: Inside one operator.

    Raises:
        BundleError: The bundle does not hold a network in that precision.
        EngineError: The runtime refuses a network, or does not reproduce the golden embeddings.
    """
    engines: dict[str, Engine] = {}
    try:
        for network in bundle.manifest.networks:
            engine = _open(bundle, network.id, candidate, threads)
            engines[network.id] = engine
            check_golden(bundle, network, engine, tolerance(network, candidate.precision))
    except BaseException:
        for engine in engines.values():
            engine.close()
        raise
    return engines


def _open(bundle: Bundle, network_id: str, candidate: Candidate, threads: int) -> Engine:
    label, precision = f"{bundle.label}/{network_id}", candidate.precision
    if candidate.name == "openvino":
        from edge_asd.engine.openvino import OpenVinoEngine  # noqa: PLC0415 - only where asked for

        return OpenVinoEngine(
            bundle.network(network_id, "fp32"), label, threads, precision=precision
        )
    file = bundle.network(network_id, "fp16" if precision == "fp16" else "fp32")
    return OnnxEngine(file, label, threads, precision=precision)
