"""Single clips.

A clip is convolved circularly: the ringing of its end becomes the ringing it starts with, so it
starts in a running machine's reverberation without rendering anything before it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from edge_asd.simulate.dsp import FloatArray, child_rng, decibels, fast_length
from edge_asd.simulate.hearing import (
    Heard,
    Spectrum,
    Voice,
    bend,
    spectrum,
    steady_drive,
    voices,
)
from edge_asd.simulate.moment import FaultModel, Moment
from edge_asd.simulate.scene import Fault, Scene, build_fault


@lru_cache(maxsize=8)
def _spectra(heard: Heard, n_fft: int) -> dict[str, Spectrum]:
    return heard.spectra(n_fft)


def render(
    scene: Scene,
    duration_s: float,
    *,
    seed: int,
    fault: Fault | None = None,
    background: NDArray[np.float32] | None = None,
) -> FloatArray:
    """Render one clip of a machine that runs throughout.

    Args:
        scene: Machine, operation and place.
        duration_s: Length in s.
        seed: The moment, at least 0; another seed is another moment of the same machine.
        fault: What is wrong; None or severity 0 is exactly the normal machine.
        background: Recording at the scene's sample rate, shape (k,), mixed in at the scene's
            SNR in place of the synthetic background; a random part of it, repeated if short.

    Returns:
        Samples in ±1, shape (round(duration_s * sample_rate),). The gain is that of the normal
        machine, so a fault may make the clip louder.

    Raises:
        ValueError: Duration, fault or background make no sense.
    """
    n = round(duration_s * scene.sample_rate)
    if n < 1:
        raise ValueError(f"duration_s={duration_s} is shorter than one sample")
    model = None
    if fault is not None:
        model = build_fault(scene.kind, scene.unit, scene.sample_rate, fault.name)
    sounding = voices(scene, seed)
    # independent of what else is mixed in: noise draws follow the length of the transform
    n_fft = fast_length(max(n, 2 * scene.sample_rate))
    machine, plant = sounding[0], sounding[1:]
    total = _clip(machine, n_fft, model, fault.severity if fault else 0.0)
    if background is None:
        for voice in plant:
            total += _clip(voice, n_fft, None, 0.0)
    samples = scipy.fft.irfft(total, n_fft)[:n]
    if background is not None and plant:
        samples = samples + _mixed_in(scene, background, n, child_rng(seed, "background"))
    return bend(samples)


def _clip(voice: Voice, n_fft: int, model: FaultModel | None, severity: float) -> Spectrum:
    """Spectrum of one voice over a whole clip."""
    machine = voice.heard.machine
    if severity == 0.0:
        model = None
    moment = Moment(
        machine.sample_rate,
        steady_drive(n_fft, voice.heard, severity),
        machine.shafts + (model.shafts if model else ()),
        seed=voice.seed,
        fault=model,
        load_wander=machine.load_wander,
    )
    total = spectrum(machine, moment, _spectra(voice.heard, n_fft), n_fft, n_fft)
    total *= np.float32(voice.gain)
    return total


def _mixed_in(
    scene: Scene, background: NDArray[np.float32], n: int, rng: np.random.Generator
) -> FloatArray:
    """Part of a recording at the level that the scene's SNR asks for, shape (n,)."""
    if background.ndim != 1 or not len(background):
        raise ValueError(f"background has shape {background.shape}, need (k,) with k >= 1")
    rms = float(np.sqrt(np.mean(np.square(background, dtype=np.float64))))
    if rms == 0.0:
        raise ValueError("background is silent")
    start = int(rng.integers(max(len(background) - n, 0) + 1))
    part = np.resize(background, max(n, len(background)))[start : start + n]
    return np.asarray(part * (decibels(scene.level_dbfs - scene.snr_db) / rms), np.float32)
