"""Metrics of what operators asked for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

COMMANDS = ("enabled", "inhibit", "snooze", "ack", "enrol", "normal", "rehearse", "unknown")
"""Verbs that are told apart; everything else is ``unknown``."""
COMMAND_RESULTS = ("accepted", "refused", "failed")
"""``refused``: it could not be meant so, or not now. ``failed``: the device could not do it."""
REHEARSALS = ("alarm", "mic", "broker", "disk")


class CommandMetrics:
    """Safe to use from every thread.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._commands = Counter(
            "edge_asd_commands_total",
            "Commands by what became of them.",
            ("verb", "result"),
            registry=registry,
        )
        self._rehearsals = Counter(
            "edge_asd_rehearsals_total", "Rehearsals begun.", ("fault",), registry=registry
        )
        for verb in COMMANDS:
            for result in COMMAND_RESULTS:
                self._commands.labels(verb, result)
        for fault in REHEARSALS:
            self._rehearsals.labels(fault)

    def command(self, verb: str, result: str) -> None:
        """Count a command; ``result`` is one of ``COMMAND_RESULTS``."""
        self._commands.labels(verb if verb in COMMANDS else "unknown", result).inc()

    def rehearsal(self, fault: str) -> None:
        """Count a rehearsal; ``fault`` is one of ``REHEARSALS``."""
        self._rehearsals.labels(fault).inc()
