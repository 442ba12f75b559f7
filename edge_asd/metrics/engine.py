"""Metrics of engines that are built on the device and may need another one behind them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class EngineMetrics:
    """Safe to use from every thread.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._build = Gauge(
            "edge_asd_engine_build_duration_seconds",
            "How long building the engine that took over took, 0 if none was built.",
            registry=registry,
        )
        self._fallbacks = Counter(
            "edge_asd_inference_fallbacks_total",
            "Times an engine failed and another took its place.",
            registry=registry,
        )

    def built(self, seconds: float) -> None:
        """Say how long it took to build what serves now."""
        self._build.set(seconds)

    def fell_back(self) -> None:
        """Count an engine that is used no more."""
        self._fallbacks.inc()
