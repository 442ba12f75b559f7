"""What is measured, for how long, and how far all of it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edge_asd.enrolment.enrol import Progress

Part = Literal["throughput", "capacity", "cost", "latency", "load"]

KEYS: Mapping[Part, tuple[str, ...]] = {
    "throughput": (
        *("engine_windows_per_s", "pipeline_windows_per_s", "pipeline_ratio", "front_end_share"),
    ),
    "capacity": ("monitors_per_core",),
    "cost": ("cpu_share", "rss_mb", "pss_mb", "cold_start_s"),
    "latency": ("latency_ms",),
    "load": ("daemon_monitors_per_core", "latency_loaded_ms"),
}
"""What each part of a bench answers, in the order in which they are measured."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long is measured."""

    throughput_s: float
    capacity_s: float
    """Each of a handful of runs."""
    parts: bool
    """Shares of the capacity are run, too."""
    cost_s: float
    """0: the cost is that of the daemon whose latency is measured."""
    starts: int
    latency_s: float
    scale_s: float
    load_s: float
    """0: no load."""


FULL = Times(6.0, 3.0, True, 30.0, 2, 25.0, 6.0, 15.0)  # noqa: FBT003 - the fields name it
QUICK = Times(2.0, 1.5, False, 0.0, 1, 8.0, 0.0, 0.0)  # noqa: FBT003 - the fields name it


class Course:
    """Shares of one progress, as long as their parts take.

    Args:
        tell: Told how far everything is, 0 to 1, and what is being done.
        weights: Seconds that every share will roughly take.
    """

    def __init__(self, tell: Progress, weights: Mapping[str, float]) -> None:
        self._tell, self._weights = tell, dict(weights)
        self._total = sum(self._weights.values()) or 1.0

    def share(self, name: str) -> Progress:
        """The progress of one of them; those before it are done."""
        names = list(self._weights)
        before = sum(self._weights[other] for other in names[: names.index(name)])
        width = self._weights[name]

        def tell(done: float, text: str) -> None:
            self._tell((before + width * min(1.0, max(0.0, done))) / self._total, text)

        return tell
