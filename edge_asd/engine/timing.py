"""What a window costs on an engine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

from edge_asd.engine.networks import NetworkSet
from edge_asd.features import compute

Key = TypeVar("Key", bound=Hashable)

_BUDGET_S = 0.25
_ROUNDS = (5, 50)


def windows_s(opened: Mapping[Key, NetworkSet], threads: int) -> dict[Key, float]:
    """Median seconds of a window on engines of one bundle, each of which has run before.

    One thread is charged with processor time, which other processes do not lengthen. More are asked
    for to have a window sooner, so there it is the time that passes.
    """
    return interleaved(
        {key: _run(networks) for key, networks in opened.items()},
        clock=time.process_time if threads == 1 else time.perf_counter,
        budget_s=_BUDGET_S,
    )


def interleaved(
    runs: Mapping[Key, Callable[[], object]], *, clock: Callable[[], float], budget_s: float
) -> dict[Key, float]:
    """Median time of each, measured in turn, so that whatever else happens slows all of them alike.

    Args:
        runs: What to measure.
        clock: Seconds.
        budget_s: Time after which no further round begins, once there were five.
    """
    least, most = _ROUNDS
    spent: dict[Key, list[float]] = {key: [] for key in runs}
    began = clock()
    for turn in range(most):
        if turn >= least and clock() - began > budget_s:
            break
        for key, run in runs.items():
            before = clock()
            run()
            spent[key].append(clock() - before)
    return {key: statistics.median(times) for key, times in spent.items()}


def _run(networks: NetworkSet) -> Callable[[], object]:
    """What embeds the bundle's first golden window."""
    manifest = networks.bundle.manifest
    samples = networks.bundle.golden.waveforms[:1].astype(np.float32) / np.float32(32768.0)
    features = {
        name: compute(spec, samples, manifest.sample_rate)
        for name, spec in manifest.features.items()
    }
    return lambda: networks.embed(features)
