"""How hard the simulated data set is, and whether what is missed could have been heard.

For every machine of ``edge-asd-train simulate`` with these options:

- *log-mel*: distance of a test clip to the nearest training clip in mean and standard deviation
  over time of the log-mel spectrogram, by the official rules of DCASE 2023;
- *level alone*: distance to the nearest training clip in level, as AUC over all tests;
- *shown the faults*: cross-validated AUC of a classifier that is shown labelled clips with these
  very faults, the tests and further clips of the same machine drawn as they are: what can be heard;
- *circumstances*: the same for the tests with the faults taken away (severity 0). It must be that
  of chance, or noise, room, speed or level gave the label away.

    python benchmarks/difficulty.py --seed 1 --clips 200 [--difficulty default] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.fft
import scipy.stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_asd.audio import level_dbfs
from edge_asd.features import LogMelStatistics, compute
from edge_asd.features.frames import stft_magnitude
from edge_asd.features.mel import log_mel, mel_filterbank
from edge_asd.simulate import Fault
from edge_asd_train.datasets.simulated_clip import render_clip
from edge_asd_train.datasets.simulated_options import DIFFICULTIES, Options
from edge_asd_train.datasets.simulated_plan import (
    PlannedClip,
    World,
    draw_world,
    plan_cell,
    plan_tests,
    plan_training,
)
from edge_asd_train.evaluate.rank import auc
from edge_asd_train.evaluate.rules import evaluate
from edge_asd_train.evaluate.sections import DOMAINS, SectionScores

FURTHER = 400
"""Further normal and further anomalous clips of a machine for the classifier, each."""
FOLDS = 5
RULES = 2023


@dataclass(frozen=True)
class Described:
    """What is measured of one clip."""

    level_db: float
    log_mel: np.ndarray
    """(256,)."""
    rich: np.ndarray
    """(D,), for the classifier."""


def describe(clip: PlannedClip, duration_s: float) -> Described:
    """Render a clip and measure it."""
    samples = render_clip(clip, duration_s).astype(np.float32) / np.float32(32768.0)
    rate = clip.scene.sample_rate
    statistics = compute(LogMelStatistics(), samples[None], rate)[0]
    return Described(level_dbfs(samples), statistics, rich_features(samples, rate, statistics))


def rich_features(samples: np.ndarray, rate: int, statistics: np.ndarray) -> np.ndarray:
    """Long-term spectrum, its spread, shape and rhythm in bands, (D,)."""
    frames = stft_magnitude(samples[None], 512, 64)  # (1, T, F), 250 frames/s at 16 kHz
    bands = log_mel(frames, mel_filterbank(rate, 512, 24, 50.0, rate / 2))[0]  # (T, 24)
    centred = bands - bands.mean(axis=0)
    rhythm = np.abs(scipy.fft.rfft(centred * np.hanning(len(bands))[:, None], axis=0)) ** 2
    f_hz = np.fft.rfftfreq(len(bands), 64 / rate)
    edges_hz = np.geomspace(0.4, 0.5 * rate / 64, 25)
    inside = [(f_hz >= low) & (f_hz < high) for low, high in pairwise(edges_hz)]
    rhythms = np.log(np.stack([rhythm[band].mean(axis=0) for band in inside if band.any()]) + 1e-9)
    peaks = np.log(np.stack([rhythm[band].max(axis=0) for band in inside if band.sum() > 3]) + 1e-9)
    spread = np.percentile(centred, [5, 25, 75, 95, 99, 99.8], axis=0)
    shape = np.stack([scipy.stats.skew(bands), scipy.stats.kurtosis(bands)])
    long_term = np.abs(stft_magnitude(samples[None], 8192, 4096))[0].mean(axis=0)  # 2 Hz lines
    lines_hz = np.geomspace(20.0, 4000.0, 160)
    f_hz = np.linspace(0.0, rate / 2, len(long_term))
    lines = np.log(np.interp(lines_hz, f_hz, long_term) + 1e-9)
    parts = (statistics, rhythms, peaks, spread, shape, lines)
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


def describe_all(clips: Sequence[PlannedClip], options: Options, processes: int) -> list[Described]:
    """Of many clips."""
    if processes == 1:
        return [describe(clip, options.duration_s) for clip in clips]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        return list(pool.map(describe, clips, [options.duration_s] * len(clips), chunksize=16))


def plan_further(options: Options, world: World, count: int) -> list[PlannedClip]:
    """Clips drawn as the tests are."""
    return [
        clip
        for domain in ("source", "target")
        for anomalous in (False, True)
        for clip in plan_cell(
            options, world, "test", domain, count // 2, anomalous=anomalous, draw=1
        )
    ]


def harmless(clips: Sequence[PlannedClip]) -> list[PlannedClip]:
    """The anomalous ones of these clips with faults of severity 0."""
    return [replace(clip, fault=Fault(clip.fault.name, 0.0)) for clip in clips if clip.fault]


def nearest(bank: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Distance of each row to the nearest of the bank, (N, D) -> (N,)."""
    return np.asarray([np.linalg.norm(bank - row, axis=1).min() for row in rows])


