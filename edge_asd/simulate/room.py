"""Where a machine is heard: room, microphone, and the sound of the plant around it."""

from __future__ import annotations

import numpy as np

from edge_asd.simulate.dsp import (
    FloatArray,
    bumpy_colour_db,
    child_rng,
    decibels,
    log_uniform,
    minimum_phase,
    modal_kernel,
    unit_energy,
)
from edge_asd.simulate.kinematics import draw_bearing
from edge_asd.simulate.machine import Machine
from edge_asd.simulate.moment import Part, Shaft
from edge_asd.simulate.orders import decaying, lines, ripple
from edge_asd.simulate.parts import Impacts, Noise, Tones


def room_kernel(seed: int, sample_rate: int, *, far: bool = False) -> FloatArray:
    """Synthetic room impulse response with unit energy.

    Direct sound, a dozen early reflections, then noise that decays exponentially by 60 dB in
    RT60 (Polack 1988), faster at high frequencies.

    Args:
        seed: The room and the place of the microphone in it.
        sample_rate: Hz.
        far: True for sources in the far of the hall: hardly any direct sound.

    Returns:
        Kernel, shape (taps,), its first sample is the direct sound.
    """
    rng = child_rng(seed, "room")
    rt60_s = log_uniform(rng, 0.1, 1.0)
    direct_to_reverb_db = float(rng.uniform(-3.0, 14.0))
    if far:
        rng = child_rng(seed, "far room")
        direct_to_reverb_db = -12.0
    n = int(min(rt60_s, 0.8) * sample_rate)
    t = np.arange(n) / sample_rate
    high_ratio = float(rng.uniform(0.35, 0.8))
    noise = rng.standard_normal(n)
    low = np.convolve(noise, np.ones(4) / 4.0)[:n]  # crude halves: below and above ~2 kHz
    tail = low * np.exp(-6.91 * t / rt60_s)
    tail += (noise - low) * np.exp(-6.91 * t / (rt60_s * high_ratio))
    tail *= 1.0 - np.exp(-t / 0.006)  # the diffuse field builds up
    n_early = int(rng.integers(6, 14))
    delay_s = np.sort(rng.uniform(0.0008, 0.035, n_early))
    early = rng.choice([-1.0, 1.0], n_early, p=[0.25, 0.75]) * np.exp(-delay_s / 0.015)
    reverb = tail / (np.sqrt(np.sum(tail**2)) + 1e-30)
    np.add.at(reverb, np.minimum((delay_s * sample_rate).astype(int), n - 1), 0.25 * early)
    reverb /= np.sqrt(np.sum(reverb**2))
    reverb[0] += decibels(direct_to_reverb_db)
    return unit_energy(reverb)


def microphone_kernel(seed: int, sample_rate: int) -> FloatArray:
    """Colour of a microphone and its mounting: tilt, low cut, roll-off, a resonance.

    Args:
        seed: The microphone.
        sample_rate: Hz.

    Returns:
        Minimum-phase kernel, shape (taps,), about 0 dB at 1 kHz.
    """
    rng = child_rng(seed, "microphone")
    f_hz = np.maximum(np.linspace(0.0, sample_rate / 2.0, 513), 5.0)
    octave = np.log2(f_hz / 1000.0)
    response_db = float(rng.normal(0.0, 0.9)) * octave
    response_db = response_db - 10.0 * np.log10(1.0 + (log_uniform(rng, 8.0, 80.0) / f_hz) ** 2)
    roll_hz = log_uniform(rng, 5000.0, 20000.0)
    response_db -= 10.0 * np.log10(1.0 + (f_hz / roll_hz) ** (2 * int(rng.integers(1, 4))))
    centre = np.log2(log_uniform(rng, 2.0, 7.0))
    response_db += float(rng.uniform(-3.0, 6.0)) * np.exp(
        -0.5 * ((octave - centre) / float(rng.uniform(0.15, 0.5))) ** 2
    )
    ripple_db = bumpy_colour_db(
        rng, sample_rate, corner_hz=30000.0, slope_db_oct=0.0, low_cut_hz=1.0, bumps_db=1.0
    )
    return minimum_phase(response_db + ripple_db, 32 * (sample_rate // 1000)).astype(np.float32)


def plant_noise(seed: int, sample_rate: int) -> Machine:
    """The plant around the machine, itself described as a machine.

    A bed of pink to brown noise that swells and falls, one to three far-away machines that hum,
    white noise of the microphone's amplifier, and rare clanks.

    Args:
        seed: The surroundings.
        sample_rate: Hz.

    Returns:
        Parts and kernels; its level is not normalised.
    """
    rng = child_rng(seed, "plant")

    def bed(low_hz: float, high_hz: float, slope_db: float) -> FloatArray:
        magnitude = bumpy_colour_db(
            rng,
            sample_rate,
            corner_hz=log_uniform(rng, low_hz, high_hz),
            slope_db_oct=slope_db,
            low_cut_hz=log_uniform(rng, 10.0, 60.0),
            bumps_db=2.5,
        )
        return unit_energy(minimum_phase(magnitude, 32 * (sample_rate // 1000)))

    clank = modal_kernel(
        rng,
        sample_rate,
        band_hz=(400.0, 5000.0),
        n_modes=12,
        damping=(0.002, 0.012),
        tilt_db_oct=-3.0,
        taps=160 * (sample_rate // 1000),
    )
    kernels = {
        "bed": bed(60.0, 400.0, float(rng.uniform(-7.0, -3.5))),
        "air": bed(200.0, 1500.0, float(rng.uniform(-8.0, -4.0))),
        "clank": unit_energy(clank),
        "tone": np.ones(1, np.float32),
        "white": np.ones(1, np.float32),
    }
    parts: list[Part] = [
        Noise(name="bed", path="bed", level_db=-1.0, wander_db=0.7, wander_hz=(0.05, 3.0)),
        Noise(name="air", path="air", level_db=float(rng.uniform(-10.0, -3.0)), wander_db=1.0),
        Noise(
            name="amplifier",
            path="white",
            level_db=float(rng.uniform(-40.0, -22.0)),
            wander_db=0.0,
        ),
        Impacts(
            name="clank",
            path="clank",
            level_db=float(rng.uniform(-22.0, -8.0)),
            shaft="clank",
            jitter=0.1,
            scatter_db=6.0,
            probability=0.3,
        ),
    ]
    shafts = [Shaft("clank", log_uniform(rng, 0.05, 0.6), wander=0.1, supply=True)]
    for number in range(int(rng.integers(1, 4))):
        name = f"far_{number}"
        rate = log_uniform(rng, 8.0, 80.0)
        shafts.append(Shaft(name, rate, wander=0.002, supply=True))
        orders = decaying(rng, range(1, 16), float(rng.uniform(1.0, 3.0)), 7.0)
        parts.append(
            Tones(
                name=name,
                path="tone",
                level_db=float(rng.uniform(-22.0, -9.0)),
                shaft=name,
                table=lines(rng, orders, rate, sample_rate),
                am=ripple(0.3),
                am_shaft=name,
                wander_db=1.5,
            )
        )
    return Machine(
        "plant",
        sample_rate,
        tuple(shafts),
        tuple(parts),
        kernels,
        0.0,
        draw_bearing(rng),
        main="clank",
    )
