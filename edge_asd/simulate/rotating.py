"""Machines that turn steadily: pump, fan, drone motor, bearing rig, electric motor."""

from __future__ import annotations

import numpy as np

from edge_asd.simulate.blocks import (
    flow,
    motor,
    radiation,
    rolling,
    rotor,
    rotor_lines,
    rotor_rate_hz,
)
from edge_asd.simulate.dsp import decibels, log_uniform
from edge_asd.simulate.kinematics import draw_bearing
from edge_asd.simulate.machine import Machine
from edge_asd.simulate.moment import Part
from edge_asd.simulate.orders import decaying, lines, ripple, sidebands
from edge_asd.simulate.parts import Crackle, Noise, Tones


def pump(rng: np.random.Generator, sample_rate: int) -> Machine:
    """Centrifugal pump, or (one in four) a displacement pump with strong pulsation."""
    rate = rotor_rate_hz(rng, 12.0, 62.0)
    vanes = int(rng.integers(3, 10))
    displacement = rng.random() < 0.25
    depth = float(rng.uniform(0.4, 0.85) if displacement else rng.uniform(0.03, 0.3))
    shafts, electrical = motor(rng, rate, sample_rate, float(rng.uniform(-24.0, -7.0)))
    orders = decaying(rng, range(vanes, vanes * 9, vanes), float(rng.uniform(3.0, 7.0)))
    orders = sidebands(rng, orders, float(rng.uniform(14.0, 26.0)), 2)
    parts: list[Part] = [
        flow(rng, float(rng.uniform(-4.0, 0.0)), humps=vanes, depth=depth),
        flow(rng, float(rng.uniform(-7.0, 0.0)), name="casing", path="body", power=2.0),
        Tones(
            name="vane_pass",
            path="tone",
            level_db=float(rng.uniform(-20.0, -7.0)),
            shaft="rotor",
            table=lines(rng, orders, rate, sample_rate),
            speed_power=2.0,
            load_db=2.0,
            wander_db=1.0,
        ),
        *rotor_lines(rng, rate, sample_rate, float(rng.uniform(-24.0, -12.0))),
        *electrical,
        rolling(rng, float(rng.uniform(-30.0, -16.0))),
    ]
    if rng.random() < 0.3:  # a little cavitation is normal at many operating points
        quiet = float(rng.uniform(-34.0, -24.0))
        rate_hz = log_uniform(rng, 200.0, 2000.0)
        parts.append(Crackle(name="bubbles", path="hiss", level_db=quiet, rate_hz=rate_hz))
    return Machine(
        "pump",
        sample_rate,
        (rotor(rng, rate, (0.0008, 0.004)), *shafts),
        tuple(parts),
        radiation(rng, sample_rate),
        float(rng.uniform(0.02, 0.08)),
        draw_bearing(rng),
        counts={"vanes": vanes},
    )


def fan(rng: np.random.Generator, sample_rate: int) -> Machine:
    """Axial or centrifugal fan: broadband air noise with blade-pass lines above it."""
    rate = rotor_rate_hz(rng, 9.0, 62.0)
    centrifugal = rng.random() < 0.4
    blades = int(rng.integers(12, 44) if centrifugal else rng.integers(3, 13))
    shafts, electrical = motor(rng, rate, sample_rate, float(rng.uniform(-26.0, -9.0)))
    orders = decaying(rng, range(blades, blades * 9, blades), float(rng.uniform(4.0, 9.0)))
    orders = sidebands(rng, orders, float(rng.uniform(15.0, 28.0)), 2)
    parts: list[Part] = [
        flow(rng, float(rng.uniform(-2.0, 0.0)), humps=blades, depth=float(rng.uniform(0.0, 0.25))),
        flow(rng, float(rng.uniform(-10.0, -1.0)), name="casing", path="body", power=2.2),
        Tones(
            name="blade_pass",
            path="tone",
            level_db=float(rng.uniform(-22.0, -6.0)),
            shaft="rotor",
            table=lines(rng, orders, rate, sample_rate),
            speed_power=2.5,
            load_db=2.0,
            wander_db=1.2,
        ),
        *rotor_lines(rng, rate, sample_rate, float(rng.uniform(-26.0, -12.0))),
        *electrical,
        rolling(rng, float(rng.uniform(-34.0, -20.0))),
    ]
    corner = (150.0, 700.0) if centrifugal else (250.0, 1600.0)
    return Machine(
        "fan",
        sample_rate,
        (rotor(rng, rate, (0.001, 0.005)), *shafts),
        tuple(parts),
        radiation(rng, sample_rate, air_corner_hz=corner),
        float(rng.uniform(0.02, 0.06)),
        draw_bearing(rng),
        counts={"blades": blades},
    )


