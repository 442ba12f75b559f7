"""Signal tools of the simulator: seeded randomness, slow wander, wave tables and kernels.

Everything here is a pure function of its arguments, so that a stream may be cut into pieces
without a seam: random values that belong to *events* are hashed from the event's index and slow
random curves are sums of sinusoids evaluated at absolute time.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import scipy.fft
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]

TABLE_MIN = 4096  # entries of a wave table; more for high orders, see `wave_table`
_TABLE_MAX = 16384


def child_rng(*key: int | str) -> np.random.Generator:
    """Return a generator that depends on nothing but ``key``.

    Args:
        key: Non-negative integers and names; the order counts.

    Returns:
        A fresh generator, the same for the same key on every platform.
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(words)))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from [low, high] with equal chance for every octave."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def decibels(value: float) -> float:
    """Amplitude ratio that corresponds to ``value`` in dB."""
    return float(10.0 ** (value / 20.0))


def _splitmix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each counter (Steele, Lea & Flood 2014, SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hashed_uniform(seed: int, index: NDArray[np.int64]) -> DoubleArray:
    """Uniform value in (0, 1) for each event index, the same whenever it is asked for.

    Args:
        seed: Any non-negative integer; one independent sequence each.
        index: Event numbers, shape (n,).

    Returns:
        Values, shape (n,).
    """
    start = np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF)
    counter = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
    bits = _splitmix(_splitmix(counter)) >> np.uint64(11)
    return np.asarray((bits.astype(np.float64) + 0.5) * 2.0**-53, np.float64)


def hashed_normal(seed: int, index: NDArray[np.int64]) -> DoubleArray:
    """Standard normal value for each event index (Box-Muller of two hashed uniforms)."""
    radius = np.sqrt(-2.0 * np.log(hashed_uniform(2 * seed, index)))
    angle = 2.0 * np.pi * hashed_uniform(2 * seed + 1, index)
    return np.asarray(radius * np.cos(angle), np.float64)


def wander(
    rng: np.random.Generator, t: DoubleArray, band_hz: tuple[float, float], n_lines: int = 12
) -> DoubleArray:
    """Slow random curve with unit rms and a 1/f spectrum in a band, a function of time alone.

    Sinusoids of equal amplitude, spaced evenly in log frequency, have a power density of 1/f;
    that is what drifting speed and load look like (mains, friction, temperature).

    Args:
        rng: Draws the frequencies and phases; the same state gives the same curve.
        t: Times in s, shape (m,).
        band_hz: Lowest and highest frequency.
        n_lines: Number of sinusoids.

    Returns:
        Curve, shape (m,).
    """
    position = (np.arange(n_lines) + rng.uniform(0.0, 1.0, n_lines)) / n_lines
    frequency_hz = band_hz[0] * (band_hz[1] / band_hz[0]) ** position
    phase = rng.uniform(0.0, 1.0, n_lines)
    lines = np.sin(2.0 * np.pi * (t[:, None] * frequency_hz + phase))  # (m,) -> (m, L)
    return np.asarray(lines.sum(axis=1) * np.sqrt(2.0 / n_lines), np.float64)


