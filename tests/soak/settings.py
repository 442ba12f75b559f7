"""What the operator of the soak's board has set, and the files that lie there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from support.sound import RATE

from edge_asd.config import Config, parse_config
from soak.sounds import MACHINES, Sounds
from soak.sources import Place
from soak.station import source_of

QUOTA = 8_000_000
PLACES = (
    Place("pair", ("pump", "fan")),  # two monitors on one source
    Place("solo", ("pump",), rate=24_000),
    Place("program", ("fan",)),  # a real child process
)
MONITORS = {"pump-1": ("pair", 0), "fan-1": ("pair", 1), "pump-2": ("solo", 0)} | {
    "fan-2": ("program", 0)
}
ALERT = {
    "false_alarms_per_week": 100,
    "above_s": 1.5,
    "within_s": 2.0,
    "clear_s": 3.0,
    "cooldown_s": 5.0,
    "update_s": 8.0,
}


def config_of(broker_url: str | None) -> Config:
    """Four monitors that raise and end their alerts quickly, and little room for evidence."""
    monitors = [
        {
            "name": name,
            "source": source_of(place_of(name)),
            "channel": channel,
            "enrol_s": 60,
            "settle_s": 2,
            "alert": ALERT,
        }
        for name, (_, channel) in MONITORS.items()
    ]
    evidence = {
        "before_s": 2,
        "after_s": 2,
        "quota_mb": QUOTA / 1e6,
        "free_floor_mb": 1,
        "publish_picture": True,
    }
    raw = {"device": "soak", "monitors": monitors, "evidence": evidence}
    if broker_url is not None:
        raw["mqtt"] = {"url": broker_url}
    return parse_config(raw, "the soak's settings")


def place_of(monitor: str) -> Place:
    """Where a monitor listens."""
    at, _ = MONITORS[monitor]
    return next(place for place in PLACES if place.name == at)


def machine_of(monitor: str) -> str:
    """What it listens to."""
    return place_of(monitor).machines[MONITORS[monitor][1]]


@dataclass(frozen=True, slots=True)
class Recordings:
    """Files of the machines, by kind."""

    enrol: dict[str, Path]
    """Normal sound to learn from."""
    play: dict[str, Path]
    """What a program plays: normal, then broken."""


def make_sounds() -> Sounds:
    """Every machine at every rate that it may be heard at."""
    sounds = Sounds()
    for kind in MACHINES:
        sounds.make(kind, tuple(sorted({rate for place in PLACES for rate in place.rates})))
    return sounds


def write_recordings(folder: Path, sounds: Sounds) -> Recordings:
    """Write the files into a folder."""
    recordings = Recordings({}, {})
    for kind in MACHINES:
        normal, faulty = (sounds.loop(kind, what, RATE) for what in ("normal", "fault"))
        recordings.enrol[kind] = folder / f"{kind}.wav"
        soundfile.write(recordings.enrol[kind], normal, RATE)
        played = np.concatenate([normal, faulty[: RATE * 15]])
        recordings.play[kind] = folder / f"{kind}.pcm"
        recordings.play[kind].write_bytes((played * 32_767).round().astype("<i2").tobytes())
    return recordings
