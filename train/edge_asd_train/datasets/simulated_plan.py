"""What every clip of the simulated set is, before any of them is rendered.

Whatever is not the fault (operating point, noise, room, microphone, gain) is drawn from the same
distributions for normal and for anomalous test clips, and before the fault is drawn, so that
none of it can give the label away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_asd.simulate import KINDS, Fault, Scene, faults_of
from edge_asd_train.datasets.index import Domain, Split
from edge_asd_train.datasets.simulated_options import DIFFICULTIES, Difficulty, Options

__all__ = [
    "DIFFICULTIES",
    "PLACES",
    "Difficulty",
    "OperatingPoint",
    "Options",
    "PlannedClip",
    "World",
    "draw_world",
    "plan_cell",
    "plan_tests",
    "plan_training",
]

PLACES = 3
"""Noise places of a machine: two in the source domain, one in the target domain."""

_SEEDS = 2**31


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One combination of attributes."""

    domain: Domain
    speed_percent: int
    load_percent: int
    place: int
    """Noise place, 1 to ``PLACES``."""

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """As the file name tells them."""
        return (
            ("spd", str(self.speed_percent)),
            ("load", str(self.load_percent)),
            ("n", str(self.place)),
        )


@dataclass(frozen=True, slots=True)
class World:
    """One machine of the set: its unit, its operating points and its places."""

    machine: str
    number: int
    scene: Scene
    """At full speed and half load in the source room; the level is that of this point."""
    points: tuple[OperatingPoint, ...]
    rooms: dict[Domain, int]
    noises: tuple[int, ...]
    """Seed of the surroundings of each place."""


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """One clip; everything that ``simulated_clip.render_clip`` needs."""

    machine: str
    split: Split
    point: OperatingPoint
    number: int
    """Within split, domain and label."""
    scene: Scene
    fault: Fault | None
    """``None`` in normal clips."""
    seed: int
    colour_db: float
    recording: float
    """Which recording of the noise place, as a fraction of their number, 0..1."""
    recording_snr_db: float
    """Level of the machine over that recording's."""

    @property
    def name(self) -> str:
        """File name as in DCASE 2023."""
        label = "anomaly" if self.fault else "normal"
        told = "_".join(part for pair in self.point.attributes for part in pair)
        return f"section_00_{self.point.domain}_{self.split}_{label}_{self.number:04d}_{told}.wav"

    @property
    def path(self) -> str:
        """Relative to the root of the set."""
        return f"{self.machine}/{self.split}/{self.name}"


def draw_world(options: Options, number: int) -> World:
    """Draw one machine of the set.

    Args:
        options: Of the set.
        number: Of the machine; kinds in turn.
    """
    rng = np.random.default_rng([options.seed, number])
    kind = KINDS[number % len(KINDS)]
    turn = number // len(KINDS)
    unit, microphone, source, target, *noises = (
        int(seed) for seed in rng.integers(0, _SEEDS, 4 + PLACES)
    )
    hard = DIFFICULTIES[options.difficulty]
    scene = Scene(
        kind,
        unit,
        options.sample_rate,
        room=source,
        microphone=microphone,
        snr_db=hard.snr_db,
        level_dbfs=float(rng.uniform(-34.0, -28.0)),
    )
    return World(
        f"{kind}_{turn + 1}" if turn else kind,
        number,
        scene,
        _draw_points(hard, rng),
        {"source": source, "target": target},
        tuple(noises),
    )


def _draw_points(hard: Difficulty, rng: np.random.Generator) -> tuple[OperatingPoint, ...]:
    """Four to six source points of two speeds, two loads and two places; two target points."""
    slow = round(float(rng.uniform(84.0, 92.0)))
    fast = slow + round(float(rng.uniform(5.0, 9.0)))
    light = 5 * round(float(rng.uniform(5.0, 8.0)))
    heavy = light + 20
    choices = [
        OperatingPoint("source", speed, load, place)
        for speed in (slow, fast)
        for load in (light, heavy)
        for place in (1, 2)
    ]
    kept = np.sort(rng.permutation(len(choices))[: int(rng.integers(4, 7))])
    other = fast * (1.0 + hard.shift) if rng.random() < 0.5 else slow * (1.0 - hard.shift)
    shifted = [
        OperatingPoint("target", round(other), load, PLACES) for load in (light - 15, heavy + 15)
    ]
    return (*(choices[index] for index in kept), *shifted)


