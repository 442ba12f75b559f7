"""Sound for the tests: simulated machines, arrays cut into blocks, arrays as a source."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edge_asd.enrolment.enrol import EnrolRequest, enrol
from edge_asd.records import Block
from edge_asd.score.calibrate import Persistence
from edge_asd.simulate import Fault, Scene, Schedule, SimulatedMachine

RATE = 16_000
WALL_S = 1_790_000_000.0


@lru_cache(maxsize=32)
def machine(
    kind="pump", seconds=90.0, *, seed=1, snr_db=20.0, off=(), fault=None, span=(0.0, None)
):
    """Samples (n,) of a simulated machine at 16 kHz; ``fault`` is there during ``span``."""
    schedule = Schedule(
        fault=None if fault is None else Fault(fault), onset_s=span[0], clear_s=span[1], off=off
    )
    scene = Scene(kind, unit=5, snr_db=snr_db)
    samples = SimulatedMachine(scene, seed=seed, schedule=schedule).read(round(seconds * RATE))
    samples.setflags(write=False)
    return samples


def blocks_of(samples, cuts=(), start=0, wall_s=WALL_S):
    """``samples`` (n,) as blocks that end at ``cuts``, empty ones left out."""
    blocks = []
    for part in np.split(samples, list(cuts)):
        if len(part):
            blocks.append(Block(part[:, None].copy(), start, wall_s + start / RATE))
        start += len(part)
    return blocks


def seconds_of(samples, start=0):
    """``samples`` (n,) as blocks of a second."""
    return blocks_of(samples, range(RATE, len(samples), RATE), start)


class Recording:
    """Stretches of audio, each (first sample, samples), as a finite source."""

    sample_rate = RATE

    def __init__(self, *stretches):
        self.stretches = stretches

    def blocks(self):
        """Every stretch a second at a time."""
        for start, samples in self.stretches:
            yield from seconds_of(samples, start)

    def close(self):
        """Nothing is open."""


def request(monitor="pump-1", **changes):
    """An enrolment for the tiny bundle: a second and a half within two."""
    fields = {
        "monitor": monitor,
        "source": "file:pump.wav",
        "channel": 0,
        "persistence": Persistence.from_seconds(1.5, 2.0, 4096 / RATE),
        "false_alarms_per_week": 100.0,
        "settle_s": 2.0,
    }
    return EnrolRequest(**(fields | changes))


def enrolled(networks, *stretches, **changes):
    """Profile of these stretches of audio, each (first sample, samples) or samples."""
    parts = [part if isinstance(part, tuple) else (0, part) for part in stretches]
    return enrol(
        networks, lambda: Recording(*parts), request(**changes), WALL_S, lambda _done, _what: None
    )
