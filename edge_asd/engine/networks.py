"""The networks of a bundle, ready to embed."""

from __future__ import annotations

from collections.abc import Mapping

from edge_asd.bundle import Bundle
from edge_asd.engine.fallback import Fallback
from edge_asd.protocols import Engine
from edge_asd.records import FloatArray


class NetworkSet:
    """Every network of a bundle on its engine; not thread-safe.

    Args:
        bundle: Whose networks they are.
        engines: One for every network, by id.
        reason: Why these engines, in words for an operator.
    """

    def __init__(self, bundle: Bundle, engines: Mapping[str, Engine], reason: str = "") -> None:
        self.bundle, self.reason = bundle, reason
        self._engines = dict(engines)

    @property
    def backend(self) -> str:
        """Name of the runtime, for logs, metrics and messages."""
        return next(iter(self._engines.values())).name

    @property
    def precision(self) -> str:
        """What it computes in: ``fp32``, ``fp16``, ``bf16``."""
        return next(iter(self._engines.values())).precision

    @property
    def batch(self) -> int:
        """Windows that are worth being embedded together; 1 where nothing is gained."""
        return min(engine.batch for engine in self._engines.values())

    @property
    def failure(self) -> str:
        """Why a spare runtime serves by now; empty while the chosen one does."""
        guarded = (one for one in self._engines.values() if isinstance(one, Fallback))
        return next((one.failure for one in guarded if one.failure), "")

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
