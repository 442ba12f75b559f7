"""What was measured, for people."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_asd.bench.machine import summary
from edge_asd.bench.result import (
    BenchResult,
    Capacity,
    DaemonCost,
    Delivery,
    Energy,
    Scale,
    Spread,
    Throughput,
)

_NAME = 28
_BUSY = 0.5
"""Load before the run, of a core, above which it is worth a warning."""


def lines_of(result: BenchResult) -> list[str]:
    """All of it, line by line."""
    return [
        *_head(result),
        *(_throughput(result.throughput) if result.throughput else ()),
        *(_capacity(result.capacity) if result.capacity else ()),
        *(_cost(result.cost) if result.cost else ()),
        *(_latency("one monitor", result.latency) if result.latency else ()),
        *(_scale(result.scale) if result.scale else ()),
        *(_latency(f"{result.loaded.monitors} monitors", result.loaded) if result.loaded else ()),
        *(_energy(result.energy) if result.energy else ()),
        *_missing(result),
    ]


def _head(result: BenchResult) -> Iterator[str]:
    threads = f"{result.threads} thread{'s' if result.threads > 1 else ''}"
    yield f"{result.bundle} on {result.engine} {result.precision}, {threads}"
    if result.reason:
        yield f"  {result.reason}"
    yield f"  {summary(result.machine)}"
    load = result.machine.get("load_before")
    if load is not None and load > _BUSY:
        yield f"  the machine was busy before (load {load:g}): the figures are too low"


def _row(name: str, text: str) -> str:
    return f"  {name:<{_NAME}}{text}"


def _spread(spread: Spread, digits: int = 1) -> str:
    low, high = (f"{value:.{digits}f}" for value in (spread.low, spread.high))
    return f"{spread.median:.{digits}f}   ({low} to {high})"


def _throughput(found: Throughput) -> Iterator[str]:
    stages = found.stages_ms
    yield ""
    yield "Windows a second, median (10th to 90th percentile)"
    yield _row("engine alone", _spread(found.engine))
    if found.batched is not None:
        yield _row(f"engine, batches of {found.batch}", _spread(found.batched))
    yield _row("whole pipeline", _spread(found.pipeline))
    yield _row("pipeline / engine", _spread(found.ratio, 3))
    yield _row(
        "a window, ms",
        f"features {stages.features:.2f}, engine {stages.inference:.2f}, score "
        f"{stages.score:.2f}, rest {stages.rest:.2f}",
    )
    yield _row("features / engine", f"{100 * stages.front_end_share:.1f} %")


def _capacity(found: Capacity) -> Iterator[str]:
    yield ""
    cores = "one core" if found.cores == 1 else f"{found.cores} cores"
    yield f"Monitors of {cores}, a window every {found.hop_s:.3g} s"
    yield _row("sustained", f"{found.monitors}")
    for point in found.points:
        late = point.lateness_ms
        yield _row(
            f"  {point.monitors} monitors",
            f"late by {late.p50:.0f} ms (p50), {late.p99:.0f} ms (p99); core busy "
            f"{100 * point.busy:.0f} %{'' if point.sustained else ': too many'}",
        )


def _cost(found: DaemonCost) -> Iterator[str]:
    what = "an alert is open" if found.alerting else "nothing happens"
    starts = found.cold_start_s
    yield ""
    yield f"A daemon with one monitor, {what}"
    yield _row("processor", f"{100 * found.cpu_share:.2f} % of a core, over {found.seconds:.0f} s")
    yield _row("memory", f"{found.pss_mb:.0f} MB (PSS), {found.rss_mb:.0f} MB resident")
    yield _row("start until READY", f"{float(np.median(starts)):.2f} s, median of {len(starts)}")


def _latency(who: str, found: Delivery) -> Iterator[str]:
    late = found.latency_ms
    yield ""
    yield f"From the last sample until the broker has the event, {who}"
    yield _row("p50, p99, worst", f"{late.p50:.1f}, {late.p99:.1f}, {late.worst:.1f} ms")
    share = "" if found.load is None else f", {100 * found.load:.0f} % of what fits on a core"
    yield _row("of", f"{late.count} events; the daemon took {100 * found.cpu_share:.1f} %{share}")


def _scale(found: Scale) -> Iterator[str]:
    shares = ", ".join(f"{number}: {100 * share:.1f} %" for number, share in found.cpu_shares)
    yield ""
    yield "Whole daemons"
    yield _row("would take one core", f"{found.monitors} monitors (measured: {shares})")


def _energy(found: Energy) -> Iterator[str]:
    yield ""
    yield f"Power ({found.meter})"
    if found.one_monitor_w is not None:
        yield _row("one monitor", f"{found.one_monitor_w:.2f} W")
    if found.at_capacity_w is not None and found.per_window_j is not None:
        yield _row(
            "at capacity", f"{found.at_capacity_w:.2f} W, {found.per_window_j:.3f} J a window"
        )


def _missing(result: BenchResult) -> Iterator[str]:
    """One line a reason: several keys may have the same."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in result.missing.items():
        by_reason.setdefault(reason, []).append(key)
    if by_reason:
        yield ""
    for reason, keys in by_reason.items():
        yield f"not measured: {', '.join(keys)}: {reason}"
