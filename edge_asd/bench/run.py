"""One run: measures part after part, and says what is missing and why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edge_asd.bench.affinity import pinned, usable_cores
from edge_asd.bench.broker import MISSING, Mosquitto, find_mosquitto
from edge_asd.bench.capacity import CapacityPlan, measure_capacity
from edge_asd.bench.cost import measure_cost
from edge_asd.bench.course import KEYS, Course, Part, Times
from edge_asd.bench.delivery import measure_delivery
from edge_asd.bench.energy import find_meter
from edge_asd.bench.machine import describe, describe_gpu
from edge_asd.bench.opening import make_ready
from edge_asd.bench.result import (
    BenchResult,
    Capacity,
    DaemonCost,
    Delivery,
    Energy,
    Scale,
    Throughput,
)
from edge_asd.bench.scale import MOST, fitting, more_than_one
from edge_asd.bench.site import Setting, Wanted
from edge_asd.bench.subject import Subject, prepare
from edge_asd.bench.throughput import measure_throughput
from edge_asd.bundle import Bundle
from edge_asd.engine import open_networks
from edge_asd.engine_request import EngineRequest
from edge_asd.enrolment.enrol import Progress
from edge_asd.errors import EdgeAsdError, PublishError

_START_S = 12.0
"""Of a daemon and its end, and until a window is complete."""
_NEED_BROKER: set[Part] = {"latency", "load"}
_ALERTING = 8
"""Monitors of a loaded daemon that have an open alert."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What shall be measured."""

    bundle: Bundle
    engine: EngineRequest
    """Its ``cache`` is a folder that is there."""
    parts: Collection[Part]
    times: Times
    load: float = 0.8
    """Share of its capacity that the loaded daemon gets."""
    source: str | None = None
    """What the daemon with one monitor listens to; None for simulated sound."""


def run_bench(options: BenchOptions, folder: Path, tell: Progress) -> BenchResult:
    """Measure.

    Args:
        options: What.
        folder: Empty; the caller removes it.
        tell: Told how far everything is.

    Raises:
        EdgeAsdError: The engine cannot be had, or fails.
    """
    return _Run(options, folder, tell).result()


