"""Which machine, how it runs, where it is heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from edge_asd.simulate.cyclic import slider, valve
from edge_asd.simulate.driven import compressor, conveyor, gearbox
from edge_asd.simulate.dsp import child_rng, log_uniform
from edge_asd.simulate.faults import FAULTS
from edge_asd.simulate.machine import Machine
from edge_asd.simulate.moment import FaultModel
from edge_asd.simulate.rotating import bearing_rig, drone, electric_motor, fan, pump

_BUILDERS: dict[str, Callable[[np.random.Generator, int], Machine]] = {
    "pump": pump,
    "fan": fan,
    "gearbox": gearbox,
    "valve": valve,
    "slider": slider,
    "bearing": bearing_rig,
    "conveyor": conveyor,
    "compressor": compressor,
    "drone": drone,
    "motor": electric_motor,
}

KINDS: tuple[str, ...] = tuple(_BUILDERS)
"""All machine kinds."""

_SEEDS = 2**31


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong and how badly."""

    name: str
    """One of ``faults_of(kind)``."""
    severity: float = 1.0
    """0 is exactly normal, 1 is clearly audible."""

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0.0 <= self.severity <= 1.0:
            raise ValueError(f"severity={self.severity} is not in 0..1")


@dataclass(frozen=True, slots=True)
class Scene:
    """One machine, how it runs and where it is heard."""

    kind: str
    """One of ``KINDS``."""
    unit: int
    """Seed of the unit: its geometry, nominal speed, levels and resonances."""
    sample_rate: int = 16000
    """Hz, 8000 to 96000, a multiple of 1000."""
    speed: float = 1.0
    """Relative to the unit's nominal speed, 0.2 to 1.4."""
    load: float = 0.5
    """0 idle, 1 full."""
    room: int = 0
    """Seed of the room and of the places in it."""
    microphone: int = 0
    """Seed of the microphone's colour."""
    snr_db: float = 20.0
    """Level of the normal running machine over the background's; inf is no background."""
    noise: int = 0
    """Seed of the surroundings."""
    level_dbfs: float = -30.0
    """Rms level of the normal running machine, 0 dBFS being an rms of 1."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.kind not in _BUILDERS:
            raise ValueError(f"kind={self.kind!r} is unknown; known: {', '.join(KINDS)}")
        if not 8000 <= self.sample_rate <= 96000 or self.sample_rate % 1000:
            raise ValueError(
                f"sample_rate={self.sample_rate} is not a multiple of 1000 in 8-96 kHz"
            )
        if not 0.2 <= self.speed <= 1.4:
            raise ValueError(f"speed={self.speed} is not in 0.2..1.4")
        if not 0.0 <= self.load <= 1.0:
            raise ValueError(f"load={self.load} is not in 0..1")
        if min(self.unit, self.room, self.microphone, self.noise) < 0:
            raise ValueError("seeds (unit, room, microphone, noise) must not be negative")


def faults_of(kind: str) -> tuple[str, ...]:
    """Names of the faults that make sense for a machine kind.

    Args:
        kind: One of ``KINDS``.

    Returns:
        Names, in a fixed order.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in FAULTS:
        raise ValueError(f"kind={kind!r} is unknown; known: {', '.join(KINDS)}")
    return tuple(FAULTS[kind])


@lru_cache(maxsize=64)
def build_machine(kind: str, unit: int, sample_rate: int = 16000) -> Machine:
    """Draw a unit: the same seed is the same machine.

    Args:
        kind: One of ``KINDS``.
        unit: Seed.
        sample_rate: Hz; geometry and speed do not depend on it.

    Returns:
        The normal model of the unit.
    """
    return _BUILDERS[kind](child_rng(unit, kind, "unit"), sample_rate)


@lru_cache(maxsize=64)
def build_fault(kind: str, unit: int, sample_rate: int, name: str) -> FaultModel:
    """How the fault ``name`` shows on one unit at severity 1.

    Raises:
        ValueError: The kind has no such fault.
    """
    if name not in FAULTS[kind]:
        raise ValueError(f"fault={name!r} does not exist for {kind}: {', '.join(FAULTS[kind])}")
    machine = build_machine(kind, unit, sample_rate)
    return FAULTS[kind][name](child_rng(unit, kind, name, "fault"), machine)


def draw_scene(
    rng: np.random.Generator,
    kind: str | None = None,
    *,
    sample_rate: int = 16000,
    snr_db: tuple[float, float] = (0.0, 25.0),
) -> Scene:
    """Draw a realistic scene: a new unit in a new place.

    Args:
        rng: Source of all randomness.
        kind: Machine kind; None draws one.
        sample_rate: Hz.
        snr_db: Range of the signal-to-noise ratio.

    Returns:
        The scene.
    """
    chosen = str(rng.choice(KINDS)) if kind is None else kind
    unit, room, microphone, noise = (int(seed) for seed in rng.integers(0, _SEEDS, 4))
    return Scene(
        chosen,
        unit,
        sample_rate,
        speed=float(rng.uniform(0.85, 1.1)),
        load=float(rng.uniform(0.2, 0.9)),
        room=room,
        microphone=microphone,
        snr_db=float(rng.uniform(*snr_db)),
        noise=noise,
        level_dbfs=float(rng.uniform(-45.0, -20.0)),
    )


def shifted(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same unit and microphone in a target domain: other speed, load, room and noise.

    The level follows the speed as the sound of flow does (about 50 log10 of the speed ratio).

    Args:
        scene: Source domain.
        rng: Draws the shift.

    Returns:
        Target domain.
    """
    ratio = log_uniform(rng, 1.05, 1.25) ** float(rng.choice([-1.0, 1.0]))
    speed = float(np.clip(scene.speed * ratio, 0.5, 1.3))
    load = float(np.clip(scene.load + rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 0.5), 0.0, 1.0))
    room, noise = (int(seed) for seed in rng.integers(0, _SEEDS, 2))
    change_db = 50.0 * float(np.log10(speed / scene.speed)) + 4.0 * (load - scene.load)
    snr_db = scene.snr_db + change_db + float(rng.uniform(-4.0, 2.0))
    return replace(
        scene,
        speed=speed,
        load=load,
        room=room,
        noise=noise,
        snr_db=snr_db,
        level_dbfs=scene.level_dbfs + change_db,
    )
