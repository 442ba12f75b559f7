"""Machines in which a motor drives something: gearbox, conveyor, reciprocating compressor."""

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
from edge_asd.simulate.dsp import log_uniform
from edge_asd.simulate.kinematics import draw_bearing
from edge_asd.simulate.machine import Machine
from edge_asd.simulate.moment import Part, Shaft
from edge_asd.simulate.orders import decaying, lines, ripple, sidebands
from edge_asd.simulate.parts import Impacts, Noise, Tones


def gearbox(rng: np.random.Generator, sample_rate: int) -> Machine:
    """One or two gear stages: mesh lines with sidebands at the shafts' frequencies."""
    rate = rotor_rate_hz(rng, 12.0, 50.0)
    shafts, electrical = motor(rng, rate, sample_rate, float(rng.uniform(-26.0, -12.0)))
    all_shafts = [rotor(rng, rate, (0.0008, 0.004)), *shafts]
    parts: list[Part] = []
    counts: dict[str, int] = {}
    driving, driving_hz = "rotor", rate
    helical = rng.random() < 0.5
    for stage in range(1, 1 + int(rng.integers(1, 3))):
        pinion, ratio = int(rng.integers(13, 38)), float(rng.uniform(1.3, 4.5))
        wheel = round(pinion * ratio)
        counts[f"pinion_{stage}"], counts[f"wheel_{stage}"] = pinion, wheel
        carriers = decaying(
            rng, range(pinion, pinion * 8, pinion), float(rng.uniform(4.0, 9.0)), 3.5
        )
        table = sidebands(rng, carriers, float(rng.uniform(10.0, 22.0)), 3)
        driven = f"gear_{stage}"
        all_shafts.append(Shaft(driven, 0.0, parent=driving, ratio=pinion / wheel, wander=0.0))
        parts.append(
            Tones(
                name=f"mesh_{stage}",
                path="tone",
                level_db=float(rng.uniform(-12.0, -1.0)) - (3.0 if helical else 0.0),
                shaft=driving,
                table=lines(rng, table, driving_hz, sample_rate),
                load_db=float(rng.uniform(2.0, 5.0)),
                am=ripple(float(rng.uniform(0.03, 0.2))),
                am_shaft=driven,
                wander_db=1.0,
            )
        )
        driving, driving_hz = driven, driving_hz * pinion / wheel
    parts += [
        Noise(
            name="casing",
            path="body",
            level_db=float(rng.uniform(-2.0, 0.0)),
            shaft="rotor",
            speed_power=1.5,
            am=ripple(float(rng.uniform(0.02, 0.2))),
            am_shaft="gear_1",
            load_db=2.0,
        ),
        flow(rng, float(rng.uniform(-9.0, -2.0)), power=2.0),
        *rotor_lines(rng, rate, sample_rate, float(rng.uniform(-22.0, -12.0))),
        *electrical,
        rolling(rng, float(rng.uniform(-24.0, -14.0))),
    ]
    return Machine(
        "gearbox",
        sample_rate,
        tuple(all_shafts),
        tuple(parts),
        radiation(rng, sample_rate),
        float(rng.uniform(0.03, 0.1)),
        draw_bearing(rng),
        counts=counts,
    )


