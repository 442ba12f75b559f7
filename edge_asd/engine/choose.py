"""Open the networks of a bundle on the runtime at hand and prove them before use."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from edge_asd.bundle import Bundle
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.errors import EngineError
from edge_asd.features import compute
from edge_asd.manifest import Network, Precision
from edge_asd.protocols import Engine
from edge_asd.records import FloatArray

logger = logging.getLogger(__name__)


class NetworkSet:
    """Every network of a bundle, ready to embed; not thread-safe."""

    def __init__(self, bundle: Bundle, engines: Mapping[str, Engine]) -> None:
        self.bundle = bundle
        self._engines = dict(engines)

    @property
    def backend(self) -> str:
        """Name of the runtime, for logs, metrics and messages."""
        return next(iter(self._engines.values())).name

    def embed(self, features: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Embeddings of a batch by every network.

        Args:
            features: Arrays (B, …) by ``network/input`` as ``Manifest.features`` names them.

        Returns:
            (B, S, D) float32 by network id.
        """
        found = {}
        for network in self.bundle.manifest.networks:
            inputs = {name: features[f"{network.id}/{name}"] for name in network.inputs}
            found[network.id] = self._engines[network.id].embed(inputs)
        return found

    def close(self) -> None:
        """Release every runtime."""
        for engine in self._engines.values():
            engine.close()


def open_networks(bundle: Bundle, threads: int = 1, *, precision: Precision = "fp32") -> NetworkSet:
    """Open a bundle's networks and check them against its golden vectors.

    The golden check is the warm-up too: what it returns is ready to serve.

    Args:
        bundle: A verified bundle.
        threads: Threads inside one operator.
        precision: Which of the bundle's files to run. fp16 is made for accelerators: on a CPU it
            gains nothing, because there ONNX Runtime computes it in fp32.

    Raises:
        BundleError: The bundle does not hold a network in that precision.
        EngineError: A runtime refuses a network, or does not reproduce the golden embeddings.
    """
    engines = {
        network.id: OnnxEngine(
            bundle.network(network.id, precision), f"{bundle.label}/{network.id}", threads
        )
        for network in bundle.manifest.networks
    }
    for network in bundle.manifest.networks:
        _check_golden(bundle, network, precision, engines[network.id])
    networks = NetworkSet(bundle, engines)
    logger.info(
        "engine=%s bundle=%s precision=%s threads=%d",
        *(networks.backend, bundle.label, precision, threads),
    )
    return networks


def _check_golden(bundle: Bundle, network: Network, precision: Precision, engine: Engine) -> None:
    """Waveform to embedding, so that the features are proven together with the runtime."""
    tolerance = network.tolerance(precision)
    waveforms = bundle.golden.waveforms.astype(np.float32) / np.float32(32768.0)
    for index, expected in enumerate(bundle.golden.embeddings[network.id]):
        samples = waveforms[index : index + 1]
        inputs = {
            name: compute(spec, samples, bundle.manifest.sample_rate)
            for name, spec in network.inputs.items()
        }
        (z,) = engine.embed(inputs)  # (1, S, D) -> (S, D)
        if z.shape != expected.shape:
            raise EngineError(
                f"{bundle.label}/{network.id}: {engine.name} returns {z.shape}, "
                f"the bundle expects {expected.shape}"
            )
        distance = float(cosine_distance(z, expected).max())
        if not distance <= tolerance:
            raise EngineError(
                f"{bundle.label}/{network.id}: {engine.name} misses golden vector {index} by a "
                f"cosine distance of {distance:.2e} (tolerance {tolerance:.0e}); "
                "this runtime must not score"
            )


def cosine_distance(a: FloatArray, b: FloatArray) -> FloatArray:
    """1 - cosine of paired embeddings, (..., D) and (..., D) -> (...)."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray(1.0 - (a * b).sum(axis=-1) / np.maximum(norms, 1e-12), dtype=np.float32)