def plan_training(options: Options, world: World) -> list[PlannedClip]:
    """Training clips of one machine: the source domain first."""
    counts: dict[Domain, int] = {
        "source": options.clips - options.target_clips,
        "target": options.target_clips,
    }
    return [
        clip
        for domain, count in counts.items()
        for clip in plan_cell(options, world, "train", domain, count)
    ]


def plan_tests(options: Options, world: World) -> list[PlannedClip]:
    """Test clips of one machine, a quarter for each domain and label."""
    return [
        clip
        for domain in ("source", "target")
        for anomalous in (False, True)
        for clip in plan_cell(
            options, world, "test", domain, options.test_clips, anomalous=anomalous
        )
    ]


def plan_cell(
    options: Options,
    world: World,
    split: Split,
    domain: Domain,
    count: int,
    *,
    anomalous: bool = False,
    draw: int = 0,
) -> list[PlannedClip]:
    """Clips of one machine, split, domain and label.

    Args:
        options: Of the set.
        world: The machine.
        split: Training or test.
        domain: Source or target.
        count: How many.
        anomalous: Every fault in turn, at severities spread evenly over the range.
        draw: 0 is the set itself; other numbers are further clips of the same machine.
    """
    cell = (split == "test", domain == "target", anomalous, draw)
    key = [options.seed, world.number, *(int(part) for part in cell)]
    points = [point for point in world.points if point.domain == domain]
    hard = DIFFICULTIES[options.difficulty]
    found = []
    for number in range(count):
        rng = np.random.default_rng([*key, number])
        point = points[number % len(points)]
        found.append(_draw_clip(hard, world, split, number, point=point, rng=rng))
    if not anomalous:
        return found
    faults = _spread_faults(world, hard.severity, count, np.random.default_rng(key))
    return [replace(clip, fault=fault) for clip, fault in zip(found, faults, strict=True)]


def _draw_clip(
    hard: Difficulty,
    world: World,
    split: Split,
    number: int,
    *,
    point: OperatingPoint,
    rng: np.random.Generator,
) -> PlannedClip:
    """Draw everything but the fault."""

    def spread(sigma: float) -> float:
        """Normal with rare values cut off."""
        return sigma * float(np.clip(rng.standard_normal(), -2.5, 2.5))

    speed = point.speed_percent / 100.0 * (1.0 + spread(hard.speed_spread))
    load = float(np.clip(point.load_percent / 100.0 + spread(hard.load_spread), 0.0, 1.0))
    # As the sound of flow grows with speed (see edge_asd.simulate.shifted), over the same noise.
    change_db = 50.0 * float(np.log10(speed)) + 4.0 * (load - 0.5)
    snr_db = world.scene.snr_db + change_db + spread(hard.snr_spread_db)
    scene = replace(
        world.scene,
        speed=speed,
        load=load,
        room=world.rooms[point.domain],
        noise=world.noises[point.place - 1],
        snr_db=snr_db,
        level_dbfs=world.scene.level_dbfs + change_db + spread(hard.gain_spread_db),
    )
    return PlannedClip(
        world.machine,
        split,
        point,
        number,
        scene,
        fault=None,
        seed=int(rng.integers(_SEEDS)),
        colour_db=hard.colour_db,
        recording=float(rng.random()),
        recording_snr_db=snr_db + float(rng.uniform(0.0, 8.0)),
    )


def _spread_faults(
    world: World, severity: tuple[float, float], count: int, rng: np.random.Generator
) -> Iterator[Fault]:
    """Every fault as often as another, each with evenly graded severities, in random order."""
    names: Sequence[str] = faults_of(world.scene.kind)
    first = int(rng.integers(len(names)))
    chosen = [names[(first + clip) % len(names)] for clip in range(count)]
    low, high = severity
    graded = []
    for name in names:
        share = chosen.count(name)
        steps = (np.arange(share) + rng.random(share)) / max(share, 1)
        graded += [Fault(name, round(float(low + (high - low) * step), 3)) for step in steps]
    return (graded[index] for index in rng.permutation(count))
