"""Wave tables from orders of a shaft, and amplitude curves over one cycle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from edge_asd.simulate.dsp import TABLE_MIN, FloatArray, decibels, wave_table

_TOP_SPEED = 1.4  # no line may pass half the sample rate up to this relative speed


def decaying(
    rng: np.random.Generator,
    orders: Iterable[int],
    decay_db: float,
    scatter_db: float = 4.0,
) -> dict[int, float]:
    """Amplitudes that fall by ``decay_db`` from one order to the next, with scatter."""
    return {
        order: decibels(-decay_db * rank + rng.normal(0.0, scatter_db))
        for rank, order in enumerate(orders)
    }


def sidebands(
    rng: np.random.Generator, carriers: Mapping[int, float], below_db: float, n_pairs: int = 3
) -> dict[int, float]:
    """Carriers with sidebands one shaft order apart (amplitude and phase modulation)."""
    out: dict[int, float] = dict(carriers)
    for carrier, level in carriers.items():
        for pair in range(1, n_pairs + 1):
            for order in (carrier - pair, carrier + pair):
                if order >= 1:
                    drop = below_db + 5.0 * (pair - 1) + rng.normal(0.0, 2.5)
                    out[order] = out.get(order, 0.0) + level * decibels(-drop)
    return out


def lines(
    rng: np.random.Generator, orders: Mapping[int, float], rate_hz: float, sample_rate: int
) -> FloatArray:
    """Wave table without the orders that would alias at the highest speed."""
    top = 0.47 * sample_rate / (rate_hz * _TOP_SPEED)
    kept = {order: level for order, level in orders.items() if order <= top}
    return wave_table(rng, kept or {1: 1.0})


def ripple(depth: float, times: int = 1, sharpness: float = 1.0, size: int = 1024) -> FloatArray:
    """Amplitude modulation with unit mean square: ``times`` humps over one cycle.

    Args:
        depth: 0 is even, 1 falls to zero between the humps.
        times: Humps over one cycle of the shaft.
        sharpness: 1 is sinusoidal; more makes the humps narrow.
        size: Entries of the table.

    Returns:
        Table, shape (size + 1,), closed.
    """
    phase = 2.0 * np.pi * times * np.arange(size + 1) / size
    shape = 1.0 - depth + depth * (0.5 + 0.5 * np.cos(phase)) ** sharpness
    return np.asarray(shape / np.sqrt(np.mean(shape**2)), np.float32)


def gate(opens: float, closes: float, rise: float, fall: float) -> FloatArray:
    """Amplitude over one cycle that is 1 between two phases, with exponential edges.

    Args:
        opens: Phase at which it rises, 0..1.
        closes: Phase at which it falls, opens < closes < 1.
        rise: Time constant of the rise as a part of the cycle.
        fall: Time constant of the fall.

    Returns:
        Table, shape (N + 1,), closed.
    """
    phase = np.arange(TABLE_MIN + 1) / TABLE_MIN
    phase[-1] = 0.0
    since_close = (phase - closes) % 1.0
    up = 1.0 - np.exp(-np.maximum(phase - opens, 0.0) / rise)
    held = up[int(closes * TABLE_MIN)]
    down = held * np.exp(-since_close / fall)
    inside = (phase >= opens) & (phase < closes)
    return np.where(inside, np.maximum(up, down), down).astype(np.float32)
