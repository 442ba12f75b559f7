"""Short WAV files of a machine that hums, and the records that name them."""

from __future__ import annotations

import numpy as np
import soundfile

from edge_asd_train.datasets.index import ClipFile

RATE = 16_000


def hum(folder, name, *, pitch_hz=400.0, seed=0, domain="source", seconds=0.6):
    """Write a tone in noise and name it."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    wave = 0.1 * np.sin(2 * np.pi * (pitch_hz * t + rng.random())) + 0.02 * rng.normal(size=len(t))
    path = folder / f"{name}.wav"
    soundfile.write(path, wave, RATE, subtype="PCM_16")
    return ClipFile(path, "fan", "00", "train", domain=domain, anomalous=False)


def normal_clips(folder, source=8, target=2):
    """Training clips, the target domain at another pitch."""
    clips = [hum(folder, f"source_{i}", seed=i) for i in range(source)]
    clips += [
        hum(folder, f"target_{i}", pitch_hz=440.0, seed=100 + i, domain="target")
        for i in range(target)
    ]
    return clips