def conveyor(rng: np.random.Generator, sample_rate: int) -> Machine:
    """Belt conveyor: motor and gear, rumbling rollers, a belt that comes round."""
    rate = rotor_rate_hz(rng, 12.0, 50.0)
    shafts, electrical = motor(rng, rate, sample_rate, float(rng.uniform(-22.0, -9.0)))
    pinion = int(rng.integers(12, 30))
    mesh = decaying(rng, range(pinion, pinion * 7, pinion), float(rng.uniform(4.0, 8.0)), 3.0)
    roller_ratio = float(rng.uniform(0.06, 0.25))
    belt_ratio = roller_ratio * float(rng.uniform(0.03, 0.12))
    all_shafts = [
        rotor(rng, rate, (0.001, 0.006)),
        *shafts,
        Shaft("roller", 0.0, parent="rotor", ratio=roller_ratio, wander=0.002),
        Shaft("belt", 0.0, parent="rotor", ratio=belt_ratio, wander=0.002),
    ]
    parts: list[Part] = [
        Noise(
            name="rumble",
            path="body",
            level_db=float(rng.uniform(-2.0, 0.0)),
            shaft="roller",
            speed_power=1.3,
            load_db=3.0,
            am=ripple(float(rng.uniform(0.1, 0.5))),
            am_shaft="roller",
            wander_db=1.0,
        ),
        flow(rng, float(rng.uniform(-8.0, -1.0)), power=1.5),
        Noise(
            name="friction",
            path="hiss",
            level_db=float(rng.uniform(-26.0, -12.0)),
            shaft="belt",
            am=ripple(float(rng.uniform(0.1, 0.5))),
            am_shaft="belt",
        ),
        Tones(
            name="mesh_1",
            path="tone",
            level_db=float(rng.uniform(-18.0, -6.0)),
            shaft="rotor",
            table=lines(rng, sidebands(rng, mesh, 14.0, 3), rate, sample_rate),
            load_db=3.0,
            wander_db=1.0,
        ),
        *rotor_lines(rng, rate, sample_rate, float(rng.uniform(-24.0, -12.0))),
        *electrical,
        rolling(rng, float(rng.uniform(-28.0, -16.0))),
    ]
    parts += [  # eccentric or worn rollers clatter a little
        Impacts(
            name=f"clatter_{roller}",
            path="body",
            level_db=float(rng.uniform(-22.0, -10.0)),
            shaft="roller",
            phase=float(rng.uniform(0.0, 1.0)),
            jitter=0.03,
            scatter_db=4.0,
            probability=float(rng.uniform(0.4, 1.0)),
            load_db=2.0,
        )
        for roller in range(int(rng.integers(1, 5)))
    ]
    return Machine(
        "conveyor",
        sample_rate,
        tuple(all_shafts),
        tuple(parts),
        radiation(rng, sample_rate),
        float(rng.uniform(0.03, 0.12)),
        draw_bearing(rng),
        counts={"pinion_1": pinion},
    )


def compressor(rng: np.random.Generator, sample_rate: int) -> Machine:
    """Reciprocating compressor: gas pulses, plate-valve clicks, breathing suction noise."""
    rate = log_uniform(rng, 7.0, 28.0)
    cylinders = int(rng.integers(1, 4))
    shafts, electrical = motor(rng, rate, sample_rate, float(rng.uniform(-22.0, -9.0)))
    pulses = decaying(rng, range(1, 40), float(rng.uniform(0.6, 2.0)), 4.0)
    parts: list[Part] = [
        Tones(
            name="pulses",
            path="tone",
            level_db=float(rng.uniform(-8.0, 0.0)),
            shaft="rotor",
            table=lines(rng, pulses, rate, sample_rate),
            load_db=3.0,
            wander_db=0.8,
        ),
        flow(
            rng,
            float(rng.uniform(-4.0, 0.0)),
            name="suction",
            humps=cylinders,
            depth=float(rng.uniform(0.3, 0.95)),
            power=2.0,
        ),
        flow(rng, float(rng.uniform(-7.0, 0.0)), name="casing", path="body", power=1.5),
        *rotor_lines(rng, rate, sample_rate, float(rng.uniform(-18.0, -8.0))),
        *electrical,
        rolling(rng, float(rng.uniform(-28.0, -18.0))),
    ]
    first = float(rng.uniform(0.0, 1.0))
    for cylinder in range(cylinders):
        parts += [
            Impacts(
                name=f"{name}_{cylinder}",
                path="shell" if rng.random() < 0.6 else "body",
                level_db=float(rng.uniform(-20.0, -8.0)),
                shaft="rotor",
                phase=(first + cylinder / cylinders + valve_phase) % 1.0,
                jitter=0.004,
                scatter_db=1.5,
                load_db=2.0,
            )
            for valve_phase, name in ((0.0, "suction_valve"), (0.38, "discharge_valve"))
        ]
    return Machine(
        "compressor",
        sample_rate,
        (rotor(rng, rate, (0.002, 0.006)), *shafts),
        tuple(parts),
        radiation(rng, sample_rate),
        float(rng.uniform(0.02, 0.08)),
        draw_bearing(rng),
        counts={"cylinders": cylinders},
    )
