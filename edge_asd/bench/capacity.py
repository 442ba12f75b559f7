"""How many monitors one core sustains: real pipelines in one thread, in real time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from edge_asd.batching import Steps, together
from edge_asd.bench.energy import Meter, PowerLog
from edge_asd.bench.lateness import (
    Doubles,
    due_times,
    expected,
    load_point,
    most,
    phases,
)
from edge_asd.bench.result import Capacity, LoadPoint
from edge_asd.bench.subject import Stream, Subject
from edge_asd.enrolment.enrol import Progress

LIMIT = 1024
"""Monitors that are tried at most: each holds a window of audio and its frames in memory."""
_PARTS = (0.25, 0.5, 0.75)
"""Of the capacity, to show that the cost grows in proportion."""
_STEP = 0.06
"""Monitors are added or taken away by so much of their number while the limit is looked for …"""
_TRIES = 5
"""… so many times at most."""
_FULL = 0.97
"""Of a core, that monitors are expected to be able to take."""
_LEAD_S = 0.02
_EXPECTED_HOPS = 30
_SAMPLES = 15


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """How long to look."""

    seconds: float
    """Of every run in real time."""
    parts: bool = True
    """Run shares of the capacity, too."""


class Monitor(Protocol):
    """What a run needs of a stream."""

    def steps(self) -> Steps[object]:
        """Take in a hop of audio and judge what it completes."""


def measure_capacity(
    subject: Subject, plan: CapacityPlan, progress: Progress, meter: Meter | None = None
) -> Capacity:
    """Find the number of monitors, and run one step more.

    Args:
        subject: What they run.
        plan: How long to look.
        progress: Told how far it is.
        meter: Of the board's power.
    """
    hop_s, batch = subject.hop_s, subject.networks.batch
    found: dict[int, LoadPoint] = {}
    streams: list[Stream] = []

    def some(monitors: int) -> list[Stream]:
        while len(streams) < monitors:
            streams.append(Stream(subject, begin=len(streams) * subject.manifest.sample_rate))
        return streams[:monitors]

    def run(monitors: int) -> LoadPoint:
        progress(len(found) / (_TRIES + len(_PARTS)), f"{monitors} monitors in real time")
        hops = max(2, round(plan.seconds / hop_s))
        heard = some(monitors)
        with PowerLog(meter) as power:
            point = real_time(heard, hop_s, hops, batch)
        found[monitors] = replace(point, watts=power.watts)
        return point

    service_s = _service_s(some(batch))
    guess = most(lambda n: expected(n, hop_s, service_s, _EXPECTED_HOPS).sustained, LIMIT)
    search(run, guess, LIMIT)
    sustained = max((n for n, point in found.items() if point.sustained), default=0)
    if plan.parts:
        for part in _PARTS:
            share = round(part * sustained)
            if share and share not in found:
                run(share)
    return Capacity(sustained, hop_s, tuple(found[number] for number in sorted(found)))


def _service_s(group: Sequence[Monitor]) -> Doubles:
    """What a window takes if so many are judged at once; a first guess rests on it."""
    spent_s = []
    for _ in range(_SAMPLES + 1):
        begun_s = time.perf_counter()
        together([monitor.steps() for monitor in group])
        spent_s.append((time.perf_counter() - begun_s) / len(group))
    return np.asarray(spent_s[1:])  # the first one warms up


def search(run: Callable[[int], LoadPoint], guess: int, limit: int) -> None:
    """Look for the limit by running numbers of monitors, beginning with a guess.

    It ends once the limit lies within a step, at ``limit`` or 1, or when it was tried often enough.
    """
    low, high = 0, limit + 1  # sustained; too many
    monitors = min(limit, max(1, guess))
    for _ in range(_TRIES):
        point = run(monitors)
        if point.sustained:
            low = monitors
        else:
            high = monitors
        step = max(1, round(_STEP * monitors))
        if high - low <= step:
            return
        fitting = int(_FULL * monitors / point.busy)
        if high > limit:
            monitors = min(limit, max(low + step, min(2 * low, fitting)))
        elif low:
            monitors = (low + high) // 2
        else:
            monitors = max(1, min(high - step, fitting))


def real_time(
    monitors: Sequence[Monitor],
    hop_s: float,
    hops: int,
    batch: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> LoadPoint:
    """Run monitors side by side as their audio comes in.

    Args:
        monitors: Streams; each gets a hop of audio once a hop, at a phase of its own.
        hop_s: Real time between two of them.
        hops: How many each gets.
        batch: Windows that are embedded together, of those that are due.
        clock: Seconds.
        sleep: Waits for so many.
    """
    due_s, whose = due_times(phases(len(monitors), hop_s), hop_s, hops)
    due_s = due_s + clock() + _LEAD_S
    judged_s, service_s = np.empty(len(due_s)), np.empty(len(due_s))
    at = 0
    while at < len(due_s):
        if (early_s := due_s[at] - clock()) > 0:
            sleep(early_s)
            continue
        begun_s = clock()
        end = min(int(np.searchsorted(due_s, begun_s, side="right")), at + batch)
        together([monitors[number].steps() for number in whose[at:end]])
        judged_s[at:end] = clock()
        service_s[at:end] = (judged_s[at] - begun_s) / (end - at)
        at = end
    return load_point(len(monitors), hop_s, judged_s - due_s, service_s)
