"""Simulated machines as training classes.

A class is one unit at one operating point, or the same unit with a pronounced fault, so that the
network learns what tells a faulty unit from a sound one. Everything that is not the machine (room,
microphone, surroundings) is drawn for every clip from pools shared by all classes: it never tells
a class.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_asd.simulate import KINDS, Fault, Scene, draw_scene, faults_of, render, shifted
from edge_asd_train.datasets.decode import to_int16
from edge_asd_train.datasets.store import Clip, Pending

_PLACES = 32
"""Rooms, microphones and surroundings in each shared pool."""


@dataclass(frozen=True, slots=True)
class SimulatedClass:
    """One class of simulated sound."""

    name: str
    machine: str
    scene: Scene
    """Unit and operating point; place and surroundings change with every clip."""
    fault: Fault | None
    seed: int


def plan_classes(machines: int, *, seed: int, sample_rate: int = 16_000) -> list[SimulatedClass]:
    """Classes of a number of simulated units, kinds in turn.

    Every unit is a class; every second one is another with a fault, every third one a third at
    another speed and load.

    Args:
        machines: Number of units, at least 1.
        seed: Same seed, same classes.
        sample_rate: Hz.
    """
    planned = []
    for number in range(machines):
        rng = np.random.default_rng([seed, number])
        kind = KINDS[number % len(KINDS)]
        scene = draw_scene(rng, kind, sample_rate=sample_rate)
        machine = f"simulated/{kind}-{number:04d}"
        variants: list[tuple[str, Scene, Fault | None]] = [(machine, scene, None)]
        name = str(rng.choice(faults_of(kind)))
        fault = Fault(name, float(rng.uniform(0.6, 1.0)))
        if number // len(KINDS) % 2 == 0:
            variants.append((f"{machine}/{name}", scene, fault))
        if number // len(KINDS) % 3 == 0:
            variants.append((f"{machine}/shifted", shifted(scene, rng), None))
        for label, variant, wrong in variants:
            own_seed = int(rng.integers(2**31))
            planned.append(SimulatedClass(label, machine, variant, wrong, own_seed))
    return planned


def render_class(
    planned: SimulatedClass, clips: int, duration_s: float, pool_seed: int
) -> NDArray[np.int16]:
    """Clips of a class, each another moment in another place, shape (clips, n)."""
    rng = np.random.default_rng(planned.seed)
    pools = np.random.default_rng([pool_seed, _PLACES]).integers(0, 2**31, (3, _PLACES))
    rendered = []
    for clip in range(clips):
        room, microphone, noise = (int(rng.choice(pool)) for pool in pools)
        scene = replace(
            planned.scene,
            room=room,
            microphone=microphone,
            noise=noise,
            snr_db=float(rng.uniform(3.0, 25.0)),
        )
        seed = planned.seed + clip
        rendered.append(to_int16(render(scene, duration_s, seed=seed, fault=planned.fault)))
    return np.stack(rendered)


def simulated_machines(
    machines: int,
    *,
    seed: int,
    duration_s: float,
    clips: int = 8,
    sample_rate: int = 16_000,
    processes: int = 1,
) -> Pending:
    """Clips of simulated machines.

    Args:
        machines: Number of units, at least 1.
        seed: Same seed, same clips, whatever ``processes`` is.
        duration_s: Length of a clip in seconds.
        clips: Clips of a class.
        sample_rate: Hz.
        processes: How many render side by side.
    """
    planned = plan_classes(machines, seed=seed, sample_rate=sample_rate)

    def stream() -> Iterator[Clip]:
        for one, samples in zip(planned, _rendered(planned, processes, work), strict=True):
            for clip in samples:
                yield Clip(clip, label=one.name, machine=one.machine)

    work = (clips, duration_s, seed)
    return Pending(len(planned) * clips, stream)


def _rendered(
    planned: Sequence[SimulatedClass], processes: int, work: tuple[int, float, int]
) -> Iterator[NDArray[np.int16]]:
    if processes == 1:
        for one in planned:
            yield render_class(one, *work)
        return
    # Spawned, not forked: the parent has torch's threads running.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        # Few classes at a time, so that finished clips do not pile up in memory.
        for first in range(0, len(planned), 8 * processes):
            part = planned[first : first + 8 * processes]
            yield from pool.map(render_class, part, *([value] * len(part) for value in work))
