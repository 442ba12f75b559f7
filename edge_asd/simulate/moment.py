"""Shafts that turn, and the state of all of them over one piece of time.

A part turns the state of its shaft (phase, relative speed) and fresh random numbers into an
*excitation*. It has no memory; all memory is in the linear kernels (structure, room,
microphone) which the renderer applies afterwards. That is why a stream can be rendered in
pieces without seams: phases are carried on, kernels ring over by overlap-add.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edge_asd.simulate.dsp import DoubleArray, FloatArray, child_rng, look_up, wander

CONTROL_HZ = 100  # rate at which speeds and gains are computed before interpolation


@dataclass(frozen=True, slots=True, eq=False)
class Shaft:
    """Something periodic: a rotor, a crank, a working cycle, the mains, a squealing belt."""

    name: str
    rate_hz: float
    """Cycles a second at relative speed 1; ignored for a driven shaft (``parent``)."""
    wander: float = 0.002
    """Slow relative variation of the rate, rms."""
    wander_hz: tuple[float, float] = (0.03, 4.0)
    """Band of that variation."""
    slip: float = 0.0
    """Relative loss of speed between no load and full load (induction motors: 1-5 %)."""
    parent: str | None = None
    """Driving shaft; the rate is then ``ratio`` times the driving rate."""
    ratio: float = 1.0
    profile: FloatArray | None = None
    """Rate over one cycle of the parent, mean 1 (a linear rail: forth, pause, back, pause)."""
    supply: bool = False
    """True for electrical frequencies: they do not follow the machine's speed."""
    inertia: bool = True
    """True when switching off means running down, False when it stops at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """How a machine is driven over a stretch of time, at the control rate."""

    t: DoubleArray  # s, (m + 1,)
    run: DoubleArray  # 0 standing, 1 full speed, with inertia, (m + 1,)
    power: DoubleArray  # 0 off, 1 on, (m + 1,)
    severity: DoubleArray  # of the fault, 0..1, (m + 1,)
    speed: float  # relative
    load: float  # 0..1


@dataclass(frozen=True, slots=True, eq=False)
class FaultModel:
    """A fault of one unit, as a change of its normal model at severity 1."""

    parts: tuple[Part, ...] = ()
    """Added excitations; their amplitude is proportional to the severity."""
    shafts: tuple[Shaft, ...] = ()
    """Shafts that these parts need, e.g. the defect frequency of a bearing."""
    gains_db: Mapping[str, float] = field(default_factory=dict)
    """Change of normal parts by name, in dB."""
    speed: float = 0.0
    """Relative change of speed."""
    wander: float = 0.0
    """Growth of the speed's slow variation, as a factor minus 1."""


class Part(Protocol):
    """One source of excitation."""

    @property
    def name(self) -> str:
        """Faults change parts by name; random numbers belong to it."""

    @property
    def path(self) -> str:
        """Kernel through which it radiates: tone, air, body, shell or hiss."""

    def render(self, moment: Moment, scale: DoubleArray) -> FloatArray:
        """Excitation of one piece, (n,); ``scale`` is a gain at the control rate, (m + 1,)."""


