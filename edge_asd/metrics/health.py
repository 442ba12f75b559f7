"""How many checks have which result."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge

from edge_asd.health import Health


class HealthMetrics:
    """Safe to use from every thread.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._checks = Gauge(
            "edge_asd_health_checks",
            "Checks by their result, rehearsals included.",
            ("status",),
            registry=registry,
        )
        self.set(())

    def set(self, results: Iterable[Health]) -> None:
        """Say how the checks stand."""
        found = list(results)
        for status in Health:
            self._checks.labels(status.value).set(found.count(status))
