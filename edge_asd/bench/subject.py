"""What is measured: a bundle on an engine, and a monitor that knows a simulated machine."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edge_asd.alerting import thresholds_of
from edge_asd.batching import Steps
from edge_asd.bundle import Bundle
from edge_asd.bundle.manifest import Manifest
from edge_asd.capture.simulated import SimSource
from edge_asd.capture.uri import SimUri
from edge_asd.decide import Decider, Rules
from edge_asd.embed import WindowEmbedder
from edge_asd.engine import NetworkSet
from edge_asd.enrolment.enrol import EnrolRequest, Progress, enrol
from edge_asd.hearing.signal_health import SignalWatch
from edge_asd.pipeline import Heard, Judged, Pipeline
from edge_asd.profile import Profile
from edge_asd.records import Block, FloatArray
from edge_asd.score.calibrate import Persistence

SOUND_S = 75.0
"""Normal sound that is learned from, at least; it is what is listened to as well."""
_WINDOWS = 6.0
_ASKED_PER_WEEK = 1.0
ONCE = Persistence(1, 1)
"""Every window decides for itself."""


class Loop:
    """Sound that begins again where it ends; pieces of it are not copied.

    Args:
        sound: Samples (n,).
        longest: Of a piece, samples, at most n.
    """

    def __init__(self, sound: FloatArray, longest: int) -> None:
        self._length = len(sound)
        self._sound = np.concatenate([sound, sound[:longest]])

    def piece(self, begin: int, length: int) -> FloatArray:
        """Samples (length,) from ``begin`` on, which counts through all repetitions."""
        at = begin % self._length
        return self._sound[at : at + length]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """See the module."""

    networks: NetworkSet
    sound: FloatArray
    """(n,) normal sound at the bundle's rate."""
    loop: Loop
    """The same without an end."""
    profile: Profile
    """What was learned from it."""

    @property
    def bundle(self) -> Bundle:
        """Whose networks they are."""
        return self.networks.bundle

    @property
    def manifest(self) -> Manifest:
        """Of the bundle."""
        return self.bundle.manifest

    @property
    def hop_s(self) -> float:
        """Between two windows."""
        return self.manifest.hop_samples / self.manifest.sample_rate

    @property
    def window_s(self) -> float:
        """Of audio in a window."""
        return self.manifest.window_samples / self.manifest.sample_rate


def prepare(networks: NetworkSet, progress: Progress) -> Subject:
    """Simulate a machine and learn its normal sound.

    Args:
        networks: Opened.
        progress: Told how far it is.

    Raises:
        EdgeAsdError: The bundle cannot learn from it.
    """
    manifest = networks.bundle.manifest
    window_s = manifest.window_samples / manifest.sample_rate
    progress(0.0, "simulating a machine")
    sound = _simulated(manifest.sample_rate, math.ceil(max(SOUND_S, _WINDOWS * window_s)))
    request = EnrolRequest("bench", "sim:pump", 0, ONCE, _ASKED_PER_WEEK, settle_s=0.0)
    open_audio = lambda: _Sound(sound, manifest.sample_rate)  # noqa: E731 - as short as its name
    profile = enrol(networks, open_audio, request, time.time(), progress)
    return Subject(networks, sound, Loop(sound, manifest.window_samples), profile)


def _simulated(rate: int, seconds: int) -> FloatArray:
    source = SimSource(SimUri(text="sim:pump", kind="pump", seconds=seconds, speed=None, rate=rate))
    samples = np.concatenate([block.samples[:, 0] for block in source.blocks()])
    # What a daemon hears of it comes from a file of 16 bit.
    return (np.round(samples * 32_767.0) / np.float32(32_768.0)).astype(np.float32)


class _Sound:
    """Audio in memory as a source."""

    def __init__(self, sound: FloatArray, rate: int) -> None:
        self._sound, self.sample_rate = sound, rate

    def blocks(self) -> Iterator[Block]:
        for start in range(0, len(self._sound), self.sample_rate):
            piece = self._sound[start : start + self.sample_rate, None]  # (n,) -> (n, 1)
            yield Block(piece, start, start / self.sample_rate)

    def close(self) -> None:
        """Nothing is open."""


class Stream:
    """One monitor's pipeline, and sound that never ends; not thread-safe.

    Args:
        subject: What it runs.
        begin: Where in the sound it begins, samples.
    """

    def __init__(self, subject: Subject, begin: int = 0) -> None:
        manifest, profile = subject.manifest, subject.profile
        self._rate, self._hop = manifest.sample_rate, manifest.hop_samples
        self._loop, self._at, self._begin = subject.loop, 0, begin
        rules = Rules(ONCE, subject.hop_s, clear_s=20.0, cooldown_s=60.0, update_s=60.0)
        decider = Decider(rules, thresholds_of(profile), profile.percentile, lambda _: "bench")
        watch = SignalWatch(profile.signal, self._rate)
        self.pipeline = Pipeline(WindowEmbedder(subject.networks), profile, decider, watch, 0.0)
        # From now on every hop completes a window.
        self.pipeline.push(self._next(manifest.window_samples - self._hop))

    def hear(self) -> list[Heard | Judged]:
        """Take in a hop of audio, and judge the window that it completes."""
        return self.pipeline.push(self._next(self._hop))

    def steps(self) -> Steps[list[Heard | Judged]]:
        """The same, for windows that may share a batch."""
        return self.pipeline.steps(self._next(self._hop))

    def _next(self, length: int) -> Block:
        samples = self._loop.piece(self._begin + self._at, length)
        block = Block(samples[:, None], self._at, self._at / self._rate)  # (n,) -> (n, 1)
        self._at += length
        return block


def alarmed(profile: Profile) -> Profile:
    """The same, for a machine that was far quieter in its score: every window is an alarm now."""
    far = 1e3
    held_out, calibration = profile.held_out, profile.calibration
    return replace(
        profile,
        held_out=replace(held_out, scores=held_out.scores - np.float32(far)),
        blocks=replace(profile.blocks, maxima=profile.blocks.maxima - np.float32(far)),
        calibration=replace(
            calibration,
            usual=calibration.usual - far,
            clear_below=calibration.clear_below - far,
            threshold=calibration.threshold - far,
            alarm_threshold=calibration.alarm_threshold - far,
        ),
    )
