"""What a unit is: its shafts, its parts, how it radiates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edge_asd.simulate.dsp import FloatArray
from edge_asd.simulate.kinematics import Bearing
from edge_asd.simulate.moment import FaultModel, Part, Shaft


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """One unit of a machine kind, as it sounds when nothing is wrong."""

    kind: str
    sample_rate: int
    """Hz, of the kernels and tables."""
    shafts: tuple[Shaft, ...]
    """Driving shafts before driven ones."""
    parts: tuple[Part, ...]
    kernels: Mapping[str, FloatArray]
    """Impulse responses by path, shape (taps,) each."""
    load_wander: float
    """Rms of the slow variation of the load."""
    bearing: Bearing
    """Geometry of the main bearing."""
    main: str = "rotor"
    """The shaft on which bearing faults and unbalance act."""
    counts: Mapping[str, int] | None = None
    """Numbers of blades, vanes, teeth …, by name."""

    def rate_hz(self, shaft: str | None = None) -> float:
        """Frequency of a shaft (the main one by default) at relative speed 1, half load."""
        by_name = {item.name: item for item in self.shafts}
        item = by_name[shaft or self.main]
        if item.parent is None:
            return item.rate_hz
        return item.ratio * self.rate_hz(item.parent)

    def count(self, name: str) -> int:
        """Number of blades, vanes or teeth."""
        return (self.counts or {})[name]


Builder = Callable[[np.random.Generator, Machine], FaultModel]
"""Draws how a fault shows on one unit, at severity 1."""


def present(machine: Machine, changes: Mapping[str, float]) -> dict[str, float]:
    """The changes whose part this machine has; a trailing * stands for any ending."""
    out: dict[str, float] = {}
    for pattern, change_db in changes.items():
        for part in machine.parts:
            prefix = pattern.rstrip("*")
            hit = part.name.startswith(prefix) if pattern.endswith("*") else part.name == pattern
            if hit:
                out[part.name] = change_db
    return out
