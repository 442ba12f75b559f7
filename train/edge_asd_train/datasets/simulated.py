"""Simulated machines to train on: each as it sounds normally, and with every one of its faults.

A unit is drawn and heard exactly as one of the simulated data set (``simulated_plan``): several
operating points, a shifted domain, one room and one microphone, and normal clips that differ in
noise, speed, load, gain and colour. Units take the difficulties of the data set in turn.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import UsageError
from edge_asd.simulate import KINDS
from edge_asd_train.datasets.simulated_clip import render_clip
from edge_asd_train.datasets.simulated_plan import (
    DIFFICULTIES,
    Options,
    PlannedClip,
    World,
    draw_world,
    plan_cell,
)
from edge_asd_train.datasets.store import Clip, Pending

NORMAL_CLIPS = {"source": 9, "target": 3}
"""Normal clips of a unit by domain."""
FAULTY_CLIPS = {"source": 6, "target": 2}
CLIPS = sum(NORMAL_CLIPS.values()) + sum(FAULTY_CLIPS.values())
"""Clips of a unit."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One simulated machine of a training set."""

    number: int
    options: Options
    world: World

    @property
    def name(self) -> str:
        """Unique within the set."""
        return f"simulated/{self.world.scene.kind}-{self.number:04d}"

    def clips(self) -> Iterator[PlannedClip]:
        """Normal clips, then faulty ones."""
        for domain, count in NORMAL_CLIPS.items():
            yield from plan_cell(self.options, self.world, "train", domain, count)  # type: ignore[arg-type]
        for domain, count in FAULTY_CLIPS.items():
            yield from plan_cell(  # the test clips of a data set, where faults are
                self.options,
                self.world,
                "test",
                domain,  # type: ignore[arg-type]
                count,
                anomalous=True,
            )


def kinds_without(left_out: Sequence[str]) -> tuple[str, ...]:
    """The machine kinds that remain.

    Raises:
        UsageError: One of those to be left out does not exist, or none remains.
    """
    unknown = sorted(set(left_out) - set(KINDS))
    if unknown:
        raise UsageError(f"machine kind {unknown[0]!r} is unknown; known: {', '.join(KINDS)}")
    kept = tuple(kind for kind in KINDS if kind not in left_out)
    if not kept:
        raise UsageError("every machine kind is left out; keep at least one")
    return kept


def plan_units(
    count: int, *, seed: int, duration_s: float, sample_rate: int, left_out: Sequence[str] = ()
) -> list[Unit]:
    """Draw the units of a training set, kinds and difficulties in turn.

    Args:
        count: Number of units, at least 1.
        seed: Same seed, same units.
        duration_s: Length of a clip in seconds.
        sample_rate: Hz.
        left_out: Machine kinds of which none is drawn.
    """
    kept = kinds_without(left_out)
    names = tuple(DIFFICULTIES)
    units = []
    for number in range(count):
        options = Options(
            clips=sum(NORMAL_CLIPS.values()),
            # Far from the seeds that a data set would be given by hand.
            seed=_own_seed(seed, number),
            difficulty=names[number // len(kept) % len(names)],
            duration_s=duration_s,
            sample_rate=sample_rate,
        )
        kind = KINDS.index(kept[number % len(kept)])
        units.append(Unit(number, options, draw_world(options, kind)))
    return units


def render_unit(unit: Unit) -> list[NDArray[np.int16]]:
    """Every clip of a unit, in the order of ``Unit.clips``."""
    return [render_clip(clip, unit.options.duration_s) for clip in unit.clips()]


def simulated_machines(
    count: int,
    *,
    seed: int,
    duration_s: float,
    sample_rate: int = 16_000,
    left_out: Sequence[str] = (),
    processes: int = 1,
) -> Pending:
    """Clips of simulated machines.

    The class of a normal clip is its unit and operating point, that of a faulty one its unit and
    fault.

    Args:
        count: Number of units, at least 1.
        seed: Same seed, same clips, whatever ``processes`` is.
        duration_s: Length of a clip in seconds.
        sample_rate: Hz.
        left_out: Machine kinds of which there shall be none.
        processes: How many render side by side.
    """
    units = plan_units(
        count, seed=seed, duration_s=duration_s, sample_rate=sample_rate, left_out=left_out
    )

    def stream() -> Iterator[Clip]:
        for unit, rendered in zip(units, _rendered(units, processes), strict=True):
            for clip, samples in zip(unit.clips(), rendered, strict=True):
                told = "_".join(value for pair in clip.point.attributes for value in pair)
                label = f"{unit.name}/{clip.fault.name if clip.fault else told}"
                yield Clip(samples, label, unit.name, faulty=clip.fault is not None)

    return Pending(count * CLIPS, stream, round(count * CLIPS * duration_s * sample_rate))


def _own_seed(seed: int, number: int) -> int:
    return int(np.random.default_rng([seed, number, 7]).integers(2**31))


def _rendered(units: Sequence[Unit], processes: int) -> Iterator[list[NDArray[np.int16]]]:
    if processes == 1:
        yield from map(render_unit, units)
        return
    # Spawned, not forked: the parent has torch's threads running.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        # Few units at a time, so that finished clips do not pile up in memory.
        for first in range(0, len(units), 8 * processes):
            yield from pool.map(render_unit, units[first : first + 8 * processes])
