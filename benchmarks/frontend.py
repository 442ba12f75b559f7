"""What everything around the network costs per window, stage by stage, with every installed FFT.

Stages take turns, so that their ratios hold on a machine that is busy with something else, and what
counts is processor time. With a bundle, the share of its engine's time is told, too; without one
the features are FeatEx's, with the log-mel scorer's beside them.

    python benchmarks/frontend.py [--bundle FILE] [--windows N] [--json]
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the daemon does, before NumPy is loaded

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_asd.audio import level_dbfs
from edge_asd.bundle import load_bundle
from edge_asd.capture import Resampler
from edge_asd.engine import NetworkSet, open_networks
from edge_asd.features import (
    FeatureExtractor,
    FeatureSpec,
    LogMelStatistics,
    MagnitudeSpectrum,
    StftMagnitude,
    compute,
    fft_backend,
)
from edge_asd.features.fft import BACKENDS, use_fft_backend
from edge_asd.hearing.signal_health import SignalWatch
from edge_asd.operating import measure_slot
from edge_asd.records import Block, FloatArray, Window
from edge_asd.window import Windower

FEATEX: Mapping[str, FeatureSpec] = {
    "spectrum": MagnitudeSpectrum(),
    "spectrogram": StftMagnitude(),
    "log_mel": LogMelStatistics(),
}
MICROPHONE_HZ = 48_000
BLOCKS = 10  # a hop comes in so many
WARM_UP = 5

Stages = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Subject:
    """Whose front end is measured."""

    features: Mapping[str, FeatureSpec]
    sample_rate: int = 16_000
    window_samples: int = 160_000
    hop_samples: int = 15_872


@dataclass(frozen=True)
class FrontEnd:
    """Medians; shares and ratios are medians of ratios of one turn."""

    stages_ms: Mapping[str, float]
    """Processor time a hop of every stage. The stages before ``features`` run for every monitor;
    ``from scratch`` is what ``features`` would cost without shared frames, and no part of it."""
    of_scipy: float
    """Time of ``features`` over that with SciPy's FFT."""
    engine_ms: float | None
    of_engine: float | None
    """Time of ``features`` over the engine's; None without a bundle."""


def measure(
    subject: Subject, windows: int = 100, networks: NetworkSet | None = None
) -> dict[str, FrontEnd]:
    """Front ends by the library that transforms."""
    total = subject.window_samples + (windows + WARM_UP) * subject.hop_samples
    sound = np.random.default_rng(0).normal(0.0, 0.05, total).astype(np.float32)
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in BACKENDS}
    before, extractors = fft_backend(), {name: _extractor(subject) for name in BACKENDS}
    steady = _steady(subject)
    try:
        for number in range(windows + WARM_UP):
            start = number * subject.hop_samples
            window = Window(sound[start : start + subject.window_samples], start, 0, 0.0)
            # Whoever comes first finds the window cold.
            for name in list(BACKENDS)[:: -1 if number % 2 else 1]:
                use = _stages(subject, window, extractors[name], steady, networks)
                use_fft_backend(name)
                turns[name].append({stage: _spent_ms(run) for stage, run in use.items()})
    finally:
        use_fft_backend(before)
    settled = {name: found[WARM_UP:] for name, found in turns.items()}
    return {name: _summary(found, settled["scipy"]) for name, found in settled.items()}


def _extractor(subject: Subject) -> FeatureExtractor:
    return FeatureExtractor(subject.features, subject.sample_rate)