def shown(clips: Sequence[Described], faults: np.ndarray) -> np.ndarray:
    """How far two classifiers together take each clip for faulty, (N,), 0..1.

    Each fifth is scored by what the others taught. Trees see what is in single features; the
    discriminant undoes colour and gain, which move many bands at once.
    """
    rich = np.stack([clip.rich for clip in clips])
    scores = np.zeros((2, len(clips)))
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in splits.split(rich, faults):
        trees = ExtraTreesClassifier(300, min_samples_leaf=2, random_state=0)
        linear = make_pipeline(
            StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        )
        for row, rows, model in ((0, rich, trees), (1, log_mels(clips), linear)):
            model.fit(rows[train], faults[train])
            normal = list(model.classes_).index("normal")
            scores[row, test] = 1.0 - model.predict_proba(rows[test])[:, normal]
    return scipy.stats.rankdata(scores, axis=1).mean(axis=0) / len(clips)


def section(world: World, tests: Sequence[PlannedClip], scores: np.ndarray) -> SectionScores:
    """Scores of the tests of one machine."""
    return SectionScores(
        world.machine,
        "00",
        tuple(clip.name for clip in tests),
        scores,
        np.asarray([clip.fault is not None for clip in tests]),
        np.asarray([DOMAINS.index(clip.point.domain) for clip in tests], np.int8),
    )


@dataclass(frozen=True)
class Measured:
    """Scores of one machine's tests, and AUC of the two checks."""

    log_mel: SectionScores
    level: SectionScores
    shown: float
    circumstances: float


def measure(options: Options, number: int, processes: int, further: int) -> Measured:
    """Score one machine in every way."""
    world = draw_world(options, number)
    train, tests = plan_training(options, world), plan_tests(options, world)
    bank = describe_all(train, options, processes)
    heard = describe_all(tests, options, processes)
    more = plan_further(options, world, further)
    names = np.asarray([clip.fault.name if clip.fault else "normal" for clip in tests + more])
    labelled = heard + describe_all(more, options, processes)
    # Normal clips are the same with and without faults: only the others are rendered again.
    faulty = names[: len(tests)] != "normal"
    again = iter(describe_all(harmless(tests), options, processes))
    calm = [next(again) if wrong else one for one, wrong in zip(heard, faulty, strict=True)]
    return Measured(
        section(world, tests, nearest(*(log_mels(clips) for clips in (bank, heard)))),
        section(world, tests, nearest(*(levels(clips) for clips in (bank, heard)))),
        auc(shown(labelled, names), names != "normal"),
        auc(shown(calm, np.where(faulty, "fault", "normal")), faulty),
    )


def log_mels(clips: Sequence[Described]) -> np.ndarray:
    """(N, 256)."""
    return np.stack([clip.log_mel for clip in clips])


def levels(clips: Sequence[Described]) -> np.ndarray:
    """(N, 1)."""
    return np.asarray([[clip.level_db] for clip in clips])


def figures(measured: Measured) -> dict[str, float]:
    """What stands in the row of a machine, 0..1."""
    result = evaluate([measured.log_mel], RULES)
    anomalous = measured.log_mel.anomalous
    return {
        "log-mel official": result.official,
        **{term: result.hmean(term) for term in ("auc_source", "auc_target", "pauc")},
        "level alone": auc(measured.level.scores, anomalous),
        "shown the faults": measured.shown,
        "circumstances": measured.circumstances,
    }


def table(machines: dict[str, dict[str, float]]) -> str:
    """Markdown: a row a machine."""
    columns = list(next(iter(machines.values())))
    lines = ["| machine | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for machine, values in machines.items():
        cells = [f"{100 * values[column]:.1f}" for column in columns]
        lines.append(f"| {machine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--machines", type=int, default=7)
    parser.add_argument("--difficulty", choices=list(DIFFICULTIES), default="default")
    parser.add_argument("--further", type=int, default=FURTHER)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path, help="Also write the figures here.")
    arguments = parser.parse_args()
    options = Options(arguments.clips, arguments.seed, arguments.machines, arguments.difficulty)
    machines, sections = {}, []
    for number in range(options.machines):
        measured = measure(options, number, arguments.processes, arguments.further)
        sections.append(measured.log_mel)
        machines[measured.log_mel.machine] = figures(measured)
        print(f"{measured.log_mel.machine} measured", file=sys.stderr)
    heard = [row["shown the faults"] for row in machines.values()]
    summary = {
        "official": evaluate(sections, RULES).official,
        "level alone": float(np.mean([row["level alone"] for row in machines.values()])),
        "shown the faults": float(np.mean(heard)),
        "shown the faults, least": min(heard),
        "circumstances": float(np.mean([row["circumstances"] for row in machines.values()])),
    }
    print(table(machines), end="\n\n")
    print(", ".join(f"{name} {100 * value:.1f}" for name, value in summary.items()))
    if arguments.json:
        text = json.dumps({"summary": summary, "machines": machines}, indent=1) + "\n"
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
