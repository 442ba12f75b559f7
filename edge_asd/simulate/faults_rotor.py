"""Faults of rotors, bearings and motors."""

from __future__ import annotations

import numpy as np

from edge_asd.simulate.dsp import log_uniform
from edge_asd.simulate.kinematics import load_zone
from edge_asd.simulate.machine import Builder, Machine, present
from edge_asd.simulate.moment import FaultModel, Part, Shaft
from edge_asd.simulate.orders import decaying, lines, ripple
from edge_asd.simulate.parts import Impacts, Noise, Tones


def bearing(defect: str) -> Builder:
    """Localised defect: impacts at its kinematic frequency, with 1-2 % slip and jitter."""

    def build(rng: np.random.Generator, machine: Machine) -> FaultModel:
        geometry = machine.bearing
        order = {
            "outer": geometry.bpfo_order,
            "inner": geometry.bpfi_order,
            "ball": 2.0 * geometry.bsf_order,
            "cage": geometry.ftf_order,
        }[defect]
        support = "rotor"
        shafts = [
            Shaft("cage", 0.0, parent=support, ratio=geometry.ftf_order, wander=0.005),
            Shaft("defect", 0.0, parent=support, ratio=order, wander=0.008),
        ]
        zone = load_zone(float(rng.uniform(0.5, 0.95)))
        am = {"outer": None, "inner": zone, "ball": zone, "cage": None}[defect]
        level_db = float(rng.uniform(-7.0, 0.0))
        hit = Impacts(
            name="defect",
            path="shell",
            level_db=level_db + (4.0 if defect == "cage" else 0.0),
            shaft="defect",
            jitter=float(rng.uniform(0.01, 0.02)),
            scatter_db=1.5,
            am=am,
            am_shaft={"inner": support, "ball": "cage"}.get(defect),
            load_db=3.0,
            speed_power=1.5,
        )
        felt = Impacts(  # the same impacts, felt through the casing
            name="defect",
            path="body",
            level_db=level_db - float(rng.uniform(4.0, 12.0)),
            shaft="defect",
            jitter=hit.jitter,
            am=am,
            am_shaft=hit.am_shaft,
            load_db=3.0,
            speed_power=1.5,
        )
        parts: tuple[Part, ...] = (hit, felt)
        if defect == "cage":
            rub = Noise(
                name="cage_rub",
                path="hiss",
                level_db=float(rng.uniform(-9.0, -4.0)),
                shaft="cage",
                am=ripple(0.9, 1, 3.0),
                am_shaft="cage",
            )
            parts = (hit, felt, rub)
        return FaultModel(parts, tuple(shafts), present(machine, {"rolling": 6.0}))

    return build


def imbalance(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Mass off centre: growth at once a turn (and a little at its harmonics)."""
    rate = machine.rate_hz("rotor")
    strong = {1: 1.0, 2: 0.35, 3: 0.2, 4: 0.12, 5: 0.08, 6: 0.05}
    parts = (
        Tones(
            name="unbalance",
            path="tone",
            level_db=float(rng.uniform(1.0, 6.0)),
            shaft="rotor",
            table=lines(rng, strong, rate, machine.sample_rate),
            speed_power=2.0,
        ),
        Noise(  # the whirling rotor shakes the casing once a turn
            name="shaken",
            path="body",
            level_db=float(rng.uniform(-3.0, 2.0)),
            shaft="rotor",
            am=ripple(0.9),
            am_shaft="rotor",
        ),
    )
    gains = present(machine, {"shaft_1x": 10.0, "shaft_nx": 4.0, "blade_pass": 3.0})
    return FaultModel(parts, gains_db=gains, wander=0.5)


def misalignment(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Shafts not in line: growth at twice (and three times) a turn."""
    rate = machine.rate_hz("rotor")
    orders = {1: 0.5, 2: 1.0, 3: 0.5, 4: 0.35, 6: 0.2, 8: 0.1}
    parts = (
        Tones(
            name="misaligned",
            path="tone",
            level_db=float(rng.uniform(1.0, 6.0)),
            shaft="rotor",
            table=lines(rng, orders, rate, machine.sample_rate),
            speed_power=2.0,
            load_db=2.0,
        ),
        Noise(
            name="coupling",
            path="body",
            level_db=float(rng.uniform(-3.0, 2.0)),
            shaft="rotor",
            am=ripple(0.9, 2),
            am_shaft="rotor",
        ),
    )
    return FaultModel(parts, gains_db=present(machine, {"shaft_2x": 10.0, "mesh_*": 4.0}))


def looseness(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Loose foot or cover: sub-harmonics, many harmonics and random rattle."""
    orders = decaying(rng, range(1, 50), 0.5, 4.0)
    rate = 0.5 * machine.rate_hz("rotor")
    half = Shaft("half", 0.0, parent="rotor", ratio=0.5, wander=0.0)
    rattle_orders = rng.integers(1, 4, 2)
    shafts = [half]
    parts: list[Part] = [
        Tones(
            name="loose_lines",
            path="body",
            level_db=float(rng.uniform(-14.0, -7.0)),
            shaft="half",
            table=lines(rng, orders, rate, machine.sample_rate),
            speed_power=1.5,
            wander_db=2.0,
        )
    ]
    for number, order in enumerate(rattle_orders):
        name = f"rattle_{number}"
        shafts.append(Shaft(name, 0.0, parent="rotor", ratio=float(order), wander=0.01))
        parts.append(
            Impacts(
                name=name,
                path="shell" if number else "body",
                level_db=float(rng.uniform(-9.0, -2.0)),
                shaft=name,
                jitter=0.08,
                scatter_db=5.0,
                probability=float(rng.uniform(0.3, 0.8)),
                patchy=0.6,
            )
        )
    gains = present(machine, {"shaft_nx": 8.0, "casing": 3.0})
    return FaultModel(tuple(parts), tuple(shafts), gains)


def supply_fault(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Low or unbalanced voltage: hum grows, the rotor falls behind."""
    rate = machine.rate_hz("hum")
    table = lines(rng, decaying(rng, range(1, 14), 2.0, 3.0), rate, machine.sample_rate)
    parts = (
        Tones(
            name="phase_hum",
            path="tone",
            level_db=float(rng.uniform(-2.0, 4.0)),
            shaft="hum",
            table=table,
            load_db=2.0,
        ),
    )
    gains = present(machine, {"hum": 6.0, "slots": 5.0})
    return FaultModel(parts, gains_db=gains, speed=-float(rng.uniform(0.04, 0.12)), wander=1.0)


def broken_bar(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Broken rotor bar: torque, hum and slots pulsate at the pole-pass (slip) frequency."""
    pulse = Shaft("pole_pass", log_uniform(rng, 1.0, 5.0), wander=0.03)
    rate = machine.rate_hz("rotor")
    orders = decaying(rng, range(10, 60), 0.0, 4.0)
    parts = (
        Tones(
            name="bar_lines",
            path="tone",
            level_db=float(rng.uniform(-3.0, 2.0)),
            shaft="rotor",
            table=lines(rng, orders, rate, machine.sample_rate),
            am=ripple(1.0, 1, 2.0),
            am_shaft="pole_pass",
        ),
        Noise(
            name="bar_growl",
            path="body",
            level_db=float(rng.uniform(-3.0, 2.0)),
            shaft="rotor",
            am=ripple(1.0, 1, 2.0),
            am_shaft="pole_pass",
        ),
    )
    return FaultModel(parts, (pulse,), present(machine, {"slots": 5.0}), speed=-0.02)
