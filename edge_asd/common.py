"""What all parts of a daemon share, and no reload changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_asd.health import HealthBoard, ProgressWatch
from edge_asd.metrics.metrics import Metrics
from edge_asd.metrics.registry import Registry
from edge_asd.steady import SteadyClock


@dataclass(frozen=True, slots=True)
class Common:
    """What stays the same as long as the process lives."""

    state_dir: Path
    once: bool
    """Leave when finite sources are spent and everything is delivered."""
    board: HealthBoard
    registry: Registry
    metrics: Metrics
    watch: ProgressWatch
    clock: SteadyClock
    started_at: float
    """Wall time."""
    ready: Callable[[], bool]
    """Whether start-up is complete."""
