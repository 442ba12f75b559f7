"""When windows fall due and how late they are judged: arithmetic without a clock.

Machines are independent: each hands over a hop of audio once a hop, at a phase of its own. One
thread judges the windows in the order in which they fall due, so that it is a queue with one
server, and the time at which the i-th window is judged follows from the one before it:
``max(due[i], judged[i - 1]) + service[i]``.

Source: D. V. Lindley, "The theory of queues with a single server", Mathematical Proceedings of the
Cambridge Philosophical Society 48, 1952.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_asd.bench.result import LoadPoint, Quantiles

Doubles = NDArray[np.float64]

SHARE_OF_HOP = 0.5
"""The 99th percentile of lateness must lie below so much of a hop."""


def phases(monitors: int, hop_s: float, seed: int = 0) -> Doubles:
    """Where in a hop the windows of every machine end, (N,) seconds; any are as likely."""
    return np.random.default_rng(seed).uniform(0.0, hop_s, monitors)


def due_times(phase_s: Doubles, hop_s: float, hops: int) -> tuple[Doubles, NDArray[np.intp]]:
    """When windows fall due, in order, and whose they are: two arrays (N * hops,)."""
    due_s = (phase_s[None, :] + hop_s * np.arange(hops)[:, None]).ravel()  # (hops, N) -> (hops * N)
    order = np.argsort(due_s, kind="stable")
    return due_s[order], order % len(phase_s)


def judged_times(due_s: Doubles, service_s: Doubles) -> Doubles:
    """When each of them is judged, by a thread that takes ``service_s`` for it; (n,) each.

    >>> judged_times(np.array([0.0, 1.0, 1.5]), np.array([0.5, 1.0, 0.25])).tolist()
    [0.5, 2.0, 2.25]
    """
    # Unrolled: judged[i] = total[i] + max over j <= i of (due[j] - total[j - 1]).
    total = np.cumsum(service_s)
    judged: Doubles = total + np.maximum.accumulate(due_s - (total - service_s))
    return judged


def load_point(monitors: int, hop_s: float, lateness_s: Doubles, service_s: Doubles) -> LoadPoint:
    """What a run showed.

    A run of seconds cannot show by its lateness alone that windows pile up slowly: what every
    monitor asks for must fit into a hop as well.
    """
    lateness = Quantiles.of_seconds(lateness_s.tolist())
    busy = float(service_s.mean()) * monitors / hop_s
    sustained = lateness.p99 < 1e3 * SHARE_OF_HOP * hop_s and busy < 1.0
    return LoadPoint(monitors, lateness, busy, sustained)


def expected(
    monitors: int, hop_s: float, service_s: Doubles, hops: int, seed: int = 0
) -> LoadPoint:
    """What a run would show if windows took what they were measured to take.

    Args:
        monitors: How many.
        hop_s: Their hop.
        service_s: Measured, any number of times.
        hops: Length of the run.
        seed: Of phases, and of which window takes how long.
    """
    due_s, _ = due_times(phases(monitors, hop_s, seed), hop_s, hops)
    drawn_s = np.random.default_rng(seed).choice(service_s, len(due_s))
    return load_point(monitors, hop_s, judged_times(due_s, drawn_s) - due_s, drawn_s)


def most(sustains: Callable[[int], bool], limit: int) -> int:
    """The largest number up to ``limit`` that is sustained, 0 for none; more are never easier.

    >>> most(lambda n: n <= 70, 1000), most(lambda n: False, 1000)
    (70, 0)
    """
    low, high = 0, 1
    while high <= limit and sustains(high):
        low, high = high, 2 * high
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sustains(middle) else (low, middle)
    return low
