"""A folder of simulated machines in the layout of DCASE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from edge_asd.errors import StorageError, UsageError
from edge_asd.simulate import KINDS, Fault, Scene, draw_scene, faults_of, render
from edge_asd_train.datasets.decode import to_int16


def write_simulated(
    out: Path,
    *,
    machines: int,
    clips: int,
    duration_s: float,
    seed: int,
    sample_rate: int = 16_000,
) -> Iterator[Path]:
    """Write ``MACHINE/train/*.wav`` and ``MACHINE/test/{normal,anomaly}_*.wav``.

    A machine stays in its room with its microphone; every clip is another moment of it with the
    surroundings at another level.

    Args:
        out: Must not exist yet, so that two sets are never mixed.
        machines: Number of units, kinds in turn.
        clips: Training clips a machine; half as many normal and anomalous tests each, at least one.
        duration_s: Length of a clip in seconds.
        seed: Same seed, same files.
        sample_rate: Hz.

    Yields:
        Every file as it is written.

    Raises:
        UsageError: ``out`` exists.
        StorageError: A file cannot be written.
    """
    if out.exists():
        raise UsageError(f"{out}: exists already; choose another folder")
    for number in range(machines):
        rng = np.random.default_rng([seed, number])
        kind = KINDS[number % len(KINDS)]
        scene = draw_scene(rng, kind, sample_rate=sample_rate)
        folder = out / f"{kind}_{number:02d}"
        for name, fault in _plan(kind, clips, rng):
            samples = _moment(scene, duration_s, fault, rng)
            yield _write(folder / f"{name}.wav", samples, sample_rate)


def planned_files(machines: int, clips: int) -> int:
    """How many files ``write_simulated`` yields."""
    return machines * (clips + 2 * max(1, clips // 2))


def _plan(kind: str, clips: int, rng: np.random.Generator) -> Iterator[tuple[str, Fault | None]]:
    for clip in range(clips):
        yield f"train/normal_{clip:04d}", None
    tests = max(1, clips // 2)
    for clip in range(tests):
        yield f"test/normal_{clip:04d}", None
    names = faults_of(kind)
    for clip in range(tests):
        fault = Fault(names[clip % len(names)], float(rng.uniform(0.3, 1.0)))
        yield f"test/anomaly_{clip:04d}_{fault.name}", fault


def _moment(
    scene: Scene, duration_s: float, fault: Fault | None, rng: np.random.Generator
) -> NDArray[np.int16]:
    heard = replace(scene, snr_db=scene.snr_db + float(rng.uniform(-2.0, 2.0)))
    return to_int16(render(heard, duration_s, seed=int(rng.integers(2**31)), fault=fault))


def _write(path: Path, samples: NDArray[np.int16], sample_rate: int) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, sample_rate, subtype="PCM_16")
    except (OSError, RuntimeError) as error:
        raise StorageError(f"{path}: cannot be written: {error}") from error
    return path