class Moment:
    """State of all shafts over one piece of time; what parts read when they are rendered.

    Args:
        sample_rate: Hz.
        drive: Speeds, load and severity at the control rate.
        shafts: Parents before the shafts that they drive.
        seed: The moment: random phases, wander and noise depend on it.
        piece: Number of the piece in a stream; only fresh noise depends on it.
        cycles: Phase of every shaft at the start of the piece; None draws it.
        fault: What is wrong, or None.
        load_wander: Rms of the slow variation of the load.
        steady: Leave out all slow variation (for calibration).
    """

    def __init__(
        self,
        sample_rate: int,
        drive: Drive,
        shafts: tuple[Shaft, ...],
        *,
        seed: int,
        piece: int = 0,
        cycles: Mapping[str, float] | None = None,
        fault: FaultModel | None = None,
        load_wander: float = 0.0,
        steady: bool = False,
    ) -> None:
        self.sample_rate = sample_rate
        self.drive = drive
        self.hop = sample_rate // CONTROL_HZ
        self.n = (len(drive.t) - 1) * self.hop
        self.seed = seed
        self.piece = piece
        self.fault = fault
        self.steady = steady
        self.load = np.clip(
            drive.load + load_wander * self.wander("load", (0.02, 0.6)), 0.0, 1.2
        )  # (m + 1,)
        self._ramp = (np.arange(self.hop) / self.hop).astype(np.float32)
        self.rate_hz: dict[str, DoubleArray] = {}
        self.relative: dict[str, DoubleArray] = {}
        self._control_cycles: dict[str, DoubleArray] = {}
        self._audio_cycles: dict[str, DoubleArray] = {}
        self._base: dict[str, float] = {}
        for shaft in shafts:
            self._turn(shaft, cycles)

    def rng(self, name: str) -> np.random.Generator:
        """Fresh noise of this piece for the part ``name``."""
        return child_rng(self.seed, self.piece, name, "noise")

    def wander(self, name: str, band_hz: tuple[float, float]) -> DoubleArray:
        """Slow curve of this moment at the control rate, unit rms; zero when steady."""
        if self.steady:
            return np.zeros_like(self.drive.t)
        return wander(child_rng(self.seed, name, "wander"), self.drive.t, band_hz)

    def up(self, control: DoubleArray) -> FloatArray:
        """Interpolate linearly from the control rate: (m + 1,) -> (n,)."""
        low = control[:-1].astype(np.float32)
        step = np.diff(control).astype(np.float32)
        return (low[:, None] + step[:, None] * self._ramp).reshape(-1)

    def cycles(self, name: str) -> DoubleArray:
        """Phase of a shaft in cycles at every sample, (n,)."""
        if name not in self._audio_cycles:
            # exact integral of the linearly interpolated rate
            rate, ramp = self.rate_hz[name], np.arange(self.hop) / self.hop
            curve = rate[:-1, None] * ramp + np.diff(rate)[:, None] * (0.5 * ramp**2)
            start = self._control_cycles[name][:-1, None]
            self._audio_cycles[name] = (start + curve / CONTROL_HZ).reshape(-1)
        return self._audio_cycles[name]

    def control_cycles(self, name: str) -> DoubleArray:
        """Phase of a shaft in cycles at the control points, (m + 1,)."""
        return self._control_cycles[name]

    def end_cycles(self) -> dict[str, float]:
        """Phase of every shaft at the end, the start of the next piece."""
        return {name: float(cycles[-1]) for name, cycles in self._control_cycles.items()}

    def nominal_rate_hz(self, name: str) -> float:
        """Rate of a shaft at relative speed 1 and half load."""
        return self._base[name]

    def _turn(self, shaft: Shaft, cycles: Mapping[str, float] | None) -> None:
        """Compute rate and phase of one shaft and keep them."""
        growth = 1.0 + (self.fault.wander * self.drive.severity if self.fault else 0.0)
        drift = 1.0 + shaft.wander * growth * self.wander(shaft.name, shaft.wander_hz)
        power = self.drive.run if shaft.inertia else self.drive.power
        if shaft.parent is not None:
            base, rate, relative = self._driven(shaft, drift)
        elif shaft.supply:
            base, rate, relative = shaft.rate_hz, shaft.rate_hz * drift, power
        else:
            base = shaft.rate_hz
            change = 1.0 - shaft.slip * (self.load - 0.5)
            if self.fault is not None:
                change = change * (1.0 + self.fault.speed * self.drive.severity)
            relative = np.maximum(drift, 0.05) * change * power * self.drive.speed
            rate = base * relative
        start = child_rng(self.seed, shaft.name, "phase").uniform(0.0, 1.0)
        if cycles is not None:
            start = cycles.get(shaft.name, start)
        steps = 0.5 * (rate[1:] + rate[:-1]) / CONTROL_HZ
        self.rate_hz[shaft.name], self.relative[shaft.name] = rate, relative
        self._base[shaft.name] = base
        self._control_cycles[shaft.name] = start + np.concatenate([[0.0], np.cumsum(steps)])

    def _driven(self, shaft: Shaft, drift: DoubleArray) -> tuple[float, DoubleArray, DoubleArray]:
        """Base rate, rate and relative speed of a shaft that another one drives."""
        parent = str(shaft.parent)
        base = self._base[parent] * shaft.ratio
        relative = self.relative[parent] * drift
        if shaft.profile is None:
            return base, base * relative, relative
        shape = look_up(shaft.profile, self._control_cycles[parent]).astype(np.float64)
        peak = float(shaft.profile.max())
        return base * peak, base * relative * shape, relative * shape / peak
