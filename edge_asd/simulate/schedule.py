"""What happens to a streaming machine: a fault that develops, switching off and on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.simulate.dsp import DoubleArray
from edge_asd.simulate.scene import Fault


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happens to a streaming machine, in s of stream time."""

    fault: Fault | None = None
    """The fault that develops, up to its severity; None keeps the machine normal."""
    onset_s: float = 0.0
    """When it begins."""
    ramp_s: float = 0.0
    """How long it takes to full severity."""
    clear_s: float | None = None
    """When it is repaired; None never."""
    off: tuple[tuple[float, float], ...] = ()
    """Intervals (start, end) in which the machine is switched off, in order."""

    def __post_init__(self) -> None:
        """Check the order of events."""
        if self.ramp_s < 0.0:
            raise ValueError(f"ramp_s={self.ramp_s} is negative")
        if self.clear_s is not None and self.clear_s < self.onset_s:
            raise ValueError(f"clear_s={self.clear_s} is before onset_s={self.onset_s}")
        edges = [edge for interval in self.off for edge in interval]
        if edges != sorted(edges):
            raise ValueError(f"off={self.off} is not a sequence of (start, end) in order")

    def severity_at(self, t: DoubleArray) -> DoubleArray:
        """Severity of the fault at each time in s, shape (m,)."""
        if self.fault is None:
            return np.zeros_like(t)
        if self.ramp_s > 0.0:
            rise = np.clip((t - self.onset_s) / self.ramp_s, 0.0, 1.0)
        else:
            rise = (t >= self.onset_s).astype(np.float64)
        if self.clear_s is not None:
            rise = np.where(t >= self.clear_s, 0.0, rise)
        return np.asarray(rise * self.fault.severity, np.float64)

    def power_at(self, t: DoubleArray) -> DoubleArray:
        """1 where the machine is switched on and 0 where it is off, shape (m,)."""
        power = np.ones_like(t)
        for start, end in self.off:
            power[(t >= start) & (t < end)] = 0.0
        return power

    def run_at(self, t: DoubleArray, down_s: float, up_s: float) -> DoubleArray:
        """Relative speed with inertia: coasting down after a stop, running up after a start."""
        run = np.ones_like(t)
        level, free_from = 1.0, -np.inf
        for start, end in self.off:
            if np.isfinite(free_from):  # speed reached when it is switched off again
                level = _rising(np.array([start]), free_from, level, up_s)[0]
            fall = level * np.clip(1.0 - (t - start) / down_s, 0.0, 1.0) ** 1.5
            level *= float(np.clip(1.0 - (end - start) / down_s, 0.0, 1.0)) ** 1.5
            rise = _rising(t, end, level, up_s)
            run = np.where(t >= end, rise, np.where(t >= start, fall, run))
            free_from = end
        return run


def _rising(t: DoubleArray, start_s: float, level: float, up_s: float) -> DoubleArray:
    """Relative speed after a start at ``start_s`` from ``level``."""
    left = np.clip(1.0 - (t - start_s) / up_s, 0.0, 1.0) ** 2
    return np.asarray(1.0 - (1.0 - level) * left, np.float64)
