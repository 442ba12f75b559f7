"""What excites sound in a machine as its shafts turn: tones, noise, crackle, impacts."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asd.simulate.dsp import (
    DoubleArray,
    FloatArray,
    hashed_normal,
    hashed_uniform,
    look_up,
)
from edge_asd.simulate.moment import Moment


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Base:
    """Fields and gain that all parts share."""

    name: str
    path: str
    """Kernel through which it radiates: tone, air, body, shell or hiss."""
    level_db: float
    """Level while running at nominal speed and half load, dB relative to the machine."""
    shaft: str | None = None
    speed_power: float = 1.0
    """Amplitude grows with this power of relative speed (aerodynamic noise: 2.5 to 3)."""
    load_db: float = 0.0
    """Change of level from half to full load."""
    wander_db: float = 0.5
    """Slow random variation of the level, rms."""
    wander_hz: tuple[float, float] = (0.05, 5.0)
    am: FloatArray | None = None
    """Amplitude over one cycle of ``am_shaft``."""
    am_shaft: str | None = None
    patchy: float = 0.0
    """0 is steady; 1 comes and goes (rubbing, squeal), following a slow random gate."""

    def _control_gain(self, moment: Moment, scale: DoubleArray) -> DoubleArray:
        """Gain at the control rate, (m + 1,)."""
        relative = moment.drive.run if self.shaft is None else moment.relative[self.shaft]
        level_db = self.level_db + self.load_db * 2.0 * (moment.load - 0.5)
        level_db = level_db + self.wander_db * moment.wander(self.name, self.wander_hz)
        gain = np.maximum(relative, 0.0) ** self.speed_power * 10.0 ** (level_db / 20.0) * scale
        if moment.fault is not None and self.name in moment.fault.gains_db:
            change_db = moment.fault.gains_db[self.name] * moment.drive.severity
            gain = gain * 10.0 ** (change_db / 20.0)
        if self.patchy > 0.0:
            gate = 1.0 / (1.0 + np.exp(-4.0 * moment.wander(self.name + "/gate", (0.15, 6.0))))
            gain = gain * (1.0 - self.patchy + 2.0 * self.patchy * gate)
        return np.asarray(gain, np.float64)

    def _gain(self, moment: Moment, scale: DoubleArray) -> FloatArray:
        """Gain at every sample, (n,)."""
        gain = moment.up(self._control_gain(moment, scale))
        if self.am is not None and self.am_shaft is not None:
            gain *= look_up(self.am, moment.cycles(self.am_shaft))
        return gain


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Tones(_Base):
    """Harmonics locked to a shaft: unbalance, blade pass, gear mesh, slots, hum."""

    table: FloatArray

    def render(self, moment: Moment, scale: DoubleArray) -> FloatArray:
        """Excitation, shape (n,)."""
        wave = look_up(self.table, moment.cycles(str(self.shaft)))
        return np.asarray(wave * self._gain(moment, scale), np.float32)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Noise(_Base):
    """Broadband noise: turbulence, rolling, friction, hiss."""

    def render(self, moment: Moment, scale: DoubleArray) -> FloatArray:
        """Excitation, shape (n,)."""
        white = moment.rng(self.name).standard_normal(moment.n, dtype=np.float32)
        white *= self._gain(moment, scale)
        return white


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Crackle(_Base):
    """Random short collapses, Poisson in time with exponential strength (cavitation, grit)."""

    rate_hz: float

    def render(self, moment: Moment, scale: DoubleArray) -> FloatArray:
        """Excitation, shape (n,)."""
        rng = moment.rng(self.name)
        count = int(rng.poisson(self.rate_hz * moment.n / moment.sample_rate))
        strength = rng.exponential(1.0, count) * rng.choice([-1.0, 1.0], count)
        # E[strength^2] = 2, so this has unit mean square through a unit-energy kernel
        strength *= np.sqrt(moment.sample_rate / (2.0 * self.rate_hz))
        at = rng.integers(0, moment.n, count)
        out = np.bincount(at, strength, moment.n).astype(np.float32)
        out *= self._gain(moment, scale)
        return out


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Impacts(_Base):
    """Impulses at a fixed phase of a shaft: defects, clicks, knocks, rattle."""

    phase: float = 0.0
    """Where in the cycle they happen, 0..1."""
    jitter: float = 0.0
    """Random shift of each impact in cycles, rms, at most 0.1."""
    scatter_db: float = 1.5
    """Random strength of each impact, rms."""
    probability: float = 1.0
    """Chance that the impact happens at all in a cycle."""

    def render(self, moment: Moment, scale: DoubleArray) -> FloatArray:
        """Excitation, shape (n,)."""
        shaft = str(self.shaft)
        curve = moment.control_cycles(shaft)
        at, index = self._times(moment, curve)
        key = self._key(moment)
        strength = 10.0 ** (self.scatter_db / 20.0 * hashed_normal(key + 1, index))
        strength *= hashed_uniform(key + 2, index) < self.probability
        # unit mean square through a unit-energy kernel; slow events as if 10 a second, since
        # the ear judges a single knock by its strength and not by its mean power
        rate = max(moment.nominal_rate_hz(shaft) * self.probability, 10.0)
        strength *= np.sqrt(moment.sample_rate / rate)
        control = np.arange(len(curve)) * moment.hop
        strength *= np.interp(at, control, self._control_gain(moment, scale))
        if self.am is not None and self.am_shaft is not None:
            cycles = np.interp(at, control, moment.control_cycles(self.am_shaft))
            strength *= look_up(self.am, cycles)
        # nearest sample: sharing an impulse between two neighbours would dull it at random
        return np.bincount(at.astype(np.int64), strength, moment.n).astype(np.float32)

    def _key(self, moment: Moment) -> int:
        """Seed of this part's hashed values."""
        return 4 * (moment.seed + zlib.crc32(self.name.encode()))

    def _times(self, moment: Moment, curve: DoubleArray) -> tuple[DoubleArray, NDArray[np.int64]]:
        """Sample positions and cycle numbers of the impacts in this piece."""
        index = np.arange(np.floor(curve[0]) - 2, np.ceil(curve[-1]) + 2).astype(np.int64)
        shift = self.jitter * np.clip(hashed_normal(self._key(moment), index), -4.0, 4.0)
        target = index + self.phase + shift
        # the phase interval is half open, so no impact is lost or doubled between pieces
        inside = (target >= curve[0]) & (target < curve[-1])
        at = np.interp(target[inside], curve, np.arange(len(curve)) * float(moment.hop))
        return np.minimum(at, moment.n - 1.0), index[inside]