def _steady(subject: Subject) -> Stages:
    """What is done with every block whatever the network, for a hop of audio."""
    native = round(subject.hop_samples * MICROPHONE_HZ / subject.sample_rate)
    rng = np.random.default_rng(1)
    heard, mono = (rng.normal(0.0, 0.05, (n, 1)).astype(np.float32)
                   for n in (native, subject.hop_samples))  # fmt: skip
    watch = SignalWatch(None, MICROPHONE_HZ)
    resampler = Resampler(MICROPHONE_HZ, subject.sample_rate)
    windower = Windower(subject.window_samples, subject.hop_samples, subject.sample_rate, 1.1)
    health, resampling, cutting = (_Endless(some) for some in (heard, heard, mono))
    return {
        "signal health": lambda: [
            watch.block(b.samples[:, 0], b.start / MICROPHONE_HZ) for b in health.hop()
        ],
        "resampling": lambda: [resampler.push(block) for block in resampling.hop()],
        "windows": lambda: [windower.push(block) for block in cutting.hop()],
        "slot": lambda: measure_slot(mono[:, 0]),
    }


class _Endless:
    """The same hop of audio again and again, in blocks."""

    def __init__(self, samples: FloatArray) -> None:
        self._parts, self._start = np.array_split(samples, BLOCKS), 0

    def hop(self) -> Iterator[Block]:
        for part in self._parts:
            yield Block(part, self._start, self._start / MICROPHONE_HZ)
            self._start += len(part)


def _stages(
    subject: Subject,
    window: Window,
    extractor: FeatureExtractor,
    steady: Stages,
    networks: NetworkSet | None,
) -> Stages:
    """All stages of one window, in the order of the pipeline; only FFTs differ by library."""
    found: dict[str, FloatArray] = {}
    specs, rate = subject.features, subject.sample_rate
    stages: Stages = {
        **steady,
        "features": lambda: found.update(extractor.extract(window)),
        "level": lambda: level_dbfs(window.samples),
        "from scratch": lambda: [
            compute(spec, window.samples[None], rate) for spec in specs.values()
        ],
    }
    for name, spec in specs.items():
        if isinstance(spec, MagnitudeSpectrum):
            stages[f"of these, {name}"] = lambda spec=spec: compute(
                spec, window.samples[None], rate
            )
    return stages if networks is None else stages | {"engine": lambda: networks.embed(found)}


def _spent_ms(run: Callable[[], object]) -> float:
    begun = time.process_time_ns()
    run()
    return (time.process_time_ns() - begun) / 1e6


def _summary(turns: list[dict[str, float]], scipy: list[dict[str, float]]) -> FrontEnd:
    medians = {stage: float(np.median([turn[stage] for turn in turns])) for stage in turns[0]}
    engine_ms = medians.pop("engine", None)
    shares = [turn["features"] / turn["engine"] for turn in turns if engine_ms is not None]
    of_scipy = [a["features"] / b["features"] for a, b in zip(turns, scipy, strict=True)]
    return FrontEnd(
        stages_ms=medians,
        of_scipy=float(np.median(of_scipy)),
        engine_ms=engine_ms,
        of_engine=float(np.median(shares)) if shares else None,
    )


def text(found: Mapping[str, FrontEnd]) -> str:
    """As a table for people."""

    def row(title: str, *cells: object) -> str:
        return f"{title:24s}" + "".join(f"{cell!s:>10s}" for cell in cells)

    ends = list(found.values())
    lines = [row("ms a window", *found)]
    lines += [row(one, *(f"{e.stages_ms[one]:.3f}" for e in ends)) for one in ends[0].stages_ms]
    lines.append(row("features, of scipy's", *(f"{e.of_scipy:.2f}" for e in ends)))
    if all(end.of_engine is not None for end in ends):
        lines.append(row("engine", *(f"{end.engine_ms:.3f}" for end in ends)))
        lines.append(row("features, of engine's", *(f"{end.of_engine:.1%}" for end in ends)))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="Take its features, and time its engine.")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    subject, networks = Subject(FEATEX), None
    if arguments.bundle is not None:
        bundle = load_bundle(arguments.bundle)
        manifest, networks = bundle.manifest, open_networks(bundle)
        subject = Subject(
            manifest.features, manifest.sample_rate, manifest.window_samples, manifest.hop_samples
        )
    found = measure(subject, arguments.windows, networks)
    plain = {name: asdict(one) for name, one in found.items()}
    print(json.dumps(plain, indent=1) if arguments.json else text(found))


if __name__ == "__main__":
    main()