def drone(rng: np.random.Generator, sample_rate: int) -> Machine:
    """Brushless outrunner with a propeller: rich blade-pass series, commutation whine."""
    rate = log_uniform(rng, 55.0, 240.0)
    blades = int(rng.choice([2, 2, 2, 3, 4]))
    pole_pairs = int(rng.choice([6, 7, 7, 11, 12, 14]))
    slots = int(rng.choice([9, 12, 12, 18, 24]))
    series = decaying(rng, range(blades, blades * 26, blades), float(rng.uniform(0.6, 2.6)), 3.5)
    series = sidebands(rng, series, float(rng.uniform(8.0, 22.0)), 1)
    electric = {pole_pairs: 0.5, 2 * pole_pairs: 0.7, 6 * pole_pairs: 1.0, 12 * pole_pairs: 0.4}
    electric[slots] = 0.6
    electric[2 * slots] = electric.get(2 * slots, 0.0) + 0.3
    scattered = {k: v * decibels(float(rng.normal(0.0, 5.0))) for k, v in electric.items()}
    parts: list[Part] = [
        flow(rng, float(rng.uniform(-3.0, 0.0)), humps=blades, depth=float(rng.uniform(0.1, 0.5))),
        Noise(
            name="tip",
            path="hiss",
            level_db=float(rng.uniform(-20.0, -8.0)),
            shaft="rotor",
            speed_power=3.0,
            am=ripple(float(rng.uniform(0.1, 0.5)), blades),
            am_shaft="rotor",
        ),
        Tones(
            name="blade_pass",
            path="tone",
            level_db=float(rng.uniform(-9.0, 1.0)),
            shaft="rotor",
            table=lines(rng, series, rate, sample_rate),
            speed_power=2.5,
            wander_db=1.0,
        ),
        Tones(
            name="commutation",
            path="tone",
            level_db=float(rng.uniform(-20.0, -8.0)),
            shaft="rotor",
            table=lines(rng, sidebands(rng, scattered, 14.0, 2), rate, sample_rate),
            wander_db=1.0,
        ),
        *rotor_lines(rng, rate, sample_rate, float(rng.uniform(-20.0, -8.0))),
        rolling(rng, float(rng.uniform(-30.0, -18.0))),
    ]
    return Machine(
        "drone",
        sample_rate,
        (rotor(rng, rate, (0.002, 0.009)),),
        tuple(parts),
        radiation(rng, sample_rate, air_corner_hz=(600.0, 4000.0), air_slope_db=(-6.0, -2.0)),
        float(rng.uniform(0.02, 0.06)),
        draw_bearing(rng),
        counts={"blades": blades, "pole_pairs": pole_pairs},
    )


def bearing_rig(rng: np.random.Generator, sample_rate: int) -> Machine:
    """A shaft in a loaded test bearing: rolling noise dominates, little else."""
    rate = rotor_rate_hz(rng, 9.0, 55.0)
    shafts, electrical = motor(rng, rate, sample_rate, float(rng.uniform(-22.0, -10.0)))
    parts: list[Part] = [
        flow(rng, float(rng.uniform(-5.0, -1.0)), power=1.8),
        flow(rng, float(rng.uniform(-4.0, 0.0)), name="casing", path="body", power=1.5),
        *rotor_lines(rng, rate, sample_rate, float(rng.uniform(-20.0, -9.0))),
        *electrical,
        rolling(rng, float(rng.uniform(-18.0, -9.0))),
    ]
    return Machine(
        "bearing",
        sample_rate,
        (rotor(rng, rate, (0.0006, 0.003)), *shafts),
        tuple(parts),
        radiation(rng, sample_rate),
        float(rng.uniform(0.01, 0.05)),
        draw_bearing(rng),
    )


def electric_motor(rng: np.random.Generator, sample_rate: int) -> Machine:
    """An electric motor by itself: hum, slots, and its cooling fan."""
    rate = rotor_rate_hz(rng, 9.0, 62.0)
    shafts, electrical = motor(rng, rate, sample_rate, float(rng.uniform(-10.0, -1.0)))
    blades = int(rng.integers(5, 14))
    orders = decaying(rng, range(blades, blades * 6, blades), float(rng.uniform(4.0, 9.0)))
    parts: list[Part] = [
        flow(rng, float(rng.uniform(-4.0, -1.0)), humps=blades, depth=float(rng.uniform(0.0, 0.2))),
        flow(rng, float(rng.uniform(-6.0, 0.0)), name="casing", path="body", power=1.5),
        Tones(
            name="blade_pass",
            path="tone",
            level_db=float(rng.uniform(-24.0, -10.0)),
            shaft="rotor",
            table=lines(rng, orders, rate, sample_rate),
            speed_power=2.5,
        ),
        *rotor_lines(rng, rate, sample_rate, float(rng.uniform(-22.0, -9.0))),
        *electrical,
        rolling(rng, float(rng.uniform(-26.0, -14.0))),
    ]
    return Machine(
        "motor",
        sample_rate,
        (rotor(rng, rate, (0.0006, 0.004)), *shafts),
        tuple(parts),
        radiation(rng, sample_rate),
        float(rng.uniform(0.02, 0.08)),
        draw_bearing(rng),
        counts={"blades": blades},
    )