class _Run:
    """See ``run_bench``."""

    def __init__(self, options: BenchOptions, folder: Path, tell: Progress) -> None:
        self._options, self._times, self._folder = options, options.times, folder
        self._mosquitto, self._power = find_mosquitto(), find_meter()
        self._missing: dict[str, str] = {}
        self._wanted = self._possible(options.parts)
        self._course = Course(tell, _weights(self._wanted, options.times))
        self._throughput: Throughput | None = None
        self._capacity: Capacity | None = None
        self._latency: Delivery | None = None
        self._scale: Scale | None = None
        self._loaded: Delivery | None = None
        self._cost: DaemonCost | None = None
        self._idle_w: float | None = None  # of the board, with a daemon that has one monitor

    def result(self) -> BenchResult:
        options, machine = self._options, describe()
        make_ready(options.bundle, options.engine, self._course.share("engine"))
        cores = usable_cores()[-options.engine.threads :]
        with pinned(cores):  # threads of the engine, too
            networks = open_networks(options.bundle, options.engine)
            try:
                subject = prepare(networks, self._course.share("prepare"))
                self._in_process(subject, len(cores))
            finally:
                networks.close()
        if networks.backend == "tensorrt":
            machine["gpu"] = describe_gpu()
        self._with_daemons(Setting(subject, options.engine, options.source), cores)
        return BenchResult(
            engine=networks.backend,
            precision=networks.precision,
            threads=options.engine.threads,
            reason=networks.reason,
            bundle=options.bundle.label,
            hop_s=subject.hop_s,
            machine=machine,
            throughput=self._throughput,
            capacity=self._capacity,
            latency=self._latency,
            scale=self._scale,
            loaded=self._loaded,
            cost=self._cost,
            energy=self._energy(subject.hop_s),
            missing=self._missing,
        )

    def _possible(self, parts: Collection[Part]) -> set[Part]:
        """What of it can be measured; why the rest cannot is noted."""
        reasons: dict[Part, str] = {part: "not asked for" for part in KEYS if part not in parts}
        if not self._times.load_s:
            reasons.setdefault("load", "takes longer than a quick run; leave --quick out")
        if self._mosquitto is None:
            for part in _NEED_BROKER:
                reasons.setdefault(part, MISSING)
        for part, reason in reasons.items():
            self._miss(part, reason)
        return {part for part in KEYS if part not in reasons}

    def _miss(self, part: Part, reason: str) -> None:
        self._missing |= dict.fromkeys(KEYS[part], reason)

    # In this process, pinned to a core

    def _in_process(self, subject: Subject, cores: int) -> None:
        if "throughput" in self._wanted:
            share = self._course.share("throughput")
            self._throughput = measure_throughput(subject, self._times.throughput_s, share)
        if "capacity" in self._wanted:
            plan = CapacityPlan(self._times.capacity_s, parts=self._times.parts)
            share = self._course.share("capacity")
            found = measure_capacity(subject, plan, share, self._power.meter)
            self._capacity = replace(found, cores=cores)

    # With daemons

    def _with_daemons(self, setting: Setting, cores: Collection[int]) -> None:
        parts: dict[Part, Callable[[str | None], None]] = {
            "cost": lambda broker: self._measure_cost(setting, broker),
            "latency": lambda broker: self._measure_latency(setting, broker),
            "load": lambda broker: self._measure_load(setting, broker, cores),
        }
        if not self._wanted & set(parts):
            return
        with ExitStack() as closers:
            broker = self._broker(closers)
            for part, measure in parts.items():
                if part in self._wanted:
                    self._try(part, partial(measure, broker))

    def _broker(self, closers: ExitStack) -> str | None:
        """Its address; without one, what needs it is not measured."""
        if self._mosquitto is None:
            return None
        try:
            return closers.enter_context(Mosquitto(self._mosquitto, self._folder)).url
        except PublishError as error:
            for part in _NEED_BROKER & self._wanted:
                self._miss(part, str(error))
            self._wanted -= _NEED_BROKER
            return None

    def _try(self, part: Part, measure: Callable[[], None]) -> None:
        """What was measured is worth having without what could not be."""
        try:
            measure()
        except EdgeAsdError as error:
            self._miss(part, str(error))
            if part == "latency" and "cost" in self._wanted and self._cost is None:
                self._miss("cost", str(error))

    def _measure_cost(self, setting: Setting, broker: str | None) -> None:
        times, share = self._times, self._course.share("cost")
        if not times.cost_s and "latency" in self._wanted:
            return  # it is that of the daemon whose latency is measured
        wanted = Wanted(1, seconds=times.cost_s or times.latency_s, broker=broker)
        self._cost, self._idle_w = measure_cost(
            *(self._folder / "cost", setting, wanted, share),
            starts=times.starts,
            meter=self._power.meter,
        )

    def _measure_latency(self, setting: Setting, broker: str | None) -> None:
        wanted = Wanted(1, 1, self._times.latency_s, broker, evidence=False)
        self._latency, cost = measure_delivery(
            self._folder / "latency", setting, wanted, self._course.share("latency")
        )
        if not self._times.cost_s and "cost" in self._wanted:
            self._cost = cost

    def _measure_load(self, setting: Setting, broker: str | None, cores: Collection[int]) -> None:
        times, course = self._times, self._course
        if self._latency is None:
            wanted = Wanted(1, 1, times.scale_s, broker, evidence=False)
            few, _ = measure_delivery(self._folder / "few", setting, wanted, course.share("few"))
        else:
            few = self._latency
        number = more_than_one(few.cpu_share)
        wanted = Wanted(number, 1, times.scale_s, broker, evidence=False)
        more, _ = measure_delivery(self._folder / "more", setting, wanted, course.share("more"))
        shares = [(one.monitors, one.cpu_share) for one in (few, more)]
        number = min(MOST, max(2, int(self._options.load * fitting(*shares))))
        wanted = Wanted(number, min(number, _ALERTING), times.load_s, broker, evidence=False)
        loaded, _ = measure_delivery(
            self._folder / "load", setting, wanted, course.share("load"), cores=cores
        )
        shares.append((number, loaded.cpu_share))
        # It is nearest to the limit and tells best where that is, unless it was late: who does not
        # get to his work takes too little.
        last = -1 if loaded.latency_ms.p99 < 1e3 * setting.subject.hop_s else 1
        self._scale = Scale(tuple(shares), fitting(shares[0], shares[last]))
        self._loaded = replace(loaded, load=number / self._scale.monitors)

    def _energy(self, hop_s: float) -> Energy | None:
        """What the meter said; why it said nothing is noted."""
        if self._power.meter is None:
            self._missing["energy"] = self._power.reason
            return None
        points = self._capacity.points if self._capacity else ()
        full = [p for p in points if self._capacity and p.monitors == self._capacity.monitors]
        busy_w = full[0].watts if full else None
        each_j = None if busy_w is None else busy_w * hop_s / full[0].monitors
        return Energy(self._power.meter.name, self._idle_w, busy_w, each_j)


def _weights(wanted: Collection[Part], times: Times) -> dict[str, float]:
    """Seconds that everything will roughly take, in order."""
    capacity_runs = 8 if times.parts else 4
    weights = {"engine": 1.0, "prepare": 4.0}
    if "throughput" in wanted:
        weights["throughput"] = times.throughput_s
    if "capacity" in wanted:
        weights["capacity"] = capacity_runs * times.capacity_s
    if "cost" in wanted:
        alone = times.cost_s or "latency" not in wanted
        weights["cost"] = times.cost_s + 3.0 * times.starts + _START_S if alone else 0.0
    if "latency" in wanted:
        weights["latency"] = times.latency_s + _START_S
    if "load" in wanted:
        weights["few"] = 0.0 if "latency" in wanted else times.scale_s + _START_S
        weights["more"] = times.scale_s + _START_S
        weights["load"] = times.load_s + _START_S
    return weights