def wave_table(rng: np.random.Generator, orders: Mapping[int, float]) -> FloatArray:
    """One revolution of a sum of harmonics with random phases, rms 1.

    Args:
        rng: Draws the phases.
        orders: Amplitude of every order (multiple of the shaft frequency), orders >= 1.

    Returns:
        Table, shape (N + 1,); the last entry repeats the first, for linear interpolation.
    """
    top = max(orders)
    size = TABLE_MIN
    while size < min(16 * top, _TABLE_MAX):
        size *= 2
    spectrum = np.zeros(size // 2 + 1, np.complex128)
    # one draw from the caller's generator, whatever the number of orders
    phases = child_rng(int(rng.integers(2**31)), "phases")
    for order in sorted(orders):
        spectrum[order] += orders[order] * np.exp(2j * np.pi * phases.uniform())
    wave = np.fft.irfft(spectrum, size)
    wave /= np.sqrt(np.mean(wave**2)) + 1e-30
    return np.append(wave, wave[0]).astype(np.float32)


def look_up(table: FloatArray, cycles: DoubleArray) -> FloatArray:
    """Read a periodic table at a phase given in cycles, with linear interpolation.

    Args:
        table: One period, shape (N + 1,), last entry equal to the first.
        cycles: Phase in cycles, shape (n,).

    Returns:
        Values, shape (n,).
    """
    position = ((cycles - np.floor(cycles)) * (len(table) - 1)).astype(np.float32)
    index = position.astype(np.int32)
    np.minimum(index, len(table) - 2, out=index)
    low = np.take(table, index)
    return np.asarray(low + (np.take(table, index + 1) - low) * (position - index), np.float32)


def unit_energy(kernel: DoubleArray | FloatArray) -> FloatArray:
    """Scale a kernel so that white noise keeps its rms."""
    return np.asarray(kernel / (np.sqrt(np.sum(kernel**2)) + 1e-30), np.float32)


def minimum_phase(magnitude_db: DoubleArray, taps: int) -> DoubleArray:
    """Minimum-phase impulse response of a magnitude response (homomorphic method).

    Args:
        magnitude_db: Response on an even grid from 0 to half the sample rate, shape (k + 1,).
        taps: Length of the response, at most k.

    Returns:
        Kernel, shape (taps,), its end faded out.

    Source: Oppenheim & Schafer, Discrete-Time Signal Processing, ch. 12 (cepstral folding).
    """
    n_fft = 2 * (len(magnitude_db) - 1)
    cepstrum = np.fft.irfft(magnitude_db * (np.log(10.0) / 20.0), n_fft)
    cepstrum[1 : n_fft // 2] *= 2.0
    cepstrum[n_fft // 2 + 1 :] = 0.0
    kernel = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), n_fft)[:taps]
    fade = taps // 4
    kernel[-fade:] *= np.linspace(1.0, 0.0, fade)
    return np.asarray(kernel, np.float64)


def bumpy_colour_db(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    corner_hz: float,
    slope_db_oct: float,
    low_cut_hz: float,
    bumps_db: float,
    points: int = 513,
) -> DoubleArray:
    """Smooth random magnitude: flat to a corner, falling above it, with broad bumps.

    Args:
        rng: Draws the bumps.
        sample_rate: Hz.
        corner_hz: Where the fall begins.
        slope_db_oct: Fall above the corner, dB an octave, usually negative.
        low_cut_hz: Below it the response falls with 9 dB an octave.
        bumps_db: Standard deviation of the bumps' heights.
        points: Grid size from 0 to half the sample rate.

    Returns:
        Magnitude in dB, shape (points,).
    """
    f_hz = np.maximum(np.linspace(0.0, sample_rate / 2.0, points), 5.0)
    octave = np.log2(f_hz)
    above = np.logaddexp(0.0, (octave - np.log2(corner_hz)) * 3.0) / 3.0  # soft knee
    below = np.logaddexp(0.0, (np.log2(low_cut_hz) - octave) * 3.0) / 3.0
    colour = slope_db_oct * above - 9.0 * below
    n_bumps = int(rng.integers(4, 11))
    centre = rng.uniform(np.log2(60.0), np.log2(sample_rate / 2.0), n_bumps)
    width = rng.uniform(0.12, 0.9, n_bumps)
    height = rng.normal(0.0, bumps_db, n_bumps)
    bumps = np.exp(-0.5 * ((octave[:, None] - centre) / width) ** 2) @ height  # (K, B) -> (K,)
    return np.asarray(colour + bumps, np.float64)


def modal_kernel(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    band_hz: tuple[float, float],
    n_modes: int,
    damping: tuple[float, float],
    tilt_db_oct: float,
    taps: int,
) -> DoubleArray:
    """Impulse response of a structure: a bank of damped modes.

    Each mode rings as ``exp(-2 pi f zeta t) sin(2 pi f t)``, f its natural frequency and zeta
    its damping ratio.

    Args:
        rng: Draws the modes.
        sample_rate: Hz.
        band_hz: Where the modes lie; they are denser in the upper part, as in plates.
        n_modes: Number of modes.
        damping: Range of the damping ratio; 0.005 rings like a panel, 0.05 is a dull casting.
        tilt_db_oct: Mean fall of a mode's *energy* with frequency, negative.
        taps: Length.

    Returns:
        Kernel, shape (taps,), not normalised.
    """
    top_hz = min(band_hz[1], 0.47 * sample_rate)
    low_hz = min(band_hz[0], 0.5 * top_hz)
    f_hz = low_hz * (top_hz / low_hz) ** (rng.uniform(0.0, 1.0, n_modes) ** 0.85)
    zeta = np.exp(rng.uniform(np.log(damping[0]), np.log(damping[1]), n_modes))
    level_db = tilt_db_oct * np.log2(f_hz / low_hz) + rng.normal(0.0, 4.0, n_modes)
    # a mode's energy is a^2 / (8 pi f zeta): divide it out, so that level_db means energy
    amplitude = 10.0 ** (level_db / 20.0) * np.sqrt(f_hz * zeta) * rng.choice([-1, 1], n_modes)
    t = np.arange(taps) / sample_rate
    decay = np.exp(-2.0 * np.pi * np.outer(f_hz * zeta, t))  # (K, n)
    ringing = decay * np.sin(2.0 * np.pi * np.outer(f_hz, t))
    kernel = amplitude @ ringing
    fade = taps // 8
    kernel[-fade:] *= np.linspace(1.0, 0.0, fade)
    return np.asarray(kernel, np.float64)


def fast_length(n: int) -> int:
    """Smallest length of at least ``n`` that the FFT handles quickly."""
    return int(scipy.fft.next_fast_len(n, real=True))
