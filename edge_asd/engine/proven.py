"""CPU engines that have reproduced a bundle's golden vectors."""

from __future__ import annotations

from edge_asd.bundle import Bundle
from edge_asd.engine.candidates import Candidate
from edge_asd.engine.golden import check_golden, tolerance
from edge_asd.engine.networks import NetworkSet
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.engine.openvino import OpenVinoEngine
from edge_asd.protocols import Engine


def open_proven(bundle: Bundle, candidate: Candidate, threads: int, reason: str = "") -> NetworkSet:
    """Every network of a bundle on a CPU engine; the proof is the warm-up, too.

    Args:
        bundle: Whose networks.
        candidate: Which engine.
        threads: Inside one operator.
        reason: Why this engine.

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
    return NetworkSet(bundle, engines, reason)


def _open(bundle: Bundle, network_id: str, candidate: Candidate, threads: int) -> Engine:
    kind = OpenVinoEngine if candidate.name == "openvino" else OnnxEngine
    file = bundle.network(network_id, "fp16" if candidate.precision == "fp16" else "fp32")
    return kind(file, f"{bundle.label}/{network_id}", threads, precision=candidate.precision)
