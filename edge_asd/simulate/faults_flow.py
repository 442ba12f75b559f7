"""Faults of what moves gas or liquid: cavitation, blockage, blades, leaks, valves."""

from __future__ import annotations

import numpy as np

from edge_asd.simulate.dsp import log_uniform
from edge_asd.simulate.machine import Machine, present
from edge_asd.simulate.moment import FaultModel
from edge_asd.simulate.orders import gate, lines, ripple, sidebands
from edge_asd.simulate.parts import Crackle, Impacts, Noise, Tones


def cavitation(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Collapsing bubbles: broadband crackle, strongest as each vane passes."""
    vanes = machine.count("vanes")
    shared = {"shaft": "rotor", "am_shaft": "rotor"}
    parts = tuple(
        Crackle(
            name=f"cavitation_{path}",
            path=path,
            level_db=float(rng.uniform(low, high)),
            rate_hz=log_uniform(rng, 300.0, 3000.0),
            am=ripple(float(rng.uniform(0.4, 0.9)), vanes),
            patchy=0.4,
            speed_power=2.0,
            **shared,  # type: ignore[arg-type]
        )
        for path, low, high in (("hiss", -9.0, -1.0), ("body", -7.0, 0.0))
    )
    return FaultModel(parts, gains_db=present(machine, {"vane_pass": 3.0}), wander=1.0)


def blocked_flow(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Clogged filter or closed damper: stall. Low rumble up, wash down, speed changes."""
    parts = (
        Noise(
            name="stall",
            path="body",
            level_db=float(rng.uniform(0.0, 5.0)),
            shaft="rotor",
            speed_power=2.0,
            wander_db=2.5,
            wander_hz=(0.3, 8.0),
        ),
    )
    gains = {
        "flow": float(rng.uniform(-8.0, -4.0)),
        "suction": float(rng.uniform(-8.0, -4.0)),
        "blade_pass": float(rng.uniform(4.0, 9.0)),
        "vane_pass": float(rng.uniform(4.0, 9.0)),
    }
    speed = float(rng.uniform(0.02, 0.07))
    return FaultModel(parts, gains_db=present(machine, gains), speed=speed, wander=2.0)


def damaged_blade(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """One blade or vane chipped: blade pass gains sidebands at once a turn, wash throbs."""
    counts = machine.counts or {}
    blades = counts.get("blades") or counts["vanes"]
    rate = machine.rate_hz("rotor")
    carriers = {blades * k: 1.0 / k for k in range(1, 5)}
    bands = sidebands(rng, carriers, 3.0, min(blades - 1, 5) or 1)
    for carrier in carriers:
        bands.pop(carrier)
    parts = (
        Tones(
            name="uneven_blades",
            path="tone",
            level_db=float(rng.uniform(-3.0, 3.0)),
            shaft="rotor",
            table=lines(rng, {1: 1.0, **bands}, rate, machine.sample_rate),
            speed_power=2.5,
        ),
        Noise(
            name="throb",
            path="air",
            level_db=float(rng.uniform(-2.0, 3.0)),
            shaft="rotor",
            speed_power=2.5,
            am=ripple(1.0, 1, 3.0),
            am_shaft="rotor",
        ),
    )
    return FaultModel(parts, gains_db=present(machine, {"shaft_1x": 8.0}))


def missing_propeller(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """The propeller is gone: no wash, no blade pass, a faster and whining motor."""
    gains = {"flow": -26.0, "tip": -26.0, "blade_pass": -30.0, "commutation": 8.0, "rolling": 6.0}
    return FaultModel(gains_db=present(machine, gains), speed=float(rng.uniform(0.1, 0.2)))


def leak(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Gas or liquid escaping: a steady hiss."""
    parts = (
        Noise(
            name="leak",
            path="hiss",
            level_db=float(rng.uniform(-7.0, -1.0)),
            speed_power=1.0,
            load_db=4.0,
            wander_db=0.8,
        ),
    )
    return FaultModel(parts, gains_db=present(machine, {"pulses": -3.0}))


def valve_leak(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """A seat that does not close: flow noise where there should be silence."""
    parts = tuple(
        Noise(
            name=f"seat_{path}",
            path=path,
            level_db=float(rng.uniform(low, high)),
            shaft="rotor",
            load_db=4.0,
            wander_db=1.0,
        )
        for path, low, high in (("hiss", -8.0, -2.0), ("air", -9.0, -2.0))
    )
    gains = {"click_close*": -4.0, "suction_valve*": -6.0, "discharge_valve*": -4.0}
    return FaultModel(parts, gains_db=present(machine, gains))


def sluggish(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """A sticking armature: soft clicks, throttled flow, a scrape as it moves."""
    scrape = gate(0.04, 0.04 + float(rng.uniform(0.1, 0.3)), 0.01, 0.03)
    parts = (
        Noise(
            name="scrape",
            path="shell",
            level_db=float(rng.uniform(-4.0, 2.0)),
            shaft="cycle",
            am=scrape,
            am_shaft="cycle",
        ),
    )
    gains = {"click_*": -14.0, "flow": -6.0, "puff": -6.0, "hum": 6.0}
    return FaultModel(parts, gains_db=present(machine, gains))


def chatter(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """A weak coil: the armature buzzes against its stop at twice the mains frequency."""
    parts = (
        Impacts(
            name="chatter",
            path="shell",
            level_db=float(rng.uniform(-5.0, 1.0)),
            shaft="hum",
            jitter=0.03,
            scatter_db=2.5,
            am=gate(0.05, float(rng.uniform(0.2, 0.7)), 0.01, 0.01),
            am_shaft="cycle",
        ),
    )
    gains = present(machine, {"hum": 16.0, "click_open*": -3.0})
    return FaultModel(parts, gains_db=gains)


def contamination(rng: np.random.Generator, machine: Machine) -> FaultModel:
    """Grit in the seat: crackling flow and dull, irregular closing."""
    parts = tuple(
        Crackle(
            name=f"grit_{path}",
            path=path,
            level_db=float(rng.uniform(-5.0, 1.0)),
            rate_hz=log_uniform(rng, 80.0, 600.0),
            shaft="rotor",
            am=gate(0.05, float(rng.uniform(0.3, 0.7)), 0.02, 0.05),
            am_shaft="cycle",
        )
        for path in ("shell", "hiss")
    )
    gains = {"click_close*": -6.0, "flow": 4.0}
    return FaultModel(parts, gains_db=present(machine, gains))
