"""Faults where solids touch: teeth, dry friction, belts, knocks."""

from __future__ import annotations

import numpy as np

from edge_asd.simulate.dsp import log_uniform, wave_table
from edge_asd.simulate.machine import Builder, Machine, present
from edge_asd.simulate.moment import FaultModel, Part, Shaft
from edge_asd.simulate.orders import decaying, lines, ripple, sidebands
from edge_asd.simulate.parts import Impacts, Noise, Tones


def broken_tooth(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """One tooth broken: a knock each turn of the wheel, mesh with more sidebands."""
    shaft = "gear_1" if rng.random() < 0.5 else "rotor"
    phase = float(rng.uniform(0.0, 1.0))
    parts = tuple(
        Impacts(
            name="tooth",
            path=path,
            level_db=float(rng.uniform(low, high)),
            shaft=shaft,
            phase=phase,
            jitter=0.001,
            scatter_db=1.5,
            load_db=4.0,
        )
        for path, low, high in (("shell", -5.0, 2.0), ("body", -4.0, 3.0))
    )
    return FaultModel(parts, gains_db=present(machine, {"mesh_1": 4.0, "casing": 2.0}))


def worn_gear(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Worn flanks: upper mesh harmonics and their sidebands grow."""
    teeth = machine.count("pinion_1")
    carriers = decaying(rng, range(teeth, teeth * 11, teeth), 0.8, 3.0)
    rate = machine.rate_hz("rotor")
    parts = (
        Tones(
            name="worn_mesh",
            path="tone",
            level_db=float(rng.uniform(0.0, 5.0)),
            shaft="rotor",
            table=lines(rng, sidebands(rng, carriers, 5.0, 5), rate, machine.sample_rate),
            load_db=3.0,
            wander_db=1.5,
        ),
    )
    return FaultModel(parts, gains_db=present(machine, {"mesh_*": 4.0, "casing": 3.0}))


def rub(name: str, low_db: float, high_db: float, shaft: str, patchy: float = 0.4) -> Builder:
    """Dry friction: high-frequency noise that follows the motion."""

    def build(rng: np.random.Generator, machine: Machine) -> FaultModel:
        parts = tuple(
            Noise(
                name=f"{name}_{path}",
                path=path,
                level_db=float(rng.uniform(low_db, high_db)) + offset_db,
                shaft=shaft,
                speed_power=1.0,
                am=ripple(float(rng.uniform(0.5, 0.95)), 1, 2.0),
                am_shaft=shaft,
                patchy=patchy,
                load_db=3.0,
            )
            for path, offset_db in (("hiss", 0.0), ("shell", -3.0))
        )
        gains = {"rolling": 5.0, "friction": 6.0, "mesh_*": 3.0}
        return FaultModel(parts, gains_db=present(machine, gains))

    return build


def belt_squeal(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Stick-slip of a belt: a wavering narrow-band tone, coming and going with the belt."""
    rate = log_uniform(rng, 700.0, min(3800.0, 0.3 * machine.sample_rate))
    shafts = (Shaft("squeal", rate, wander=0.012, wander_hz=(0.5, 12.0)),)
    parts = (
        Tones(
            name="squeal",
            path="tone",
            level_db=float(rng.uniform(-3.0, 4.0)),
            shaft="squeal",
            table=wave_table(rng, {1: 1.0, 2: 0.3}),
            am=ripple(float(rng.uniform(0.4, 0.9)), 1, 1.5),
            am_shaft="belt" if machine.kind == "conveyor" else "rotor",
            patchy=0.7,
            load_db=4.0,
        ),
    )
    return FaultModel(parts, shafts)


def _somewhere_moving(rng: np.random.Generator, machine: Machine, shaft: str) -> float:
    """A phase of the cycle at which the machine moves (a rail is struck by what travels)."""
    profiles = [s.profile for s in machine.shafts if s.parent == shaft and s.profile is not None]
    if not profiles:
        return float(rng.uniform(0.0, 1.0))
    moving = np.flatnonzero(profiles[0] > 0.7 * profiles[0].max())
    return float(rng.choice(moving)) / (len(profiles[0]) - 1)


def knock(name: str, shaft: str, *, order: int = 1, path: str = "body") -> Builder:
    """A hard knock at fixed phases of a shaft: splice of a belt, piston slap, pitted rail."""

    def build(rng: np.random.Generator, machine: Machine) -> FaultModel:
        other = "shell" if path == "body" else "body"
        parts: list[Part] = []
        for number in range(order):
            phase = _somewhere_moving(rng, machine, shaft)
            for where, offset_db in ((path, 3.0), (other, -3.0)):
                parts.append(
                    Impacts(
                        name=f"{name}_{number}",
                        path=where,
                        level_db=float(rng.uniform(-2.0, 4.0)) + offset_db,
                        shaft=shaft,
                        phase=phase,
                        jitter=0.002,
                        scatter_db=2.0,
                        load_db=3.0,
                    )
                )
        gains = {"casing": 3.0, "rumble": 3.0, "rolling": 2.0, "clatter_*": 6.0}
        return FaultModel(tuple(parts), gains_db=present(machine, gains))

    return build
