"""Clips of classes that differ in pitch."""

from __future__ import annotations

import numpy as np
import soundfile

from edge_asd_train.datasets import Clip, Pending

RATE = 16_000


def tone(frequency_hz, seed, seconds=0.7, level=0.1):
    """A tone in noise as 16-bit samples."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    wave = level * np.sin(2 * np.pi * (frequency_hz * t + rng.random()))
    wave += 0.1 * level * rng.normal(size=len(t))
    return np.rint(wave * 32767).astype(np.int16)


def tones(classes=3, clips=4):
    """Clips of classes that differ in pitch."""

    def stream():
        for label in range(classes):
            for clip in range(clips):
                samples = tone(500 * (label + 1), 100 * label + clip)
                yield Clip(samples, label=f"tone-{label}", machine=f"tone-{label}")

    return Pending(classes * clips, stream)


def faulty_tones(machines=3, normal=4, faulty=3, seconds=0.7):
    """Machines that hum, faulty ones higher; every machine's clips as simulated units give them."""

    def stream():
        for machine in range(machines):
            for clip in range(normal + faulty):
                wrong = clip >= normal
                pitch_hz = 400 * (machine + 1) * (1.3 if wrong else 1.0)
                samples = tone(pitch_hz, 100 * machine + clip, seconds)
                name = f"machine-{machine}"
                yield Clip(samples, f"{name}/{'fault' if wrong else 'normal'}", name, faulty=wrong)

    return Pending(machines * (normal + faulty), stream)


def dcase_tones(root, machines=(("fan", 500), ("pump", 900))):
    """Write machines that hum as a data set of DCASE 2023: anomalies hum higher.

    Four training clips of the source and two of the target domain a machine, and two normal and
    two anomalous test clips of each.
    """
    for machine, pitch_hz in machines:
        for domain, factor in (("source", 1.0), ("target", 1.1)):
            clips = [("train", "normal", n) for n in range(4 if domain == "source" else 2)]
            clips += [("test", label, n) for label in ("normal", "anomaly") for n in range(2)]
            for seed, (split, label, number) in enumerate(clips):
                name = f"section_00_{domain}_{split}_{label}_{number:04d}_speed_{factor:g}.wav"
                path = root / machine / split / name
                path.parent.mkdir(parents=True, exist_ok=True)
                higher = 1.5 if label == "anomaly" else 1.0
                wave = tone(pitch_hz * factor * higher, 1000 * pitch_hz + seed, seconds=0.7)
                soundfile.write(path, wave, RATE, subtype="PCM_16")
    return root
