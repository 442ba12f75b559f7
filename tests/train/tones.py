"""Clips of classes that differ in pitch."""

from __future__ import annotations

import numpy as np

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
