"""The alternative, the product on every engine, and the engines alone: windows a second, in turns.

All of them live in one process on one core and hear the same sound. In every round each has a turn
of some windows, in an order drawn anew, after one window that is not counted. What is compared is
compared within a round, so that a machine that slows down for a while does not matter.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.alternative import Alternative, FrontEnd, Hearing, LibrosaFrontEnd, NumpyFrontEnd
from benchmarks.performance.figures import ALTERNATIVE
from benchmarks.performance.material import Material
from edge_asd.audio import db_to_factor
from edge_asd.bench.result import Spread
from edge_asd.bench.subject import Stream, Subject, prepare
from edge_asd.bundle import Bundle
from edge_asd.engine import EngineRequest, NetworkSet, open_networks
from edge_asd.errors import EdgeAsdError
from edge_asd.features import FeatureExtractor
from edge_asd.features.fft import BACKENDS, use_fft_backend
from edge_asd.pipeline import Judged
from edge_asd.records import Block, Window
from edge_asd_train.export import trained_network

ROUNDS, WINDOWS = 40, 8
PARITY_WINDOWS = 40
TOLERANCE = 0.01
"""Largest difference of scores in fp32; 1 is the standard deviation of normal scores."""

LIBROSA, TUNED = f"{ALTERNATIVE}, librosa", f"{ALTERNATIVE}, channels last"
ENGINES = (
    EngineRequest("onnxruntime", "fp32"),
    EngineRequest("openvino", "fp32"),
    EngineRequest("openvino", "bf16"),
)
"""The first one teaches the references."""

Hop = tuple[int, np.ndarray]
"""First sample and samples (n,)."""
Features = Mapping[str, np.ndarray]


@dataclass
class Contestant:
    """Somebody who takes hops."""

    name: str
    push: Callable[[Hop], float | None]
    """Takes in a hop; the score, of whoever gives one."""
    fft: str | None = None
    """Library that has to be chosen first."""
    stages: Callable[[], Mapping[str, float]] = dict
    """Seconds of the last window, by stage."""
    exact: bool = True
    """Whether the scores have to be those of the alternative."""
    wall_s: list[float] = field(default_factory=list)
    """A window, round by round."""
    cpu_s: list[float] = field(default_factory=list)
    stages_s: list[Mapping[str, float]] = field(default_factory=list)

    def turn(self, hops: Sequence[Hop]) -> None:
        """Take the first hop unmeasured, then the others."""
        self.choose()
        self.push(hops[0])
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        for hop in hops[1:]:
            self.push(hop)
            self.stages_s.append(self.stages())
        self.wall_s.append((time.perf_counter() - begun_s) / (len(hops) - 1))
        self.cpu_s.append((time.process_time() - cpu_s) / (len(hops) - 1))

    def choose(self) -> None:
        """Have the right library transform."""
        if self.fft is not None:
            use_fft_backend(self.fft)


def measure(material: Material, *, rounds: int = ROUNDS, windows: int = WINDOWS) -> dict[str, Any]:
    """Let all of them take their turns.

    Args:
        material: Prepared.
        rounds: How often.
        windows: Measured in a turn.

    Raises:
        ValueError: Scores that have to be equal are not.
    """
    torch.set_num_threads(1)
    opened, absent = open_engines(material.bundle())
    first = next(iter(opened.values()))
    subject = prepare(first, lambda _done, _what: None)
    network = trained_network(material.checkpoint())
    contestants = [
        *alternatives(network, subject),
        *(one for name in opened for one in products(name, opened[name], subject)),
        *engines(opened, network, subject),
    ]
    stream = hops(subject)
    parity = check_parity(contestants, [next(stream) for _ in range(PARITY_WINDOWS)])
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        turn = [next(stream) for _ in range(windows + 1)]
        for number in rng.permutation(len(contestants)):
            contestants[number].turn(turn)
    return {
        "rounds": rounds,
        "windows": rounds * windows,
        "hop_s": subject.hop_s,
        "parity": {"tolerance": TOLERANCE, "windows": PARITY_WINDOWS, "largest": parity},
        "absent": absent,
        "versions": _versions(),
        "contestants": {one.name: figures(one) for one in contestants},
        "ratios": ratios(contestants),
    }


def _versions() -> dict[str, str]:
    """Of what the alternative is made of."""
    found = {}
    for package in ("torch", "librosa"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def open_engines(bundle: Bundle) -> tuple[dict[str, NetworkSet], dict[str, str]]:
    """Engines by name and precision, and why others are absent."""
    opened, absent = {}, {}
    for request in ENGINES:
        name = f"{request.name} {request.precision}"
        try:
            opened[name] = open_networks(bundle, request)
        except EdgeAsdError as error:
            absent[name] = str(error)
    return opened, absent


def alternatives(network: nn.Module, subject: Subject) -> Iterator[Contestant]:
    """The obvious one; with librosa; and by somebody who knows what torch's convolutions like."""
    rate = subject.manifest.sample_rate
    yield _alternative(ALTERNATIVE, network, NumpyFrontEnd(rate), subject)
    with contextlib.suppress(ImportError):  # the page says so
        yield _alternative(LIBROSA, network, LibrosaFrontEnd(rate), subject)
    tuned = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    yield _alternative(TUNED, tuned, NumpyFrontEnd(rate), subject)


