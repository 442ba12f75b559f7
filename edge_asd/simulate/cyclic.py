"""Machines that work in cycles with pauses: valve and slider."""

from __future__ import annotations

import numpy as np

from edge_asd.simulate.blocks import (
    flow,
    radiation,
    rotor_rate_hz,
)
from edge_asd.simulate.dsp import TABLE_MIN, FloatArray, log_uniform
from edge_asd.simulate.kinematics import draw_bearing
from edge_asd.simulate.machine import Machine
from edge_asd.simulate.moment import Part, Shaft
from edge_asd.simulate.orders import decaying, gate, lines, ripple, sidebands
from edge_asd.simulate.parts import Impacts, Noise, Tones


def clicks(
    rng: np.random.Generator,
    name: str,
    *,
    level_db: float,
    phase: float,
    cycle_hz: float,
    path: str = "shell",
) -> list[Part]:
    """A knock with a few quickly decaying bounces (armature on its seat, end stop)."""
    parts: list[Part] = []
    at_s = 0.0
    for bounce in range(1 + int(rng.integers(1, 4))):
        parts.append(
            Impacts(
                name=name if bounce == 0 else f"{name}_{bounce}",
                path=path,
                level_db=level_db,
                shaft="cycle",
                phase=(phase + at_s * cycle_hz) % 1.0,
                jitter=min(0.0004 * cycle_hz, 0.02) * (1 + bounce),
                scatter_db=0.6 + 0.7 * bounce,
                wander_db=0.3,
            )
        )
        at_s += float(rng.uniform(0.002, 0.03)) / (1 + bounce)
        level_db -= float(rng.uniform(4.0, 10.0))
    return parts


def valve(rng: np.random.Generator, sample_rate: int) -> Machine:
    """Solenoid valve: click, flow while open, click, a puff of exhaust air."""
    cycle_hz = log_uniform(rng, 0.25, 3.0)
    opens, closes = 0.04, 0.04 + float(rng.uniform(0.12, 0.75))
    body_click = "body" if rng.random() < 0.4 else "shell"
    strength = float(rng.uniform(-5.0, 5.0))
    lag = min(float(rng.uniform(0.005, 0.05)) * cycle_hz, 0.03)  # armature travel
    rise, fall = (float(rng.uniform(0.005, 0.06)) * cycle_hz for _ in range(2))
    puff = gate(closes + lag, min(closes + lag + 0.03, 0.97), 0.002, 0.06 * cycle_hz)
    hum_hz = float(rng.choice([100.0, 120.0]))
    shafts = (
        Shaft(
            "cycle",
            cycle_hz,
            wander=log_uniform(rng, 0.001, 0.03),
            wander_hz=(0.05, 1.0),
            inertia=False,
        ),
        Shaft("hum", hum_hz, wander=0.0003, supply=True, inertia=False),
        Shaft("rotor", rotor_rate_hz(rng, 15.0, 60.0), slip=0.03),  # the pump behind the valve
    )
    hum = decaying(rng, range(1, 10), float(rng.uniform(2.0, 6.0)), 5.0)
    parts: list[Part] = [
        *clicks(rng, "click_open", level_db=strength, phase=opens + lag, cycle_hz=cycle_hz),
        *clicks(
            rng,
            "click_close",
            level_db=strength + float(rng.uniform(-8.0, 3.0)),
            phase=closes + lag,
            cycle_hz=cycle_hz,
            path=body_click,
        ),
        Noise(
            name="flow",
            path="hiss" if rng.random() < 0.4 else "air",
            level_db=float(rng.uniform(-22.0, -5.0)),
            shaft="rotor",
            load_db=4.0,
            am=gate(opens + lag, closes + lag, rise, fall),
            am_shaft="cycle",
        ),
        Noise(
            name="puff",
            path="hiss",
            level_db=float(rng.uniform(-20.0, -4.0)),
            shaft="rotor",
            load_db=4.0,
            am=puff,
            am_shaft="cycle",
        ),
        Tones(
            name="hum",
            path="tone",
            level_db=float(rng.uniform(-34.0, -20.0)),
            shaft="hum",
            table=lines(rng, hum, hum_hz, sample_rate),
            am=gate(opens, closes, 0.004, 0.004),
            am_shaft="cycle",
        ),
        flow(rng, float(rng.uniform(-32.0, -14.0)), name="plant", path="body"),
    ]
    return Machine(
        "valve",
        sample_rate,
        shafts,
        tuple(parts),
        radiation(rng, sample_rate, air_corner_hz=(400.0, 3000.0), air_slope_db=(-6.0, -2.0)),
        float(rng.uniform(0.02, 0.08)),
        draw_bearing(rng),
        main="cycle",
    )


