"""A machine, or the plant around it, as the microphone hears it.

Excitations of all parts are summed by path; then every path goes through its kernel, the room
and the microphone, by multiplication in the frequency domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from edge_asd.simulate.dsp import DoubleArray, FloatArray, child_rng, decibels, fast_length
from edge_asd.simulate.machine import Machine
from edge_asd.simulate.moment import CONTROL_HZ, Drive, Moment
from edge_asd.simulate.room import microphone_kernel, plant_noise, room_kernel
from edge_asd.simulate.scene import Scene, build_machine

_CALIBRATION_S = 4.0
_HEADROOM = 0.7  # above this amplitude samples are bent softly towards 1

Spectrum = NDArray[np.complex64]


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Something that sounds, with everything between it and the samples but the gain."""

    machine: Machine
    kernels: Mapping[str, FloatArray]
    """Structure, room and microphone in one, by path, shape (taps,) each."""
    speed: float
    load: float
    reference_rms: float
    """Rms of the normal machine without slow variation, before the gain."""

    @property
    def longest(self) -> int:
        """Length of the longest kernel in samples."""
        return max(len(kernel) for kernel in self.kernels.values())

    def spectra(self, n_fft: int) -> dict[str, Spectrum]:
        """Spectra of the kernels by path, shape (n_fft // 2 + 1,) each."""
        return {path: scipy.fft.rfft(kernel, n_fft) for path, kernel in self.kernels.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """One contribution to a recording: a machine or a plant at its level."""

    heard: Heard
    gain: float
    seed: int
    """Of the moment; independent between machines even where the caller's seed is the same."""


def voices(scene: Scene, seed: int) -> tuple[Voice, ...]:
    """The machine of a scene and, unless the SNR is infinite, the plant.

    Args:
        scene: Machine, operation and place.
        seed: The moment.

    Returns:
        The machine first.
    """
    level = decibels(scene.level_dbfs)
    heard = heard_machine(scene)
    own = int(child_rng(seed, scene.kind, scene.unit, "moment").integers(2**62))
    machine = Voice(heard, level / heard.reference_rms, own)
    if np.isinf(scene.snr_db):
        return (machine,)
    heard = heard_plant(scene)
    own = int(child_rng(seed, "plant", scene.noise, "moment").integers(2**62))
    return machine, Voice(heard, level * decibels(-scene.snr_db) / heard.reference_rms, own)


def heard_machine(scene: Scene) -> Heard:
    """The machine of a scene; cached."""
    return _heard_machine(replace(scene, snr_db=0.0, noise=0, level_dbfs=0.0))


def heard_plant(scene: Scene) -> Heard:
    """The plant around it; cached."""
    return _heard_plant(scene.noise, scene.room, scene.microphone, scene.sample_rate)


@lru_cache(maxsize=32)
def _heard_machine(scene: Scene) -> Heard:
    machine = build_machine(scene.kind, scene.unit, scene.sample_rate)
    room = room_kernel(scene.room, scene.sample_rate)
    return _heard(machine, room, scene.microphone, scene.speed, scene.load)


@lru_cache(maxsize=32)
def _heard_plant(noise: int, room: int, microphone: int, sample_rate: int) -> Heard:
    far = room_kernel(room, sample_rate, far=True)
    return _heard(plant_noise(noise, sample_rate), far, microphone, 1.0, 0.5)


def _heard(machine: Machine, room: FloatArray, microphone: int, speed: float, load: float) -> Heard:
    """Join the kernels and measure the level."""
    place = scipy.signal.fftconvolve(room, microphone_kernel(microphone, machine.sample_rate))
    kernels = {
        path: scipy.signal.fftconvolve(place, kernel).astype(np.float32)
        for path, kernel in machine.kernels.items()
    }
    heard = Heard(machine, kernels, speed, load, reference_rms=1.0)
    return replace(heard, reference_rms=_measure_rms(heard))


def _measure_rms(heard: Heard) -> float:
    """Rms of some seconds without slow variation, over whole working cycles."""
    machine = heard.machine
    seconds = _CALIBRATION_S
    cycle = [shaft for shaft in machine.shafts if shaft.name == "cycle"]
    if cycle:
        pace = cycle[0].rate_hz * heard.speed
        seconds = float(np.ceil(_CALIBRATION_S * pace)) / pace
    n = max(fast_length(round(seconds * machine.sample_rate)), heard.longest)
    drive = steady_drive(n, heard, 0.0)
    moment = Moment(machine.sample_rate, drive, machine.shafts, seed=0, steady=True)
    total = spectrum(machine, moment, heard.spectra(n), n, n)
    power = float(np.sum(np.abs(total) ** 2, dtype=np.float64))
    return float(np.sqrt(2.0 * power)) / n + 1e-30  # Parseval


def steady_drive(n: int, heard: Heard, severity: float) -> Drive:
    """Running throughout, for at least ``n`` samples."""
    hop = heard.machine.sample_rate // CONTROL_HZ
    t = np.arange(-(-n // hop) + 1) / CONTROL_HZ
    ones = np.ones_like(t)
    return Drive(t, ones, ones, severity * ones, heard.speed, heard.load)


def spectrum(
    machine: Machine, moment: Moment, spectra: Mapping[str, Spectrum], n: int, n_fft: int
) -> Spectrum:
    """What the microphone hears of one piece, before the gain.

    Args:
        machine: Normal model; the moment knows the fault.
        moment: State of its shafts.
        spectra: Of the kernels, by path.
        n: Samples of excitation to use, at most ``moment.n``.
        n_fft: Length of the transform.

    Returns:
        Spectrum, shape (n_fft // 2 + 1,).
    """
    severity = moment.drive.severity
    ones = np.ones_like(severity)
    parts = [(part, ones) for part in machine.parts]
    if moment.fault is not None and severity.any():
        parts += [(part, severity) for part in moment.fault.parts]
    by_path: dict[str, FloatArray] = {}
    for part, scale in parts:
        excitation = part.render(moment, scale)
        if part.path in by_path:
            by_path[part.path] += excitation
        else:
            by_path[part.path] = excitation
    total = np.zeros(n_fft // 2 + 1, np.complex64)
    for path, excitation in by_path.items():
        heard = scipy.fft.rfft(excitation[:n], n_fft)
        heard *= spectra[path]
        total += heard
    return total


def bend(samples: DoubleArray | FloatArray) -> FloatArray:
    """Keep rare peaks within ±1 without a hard edge; identity below the headroom."""
    size = np.abs(samples)
    if float(size.max(initial=0.0)) > _HEADROOM:
        room = 1.0 - _HEADROOM
        bent = _HEADROOM + room * np.tanh((size - _HEADROOM) / room)
        samples = np.where(size > _HEADROOM, np.sign(samples) * bent, samples)
    return np.asarray(samples, np.float32)
