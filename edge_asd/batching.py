"""Windows of several streams through the networks together.

A stream is a generator: where it needs embeddings it yields the window that is `Due`, and goes on
with what it is sent. So its code reads from top to bottom, and whoever drives several of them
decides whether their windows share a batch.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from edge_asd.engine import NetworkSet
from edge_asd.records import FloatArray

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """A window that waits for its embeddings."""

    networks: NetworkSet
    features: Mapping[str, FloatArray]
    """(1, …) by ``network/input``."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What the networks made of it."""

    embeddings: Mapping[str, FloatArray]
    """(1, S, D) by network id."""
    spent_s: float
    """Time that the window's batch took."""


Steps = Generator[Due, Embedded, T]
"""A stream that stops at every window that is due, and ends with a result."""


def alone(steps: Steps[T]) -> T:
    """Run one stream to its end, every window in a batch of its own.

    Raises:
        EngineError: The runtime failed.
    """
    try:
        due = next(steps)
        while True:
            due = steps.send(_embed([due])[0])
    except StopIteration as end:
        result: T = end.value
        return result


def together(streams: Sequence[Steps[T]]) -> list[T]:
    """Run several streams to their ends; windows that are due at the same time share batches.

    Batches are as large as the engine gains by (`NetworkSet.batch`): where that is 1, a stream runs
    to its end before the next one begins, so that nobody waits for anybody.

    Returns:
        The streams' results, in their order.

    Raises:
        EngineError: The runtime failed.
    """
    results: dict[int, T] = {}
    waiting: dict[int, Due] = {}
    for index, steps in enumerate(streams):
        _go_on(index, steps, None, results, waiting)
        while index in waiting and waiting[index].networks.batch == 1:
            due = waiting.pop(index)
            _go_on(index, steps, _embed([due])[0], results, waiting)
    while waiting:
        batch = _batch(waiting)
        dues = [waiting.pop(index) for index in batch]
        for index, embedded in zip(batch, _embed(dues), strict=True):
            _go_on(index, streams[index], embedded, results, waiting)
    return [results[index] for index in range(len(streams))]


def _go_on(
    index: int,
    steps: Steps[T],
    embedded: Embedded | None,
    results: dict[int, T],
    waiting: dict[int, Due],
) -> None:
    try:
        waiting[index] = next(steps) if embedded is None else steps.send(embedded)
    except StopIteration as end:
        results[index] = end.value


def _batch(waiting: Mapping[int, Due]) -> list[int]:
    """The first that wait for the same networks, as many as these gain by."""
    networks = next(iter(waiting.values())).networks
    same = [index for index, due in waiting.items() if due.networks is networks]
    return same[: networks.batch]


def _embed(dues: Sequence[Due]) -> list[Embedded]:
    begun_s = time.perf_counter()
    networks = dues[0].networks
    if len(dues) == 1:
        found = networks.embed(dues[0].features)
        return [Embedded(found, time.perf_counter() - begun_s)]
    features = {
        name: np.concatenate([due.features[name] for due in dues]) for name in dues[0].features
    }
    embeddings = networks.embed(features)  # (B, …) -> (B, S, D)
    spent_s = time.perf_counter() - begun_s
    return [
        Embedded({name: z[row : row + 1] for name, z in embeddings.items()}, spent_s)
        for row in range(len(dues))
    ]