def _stroke(rng: np.random.Generator) -> tuple[FloatArray, tuple[float, ...]]:
    """Speed of a linear rail over one cycle (mean 1) and the phases of its four stops."""
    size = TABLE_MIN
    phase = np.arange(size) / size
    move = float(rng.uniform(0.22, 0.46))
    edge = move * float(rng.uniform(0.08, 0.4))
    second = 0.5 if rng.random() < 0.6 else float(rng.uniform(move + 0.04, 0.96 - move))
    speed = np.zeros(size)
    for start, pace in ((0.02, 1.0), (second + 0.02, float(rng.uniform(0.8, 1.0)))):
        into = phase - start
        ramp = np.minimum(into, move - 0.02 - into) / edge  # trapezoid
        speed += pace * np.clip(ramp, 0.0, 1.0)
    table = np.append(speed, speed[0]) / speed.mean()
    return table.astype(np.float32), (0.02, move, second + 0.02, second + move)


def slider(rng: np.random.Generator, sample_rate: int) -> Machine:
    """Linear rail driven forth and back by a screw or belt, with pauses."""
    cycle_hz = log_uniform(rng, 0.12, 1.1)
    profile, stops = _stroke(rng)
    turns = log_uniform(rng, 3.0, 22.0) / cycle_hz  # mean speed of the screw: 3-22 Hz
    rate = turns * cycle_hz * float(profile.max())
    shafts = (
        Shaft("cycle", cycle_hz, wander=log_uniform(rng, 0.001, 0.01), inertia=False),
        Shaft("rotor", 0.0, parent="cycle", ratio=turns, profile=profile, wander=0.002),
        Shaft("servo", float(rng.uniform(0.2, 1.0) * 7000.0), wander=0.0002, supply=True),
    )
    balls = int(rng.integers(6, 24))
    orders = decaying(rng, range(1, 9), 3.0, 4.0)
    passing = decaying(rng, range(balls, balls * 8, balls), float(rng.uniform(2.0, 6.0)), 4.0)
    parts: list[Part] = [
        Noise(
            name="rolling",
            path="body",
            level_db=float(rng.uniform(-2.0, 1.0)),
            shaft="rotor",
            speed_power=float(rng.uniform(0.8, 1.4)),
            load_db=2.0,
        ),
        Noise(
            name="friction",
            path="hiss",
            level_db=float(rng.uniform(-22.0, -8.0)),
            shaft="rotor",
            speed_power=1.0,
            am=ripple(float(rng.uniform(0.1, 0.6))),
            am_shaft="rotor",
        ),
        flow(rng, float(rng.uniform(-12.0, -3.0)), power=1.0),
        Tones(
            name="screw",
            path="tone",
            level_db=float(rng.uniform(-20.0, -6.0)),
            shaft="rotor",
            table=lines(rng, orders, rate, sample_rate),
        ),
        Tones(
            name="ball_pass",
            path="tone",
            level_db=float(rng.uniform(-20.0, -6.0)),
            shaft="rotor",
            table=lines(rng, sidebands(rng, passing, 14.0, 2), rate, sample_rate),
            wander_db=1.0,
        ),
        Tones(
            name="servo",
            path="tone",
            level_db=float(rng.uniform(-40.0, -24.0)),
            shaft="servo",
            table=lines(rng, {1: 1.0}, 1.0, sample_rate),
        ),
        Noise(name="idle", path="air", level_db=float(rng.uniform(-24.0, -12.0)), shaft="servo"),
    ]
    for number, phase in enumerate(stops):
        level = float(rng.uniform(-20.0, -4.0))
        path = "body" if rng.random() < 0.7 else "shell"
        parts += clicks(
            rng, f"stop_{number}", level_db=level, phase=phase, cycle_hz=cycle_hz, path=path
        )[:2]
    return Machine(
        "slider",
        sample_rate,
        shafts,
        tuple(parts),
        radiation(rng, sample_rate),
        float(rng.uniform(0.01, 0.05)),
        draw_bearing(rng),
        counts={"balls": balls},
    )
