"""Building blocks that several machine kinds share: motors, rotors, bearings, flow, radiation.

Levels are relative to the machine's own level (0 dB). Lines stand some decibels above a
broadband that dominates, and the energy falls with frequency, as in recordings of real machines.
"""

from __future__ import annotations

import numpy as np

from edge_asd.simulate.dsp import (
    FloatArray,
    bumpy_colour_db,
    decibels,
    log_uniform,
    minimum_phase,
    modal_kernel,
    unit_energy,
)
from edge_asd.simulate.moment import Part, Shaft
from edge_asd.simulate.orders import decaying, lines, ripple
from edge_asd.simulate.parts import Noise, Tones

_INDUCTION_HZ = (12.3, 16.4, 24.4, 29.2, 48.6, 58.4)  # 8, 6, 4, 2 poles at 50 and 60 Hz, slip


def rotor_rate_hz(rng: np.random.Generator, low: float, high: float) -> float:
    """Nominal speed: often that of a mains-fed induction motor, else anything (inverter)."""
    mains = [rate for rate in _INDUCTION_HZ if low <= rate <= high]
    if mains and rng.random() < 0.5:
        return float(rng.choice(mains)) * float(rng.uniform(0.985, 1.012))
    return log_uniform(rng, low, high)


def rotor(rng: np.random.Generator, rate_hz: float, wander: tuple[float, float]) -> Shaft:
    """The main shaft, with its own steadiness."""
    return Shaft(
        "rotor",
        rate_hz,
        wander=log_uniform(rng, *wander),
        wander_hz=(0.03, float(rng.uniform(2.0, 8.0))),
        slip=float(rng.uniform(0.01, 0.06)),
    )


def radiation(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    air_corner_hz: tuple[float, float] = (150.0, 1200.0),
    air_slope_db: tuple[float, float] = (-8.5, -3.5),
) -> dict[str, FloatArray]:
    """Draw the kernels through which a unit radiates.

    Args:
        rng: The unit.
        sample_rate: Hz.
        air_corner_hz: Range of the corner of aerodynamic noise.
        air_slope_db: Range of its fall in dB an octave.

    Returns:
        Kernels by path: ``tone`` (mild colouring of lines), ``air`` (flow noise), ``body``
        (panels and casing, 80 Hz to 3 kHz), ``shell`` (stiff parts that impacts ring, 1.5 to
        7 kHz), ``hiss`` (high-frequency noise).
    """

    def colour(corner: float, slope: float, cut: float, bumps: float, taps: int) -> FloatArray:
        magnitude = bumpy_colour_db(
            rng,
            sample_rate,
            corner_hz=corner,
            slope_db_oct=slope,
            low_cut_hz=cut,
            bumps_db=bumps,
        )
        return minimum_phase(magnitude, taps).astype(np.float32)

    ms = sample_rate // 1000
    air = colour(
        log_uniform(rng, *air_corner_hz),
        float(rng.uniform(*air_slope_db)),
        log_uniform(rng, 20.0, 130.0),
        3.5,
        32 * ms,
    )
    casing = modal_kernel(
        rng,
        sample_rate,
        band_hz=(log_uniform(rng, 70.0, 250.0), log_uniform(rng, 1500.0, 4000.0)),
        n_modes=int(rng.integers(10, 26)),
        damping=(0.008, 0.06),
        tilt_db_oct=float(rng.uniform(-6.0, -1.5)),
        taps=160 * ms,
    )
    floor = colour(
        log_uniform(rng, 150.0, 600.0), float(rng.uniform(-7.0, -4.0)), 50.0, 3.0, 32 * ms
    )
    body = unit_energy(casing)
    body[: len(floor)] += decibels(float(rng.uniform(-6.0, 3.0))) * unit_energy(floor)
    shell = modal_kernel(
        rng,
        sample_rate,
        band_hz=(log_uniform(rng, 1000.0, 2200.0), log_uniform(rng, 4500.0, 9000.0)),
        n_modes=int(rng.integers(5, 13)),
        damping=(0.008, 0.045),
        tilt_db_oct=float(rng.uniform(-4.0, 0.0)),
        taps=32 * ms,
    )
    hiss = -colour(
        log_uniform(rng, 3000.0, 7000.0), -6.0, log_uniform(rng, 900.0, 3000.0), 2.5, 16 * ms
    )
    tone = colour(3000.0, -4.0, 30.0, 4.0, 32 * ms)
    return {
        "air": unit_energy(air),
        "body": unit_energy(body),
        "shell": unit_energy(shell),
        "hiss": unit_energy(hiss),
        "tone": tone,
    }