def _alternative(
    name: str, network: nn.Module, front_end: FrontEnd, subject: Subject
) -> Contestant:
    plain = Alternative(Hearing(network, front_end), subject.manifest, subject.profile)
    for _, samples in hops(subject, until_full=True):
        plain.push(samples)
    return Contestant(name, lambda hop: plain.push(hop[1]))


def products(name: str, networks: NetworkSet, subject: Subject) -> Iterator[Contestant]:
    """The whole pipeline on an engine, with every library that transforms."""
    for fft in BACKENDS:
        yield _product(name, fft, replace(subject, networks=networks))


def _product(name: str, fft: str, subject: Subject) -> Contestant:
    pipeline, rate = Stream(subject).pipeline, subject.manifest.sample_rate

    def push(hop: Hop) -> float | None:
        start, samples = hop
        outcomes = pipeline.push(Block(samples[:, None], start, start / rate))
        scored = [one.scored for one in outcomes if isinstance(one, Judged) and one.scored]
        return scored[0].score if scored else None

    exact = subject.networks.precision == "fp32"
    title = f"pipeline, {name}, {fft}"
    return Contestant(title, push, fft, lambda: dict(pipeline.embedder.spent_s), exact)


def engines(
    opened: Mapping[str, NetworkSet], network: nn.Module, subject: Subject
) -> Iterator[Contestant]:
    """Engines alone, torch among them, with features that are ready."""
    examples = _examples(subject)

    def contestant(name: str, embed: Callable[[Features], object]) -> Contestant:
        numbers = itertools.cycle(range(len(examples)))

        def push(_: Hop) -> None:
            embed(examples[next(numbers)])

        return Contestant(f"engine, {name}", push)

    def eager(features: Features) -> None:
        with torch.no_grad():
            network(*(torch.from_numpy(array) for array in features.values())).numpy()

    for name, networks in opened.items():
        yield contestant(name, networks.embed)
    yield contestant("torch fp32", eager)


def _examples(subject: Subject) -> list[Features]:
    """Features of some windows, the network's alone, in the order of its arguments."""
    manifest, gain = subject.manifest, np.float32(db_to_factor(subject.profile.gain_db))
    extractor = FeatureExtractor(manifest.features, manifest.sample_rate)
    (network,) = manifest.networks
    names = [f"{network.id}/{name}" for name in ("spectrum", "spectrogram")]
    examples: list[Features] = []
    for number in range(WINDOWS):
        begin = number * manifest.hop_samples
        samples = subject.sound[begin : begin + manifest.window_samples] * gain
        found = extractor.extract(Window(samples, begin, run=number, captured_at=0.0))
        examples.append({name: np.array(found[name]) for name in names})
    return examples


def hops(subject: Subject, *, until_full: bool = False) -> Iterator[Hop]:
    """The sound over and over, hop by hop.

    Args:
        subject: Whose.
        until_full: All hops but that which completes the first window; else those from there on,
            without end.
    """
    hop, length = subject.manifest.hop_samples, subject.manifest.window_samples
    if until_full:
        yield 0, subject.sound[: length - hop]
        return
    start = length - hop
    while True:
        where = np.arange(start, start + hop) % len(subject.sound)
        yield start, subject.sound[where]
        start += hop


def check_parity(contestants: Sequence[Contestant], stream: Sequence[Hop]) -> dict[str, float]:
    """Largest differences from the alternative's scores.

    Raises:
        ValueError: One that should be negligible is not, or there is no score.
    """
    expected = np.asarray([contestants[0].push(hop) for hop in stream], float)
    found = {}
    for one in contestants[1:]:
        one.choose()
        scores = [one.push(hop) for hop in stream]
        if all(score is None for score in scores):
            continue  # an engine alone
        difference = float(np.abs(np.asarray(scores, float) - expected).max())
        if not difference <= (TOLERANCE if one.exact else np.inf):
            raise ValueError(f"{one.name}: a score differs from the alternative's by {difference}")
        found[one.name] = difference
    return found


def figures(one: Contestant) -> dict[str, Any]:
    """What is told of a contestant."""
    stages = [stages for stages in one.stages_s if stages]
    return {
        "windows_per_s": asdict(Spread.of([1 / spent_s for spent_s in one.wall_s])),
        "ms": asdict(Spread.of([1e3 * spent_s for spent_s in one.wall_s])),
        "cpu_ms": 1e3 * float(np.median(one.cpu_s)),
        "stages_ms": {
            name: 1e3 * float(np.median([each[name] for each in stages]))
            for name in (stages[0] if stages else ())
        },
    }


def ratios(contestants: Sequence[Contestant]) -> dict[str, dict[str, dict[str, float]]]:
    """Of every contestant the windows a second, as a multiple of everybody else's in that round."""
    return {
        one.name: {
            other.name: asdict(Spread.of(np.divide(other.wall_s, one.wall_s).tolist()))
            for other in contestants
            if other is not one
        }
        for one in contestants
    }
