"""Metrics of the configuration: whether the daemon runs with the operator's latest file."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

RELOAD_RESULTS = ("applied", "unchanged", "refused")


class ReloadMetrics:
    """Safe to use from every thread.

    Args:
        registry: Where they are registered.
        started_at: Wall time at which the daemon read its configuration first.
    """

    def __init__(self, registry: CollectorRegistry, started_at: float) -> None:
        self._reloads = Counter(
            "edge_asd_config_reloads_total",
            "Reloads of the configuration by what became of them.",
            ("result",),
            registry=registry,
        )
        self._successful = Gauge(
            "edge_asd_config_last_reload_successful",
            "0 while the daemon goes on with an older file, because the latest is refused.",
            registry=registry,
        )
        self._success_at = Gauge(
            "edge_asd_config_last_reload_success_timestamp_seconds",
            "Wall time at which the configuration in force was read.",
            registry=registry,
        )
        for result in RELOAD_RESULTS:
            self._reloads.labels(result)
        self._successful.set(1)
        self._success_at.set(started_at)

    def took(self, *, changed: bool, at: float) -> None:
        """A file was read and is in force since this wall time."""
        self._reloads.labels("applied" if changed else "unchanged").inc()
        self._successful.set(1)
        self._success_at.set(at)

    def refused(self) -> None:
        """A file was refused; the one before it stays in force."""
        self._reloads.labels("refused").inc()
        self._successful.set(0)
