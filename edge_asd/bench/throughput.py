"""Windows a second of one thread: the engine alone and the whole pipeline, taking turns.

Machines slow down and speed up by a quarter while they are measured. Both are therefore measured in
turns of a fraction of a second, and compared turn by turn.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import numpy as np

from edge_asd.audio import db_to_factor
from edge_asd.bench.result import Spread, Stages, Throughput
from edge_asd.bench.subject import Stream, Subject
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet
from edge_asd.enrolment.enrol import Progress
from edge_asd.errors import EngineError
from edge_asd.features import FeatureExtractor
from edge_asd.pipeline import Judged
from edge_asd.records import FloatArray, Window
from edge_asd.score import Views

TURN_S = 0.15
_LEAST_TURNS = 3
_EXAMPLES = 4
"""Different windows for the engine alone, so that none stays in the nearest cache."""

Clock = Callable[[], float]
Features = Mapping[str, FloatArray]


def measure_throughput(
    subject: Subject, seconds: float, progress: Progress, clock: Clock = time.perf_counter
) -> Throughput:
    """Measure for so many seconds, three turns at least.

    Args:
        subject: What is measured.
        seconds: How long.
        progress: Told how far it is.
        clock: Seconds.

    Raises:
        EngineError: The engine failed, or the pipeline judged no window.
    """
    networks, examples, views = subject.networks, _features(subject), _views(subject)
    batch = networks.batch
    batched = _joined(examples, batch) if batch > 1 else None
    stream = Stream(subject)
    _engine_turn(networks, examples, _EXAMPLES, clock)  # warms up, as the first turn below does
    alone = _windows_a_turn(_engine_turn(networks, examples, _EXAMPLES, clock))
    _Spent().turn(stream, _EXAMPLES, clock)
    whole = _windows_a_turn(_Spent().turn(stream, _EXAMPLES, clock))
    turns: list[tuple[float, float]] = []  # windows a second: engine, pipeline
    together: list[float] = []
    spent = _Spent()
    begun_s = clock()
    while len(turns) < _LEAST_TURNS or clock() - begun_s < seconds:
        progress(min(1.0, (clock() - begun_s) / seconds), "engine and pipeline in turns")
        engine_s = _engine_turn(networks, examples, alone, clock)
        pipeline_s = spent.turn(stream, whole, clock)
        spent.score_s.append(_score_turn(subject, views, clock))
        turns.append((alone / engine_s, whole / pipeline_s))
        if batched is not None:
            rounds = -(-alone // batch)
            took_s = _engine_turn(networks, [batched], rounds, clock)
            together.append(rounds * batch / took_s)
    return Throughput(
        Spread.of([engine for engine, _ in turns]),
        Spread.of([pipeline for _, pipeline in turns]),
        Spread.of([pipeline / engine for engine, pipeline in turns]),
        spent.stages(),
        len(turns) * whole,
        batch,
        Spread.of(together) if together else None,
    )


class _Spent:
    """Where the pipeline's time went, window by window."""

    def __init__(self) -> None:
        self.features_s: list[float] = []
        self.inference_s: list[float] = []
        self.whole_s: list[float] = []
        self.score_s: list[float] = []  # a window, turn by turn

    def turn(self, stream: Stream, count: int, clock: Clock) -> float:
        """Have so many windows judged; how long it took."""
        first_s = last_s = clock()
        for _ in range(count):
            outcomes = stream.hear()
            before_s, last_s = last_s, clock()
            if not any(isinstance(one, Judged) and one.scored for one in outcomes):
                raise EngineError("the pipeline did not score a window of normal sound")
            self.whole_s.append(last_s - before_s)
            self.features_s.append(stream.pipeline.embedder.spent_s["features"])
            self.inference_s.append(stream.pipeline.embedder.spent_s["inference"])
        return last_s - first_s

    def stages(self) -> Stages:
        """Medians."""
        features, inference, whole, score = (
            1e3 * float(np.median(values))
            for values in (self.features_s, self.inference_s, self.whole_s, self.score_s)
        )
        return Stages(features, inference, score, max(0.0, whole - features - inference - score))


def _engine_turn(networks: NetworkSet, examples: list[Features], count: int, clock: Clock) -> float:
    begun_s = clock()
    for number in range(count):
        networks.embed(examples[number % len(examples)])
    return clock() - begun_s


def _score_turn(subject: Subject, views: list[Views], clock: Clock) -> float:
    """What scoring takes a window."""
    begun_s = clock()
    for one in views:
        subject.profile.detector.score(one)
    return (clock() - begun_s) / len(views)


def _windows_a_turn(examples_s: float) -> int:
    """Windows that fill a turn, if the examples took so long."""
    return max(2, math.ceil(TURN_S * _EXAMPLES / max(examples_s, 1e-6)))


def _windows(subject: Subject) -> list[Window]:
    manifest, profile = subject.manifest, subject.profile
    gain = np.float32(db_to_factor(profile.gain_db))
    length, hop = manifest.window_samples, manifest.hop_samples
    return [
        Window(subject.sound[begin : begin + length] * gain, begin, run=begin, captured_at=0.0)
        for begin in range(0, _EXAMPLES * hop, hop)
    ]


def _features(subject: Subject) -> list[Features]:
    extractor = FeatureExtractor(subject.manifest.features, subject.manifest.sample_rate)
    return [
        {name: np.array(values) for name, values in extractor.extract(window).items()}
        for window in _windows(subject)
    ]


def _views(subject: Subject) -> list[Views]:
    embedder = WindowEmbedder(subject.networks)
    return [embedder.embed(window) for window in _windows(subject)]


def _joined(examples: list[Features], batch: int) -> Features:
    return {
        name: np.concatenate([examples[row % len(examples)][name] for row in range(batch)])
        for name in examples[0]
    }
