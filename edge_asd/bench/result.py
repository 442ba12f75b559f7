"""What was measured, as plain records, and the JSON that scripts read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """A quantity that was measured many times."""

    median: float
    low: float
    """10th percentile."""
    high: float
    """90th percentile."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        low, median, high = np.percentile(np.asarray(values, float), (10, 50, 90))
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of delays, in milliseconds."""

    count: int
    p50: float
    p99: float
    worst: float

    @classmethod
    def of_seconds(cls, delays_s: Sequence[float]) -> Quantiles:
        """Of at least one delay. With fewer than a hundred, ``p99`` is close to the worst."""
        ms = 1e3 * np.asarray(delays_s, float)
        p50, p99 = np.percentile(ms, (50, 99))
        return cls(len(ms), float(p50), float(p99), float(ms.max()))


@dataclass(frozen=True, slots=True)
class Stages:
    """Where the time of one window goes, medians in milliseconds."""

    features: float
    inference: float
    score: float
    rest: float
    """Cutting windows, hearing whether the machine runs, deciding."""

    @property
    def front_end_share(self) -> float:
        """Features as a share of the engine's time."""
        return self.features / self.inference


@dataclass(frozen=True, slots=True)
class Throughput:
    """Windows a second of one thread, the engine alone and the pipeline taking turns."""

    engine: Spread
    pipeline: Spread
    ratio: Spread
    """Of neighbouring turns, so that a machine that slows down for a while does not matter."""
    stages_ms: Stages
    windows: int
    """That the pipeline judged."""
    batch: int = 1
    """Windows that the engine likes to embed together …"""
    batched: Spread | None = None
    """… and the engine alone with so many; None where it is one."""


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """Monitors that were run in real time."""

    monitors: int
    lateness_ms: Quantiles
    """From the last sample of a window until it is judged."""
    busy: float
    """Share of one core."""
    sustained: bool
    """The 99th percentile of lateness lies under half a hop, and nothing piles up."""
    watts: float | None = None
    """Mean power of the board meanwhile, where it has a meter."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many monitors are sustained."""

    monitors: int
    """The most that were run and sustained."""
    hop_s: float
    points: tuple[LoadPoint, ...]
    """All that were run, in order of their number."""
    cores: int = 1
    """That they ran on: one for every thread of the engine."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """From the last sample of a window to the broker's PUBACK of the event it caused."""

    monitors: int
    alerting: int
    """Of these, so many had an open alert and sent an event with every window."""
    load: float | None
    """Share of what fits on a core; None for a single monitor."""
    latency_ms: Quantiles
    delays_ms: tuple[float, ...]
    cpu_share: float
    """Of one core, the daemon and its children."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What whole daemons with few and with more monitors take, and how many fit on one core."""

    cpu_shares: tuple[tuple[int, float], ...]
    """Monitors, and the share of one core, of every daemon."""
    monitors: int
    """That would take one core, if the cost grows in proportion, as it does."""


@dataclass(frozen=True, slots=True)
class DaemonCost:
    """A whole daemon with one monitor."""

    cpu_share: float
    """Of one core, children included, over ``seconds``."""
    seconds: float
    pss_mb: float
    """Proportional share of memory, children included: what they share counts once."""
    rss_mb: float
    """Resident memory, children included: what they share counts in each."""
    cold_start_s: tuple[float, ...]
    """From the start of the process until it says READY; every time that was tried."""
    alerting: bool = False
    """It had an open alert and sent an event with every window; else nothing happened."""


@dataclass(frozen=True, slots=True)
class Energy:
    """What the board's own meter said."""

    meter: str
    one_monitor_w: float | None
    """A daemon with one monitor, the board included."""
    at_capacity_w: float | None
    per_window_j: float | None
    """At capacity, the board included."""


@dataclass(frozen=True, slots=True)
class BenchResult:
    """One run of ``edge-asd bench``; None is what was not measured."""

    engine: str
    precision: str
    threads: int
    reason: str
    """Why this engine, in words."""
    bundle: str
    hop_s: float
    machine: Mapping[str, Any]
    throughput: Throughput | None = None
    capacity: Capacity | None = None
    latency: Delivery | None = None
    scale: Scale | None = None
    loaded: Delivery | None = None
    cost: DaemonCost | None = None
    energy: Energy | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why something was not measured, by the name of its key."""

    def to_json(self) -> dict[str, Any]:
        """The keys that scripts read first, then everything else; what is missing is null."""
        through, cost = self.throughput, self.cost
        return {
            "engine_windows_per_s": through and through.engine.median,
            "pipeline_windows_per_s": through and through.pipeline.median,
            "pipeline_ratio": through and through.pipeline.median / through.engine.median,
            "monitors_per_core": self.capacity and self.capacity.monitors // self.capacity.cores,
            "latency_ms": self.latency and _p50_p99(self.latency),
            "cpu_share": cost and cost.cpu_share,
            "rss_mb": cost and cost.rss_mb,
            "cold_start_s": cost and float(np.median(cost.cold_start_s)),
            "engine": self.engine,
            "precision": self.precision,
            "machine": dict(self.machine),
            "pss_mb": cost and cost.pss_mb,
            "front_end_share": through and through.stages_ms.front_end_share,
            "daemon_monitors_per_core": self.scale and self.scale.monitors,
            "latency_loaded_ms": self.loaded and _p50_p99(self.loaded),
            "bundle": self.bundle,
            "hop_s": self.hop_s,
            "threads": self.threads,
            "reason": self.reason,
            "not_measured": dict(self.missing),
            "details": {
                name: value and asdict(value)
                for name, value in (
                    ("throughput", through),
                    ("capacity", self.capacity),
                    ("latency", self.latency),
                    ("scale", self.scale),
                    ("loaded", self.loaded),
                    ("cost", cost),
                    ("energy", self.energy),
                )
            },
        }


def _p50_p99(delivery: Delivery) -> dict[str, float]:
    return {"p50": delivery.latency_ms.p50, "p99": delivery.latency_ms.p99}