def motor(
    rng: np.random.Generator, rotor_hz: float, sample_rate: int, level_db: float
) -> tuple[list[Shaft], list[Part]]:
    """Electrical sound of a motor whose shaft is called ``rotor``.

    Magnetic forces act at twice the mains frequency and its harmonics (hum); rotor slots pass
    at orders of the shaft, with neighbours at the number of poles; an inverter adds a whine at
    its switching frequency (Gieras, Wang & Lai, Noise of Polyphase Electric Motors, 2006).

    Args:
        rng: The unit.
        rotor_hz: Shaft frequency.
        sample_rate: Hz.
        level_db: Level of the hum; slots and whine lie around it.

    Returns:
        Further shafts and parts.
    """
    hum_hz = float(rng.choice([100.0, 120.0]))
    shafts = [Shaft("hum", hum_hz, wander=0.0003, supply=True, inertia=False)]
    hum = decaying(rng, range(1, 13), float(rng.uniform(2.0, 7.0)), 5.0)
    slots = int(rng.integers(18, 60))
    poles = int(rng.choice([2, 4, 6]))
    slot_orders: dict[int, float] = {}
    for harmonic in (1, 2):
        for shift in (-poles, 0, poles):
            drop = -9.0 * (harmonic - 1) + rng.normal(0.0, 4.0)
            slot_orders[slots * harmonic + shift] = decibels(drop)
    parts: list[Part] = [
        Tones(
            name="hum",
            path="tone",
            level_db=level_db,
            shaft="hum",
            table=lines(rng, hum, hum_hz, sample_rate),
            load_db=float(rng.uniform(1.0, 5.0)),
        ),
        Tones(
            name="slots",
            path="tone",
            level_db=level_db + float(rng.uniform(-16.0, -2.0)),
            shaft="rotor",
            table=lines(rng, slot_orders, rotor_hz, sample_rate),
            load_db=float(rng.uniform(1.0, 4.0)),
            wander_db=1.2,
        ),
    ]
    if rng.random() < 0.25:
        whine_hz = float(rng.uniform(1800.0, min(7500.0, 0.45 * sample_rate)))
        shafts.append(Shaft("whine", whine_hz, wander=0.0002, supply=True, inertia=False))
        table = lines(rng, {1: 1.0}, 1.0, sample_rate)
        parts.append(
            Tones(
                name="whine",
                path="tone",
                level_db=level_db + float(rng.uniform(-20.0, -8.0)),
                shaft="whine",
                table=table,
                am=ripple(float(rng.uniform(0.3, 0.9))),
                am_shaft="hum",
            )
        )
    return shafts, parts


def rotor_lines(
    rng: np.random.Generator, rotor_hz: float, sample_rate: int, level_db: float
) -> list[Part]:
    """Residual unbalance (1x), misalignment (2x) and a few more harmonics of the shaft."""
    split = {
        "shaft_1x": ({1: 1.0}, 0.0),
        "shaft_2x": ({2: 1.0}, float(rng.uniform(-9.0, 2.0))),
        "shaft_nx": (decaying(rng, range(3, 14), 2.5, 4.0), float(rng.uniform(-10.0, 0.0))),
    }
    return [
        Tones(
            name=name,
            path="tone",
            level_db=level_db + offset_db,
            shaft="rotor",
            table=lines(rng, orders, rotor_hz, sample_rate),
            speed_power=2.0,
            load_db=float(rng.uniform(-1.0, 2.0)),
            wander_db=0.8,
        )
        for name, (orders, offset_db) in split.items()
    ]


def rolling(rng: np.random.Generator, level_db: float) -> Part:
    """Noise of healthy bearings: roughness of the races, slightly uneven over a turn."""
    return Noise(
        name="rolling",
        path="shell",
        level_db=level_db,
        shaft="rotor",
        speed_power=1.5,
        am=ripple(float(rng.uniform(0.02, 0.25))),
        am_shaft="rotor",
        load_db=1.5,
    )


def flow(
    rng: np.random.Generator,
    level_db: float,
    *,
    name: str = "flow",
    path: str = "air",
    humps: int = 0,
    depth: float = 0.0,
    power: float = 2.5,
    load_db: float = 2.0,
) -> Part:
    """Aerodynamic or hydraulic noise; sound power grows with the 5th to 6th power of speed.

    The exponents lie between Lighthill's jets and dipoles on blades (Neise, "Review of fan
    noise generation mechanisms and control methods", Fan Noise symposium 1992).
    """
    return Noise(
        name=name,
        path=path,
        level_db=level_db,
        shaft="rotor",
        speed_power=power + float(rng.uniform(-0.3, 0.4)),
        load_db=load_db,
        am=ripple(depth, humps) if humps else None,
        am_shaft="rotor" if humps else None,
        wander_db=float(rng.uniform(0.4, 1.0)),
    )
