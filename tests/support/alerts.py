"""Alerts for the tests of evidence: events, clips, normal sound."""

from __future__ import annotations

import numpy as np

from edge_asd.evidence.normal import LEAST_SPREAD_DB, BandLevels, NormalSound, measure
from edge_asd.evidence.tap import Clip, Marks
from edge_asd.evidence.view import Mono
from edge_asd.profile.reservoir import PieceWriter
from edge_asd.records import Block, Event, EventType, Severity, State

WALL_S = 1_790_000_000.0
EVENT_ID = "0192f0a0-0000-7000-8000-000000000001"


def alert(**changes):
    """An alert as it was raised, a second and a half after it began."""
    fields = {
        "id": EVENT_ID,
        "type": EventType.NEW,
        "severity": Severity.WARNING,
        "state": State.WARNING,
        "score": 5.25,
        "threshold": 3.0,
        "percentile": 100.0,
        "started_at": WALL_S,
        "updated_at": WALL_S + 1.5,
        "duration_s": 1.5,
        "windows_scored": 4,
        "windows_gapped": 0,
        "nearest": "log_mel:7",
        "level_dbfs": -30.0,
    }
    return Event(**(fields | changes))


def clip_of(samples, rate=16_000, marks=None, **changes):
    """A clip of these samples; without marks the alert begins in its middle."""
    length_s = len(samples) / rate
    fields = {
        "event": alert(),
        "samples": np.asarray(samples, np.float32),
        "rate": rate,
        "start": 7 * rate,
        "captured_at": WALL_S - length_s / 2,
        "marks": marks or Marks(length_s / 4, length_s / 2, length_s / 2 + 1.5),
        "gaps": (),
        "asked_s": length_s,
        "parts": {"embedding": 1.0, "log_mel": 6.0, "level": 0.5},
    }
    return Clip(**(fields | changes))


def noise(seconds, seed=0, rate=16_000, factor=0.1):
    """White noise (n,)."""
    rng = np.random.default_rng(seed)
    return (factor * rng.normal(size=round(seconds * rate))).astype(np.float32)


def tone(hz, seconds, rate=16_000, factor=0.1):
    """A pure tone (n,)."""
    return (factor * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


def normal_of(front_end, windows):
    """Normal sound of windows (n,)."""
    measured = [measure(front_end.frames(window)) for window in windows]
    means = np.stack([one.mean_db for one in measured])
    swings = np.stack([one.swing_db for one in measured])
    first = windows[0]
    return NormalSound(
        usual=BandLevels(means.mean(axis=0), swings.mean(axis=0)),
        spread=BandLevels(
            np.maximum(means.std(axis=0), LEAST_SPREAD_DB),
            np.maximum(swings.std(axis=0), LEAST_SPREAD_DB),
        ),
        level_dbfs=-20.0,
        level_spread_db=0.5,
        windows=len(windows),
        example=front_end.spectrogram(Mono(first, ((0, len(first)),))),
    )


def keep_reservoir(folder, samples, rate=16_000):
    """Write samples (n,) as the normal audio behind a profile."""
    writer = PieceWriter(folder, rate)
    for start in range(0, len(samples), rate):
        writer.push(Block(samples[start : start + rate, None], start, 0.0))
    writer.close()
