"""Whole files against a profile: what ``edge-asd score`` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asd.audio import db_to_factor
from edge_asd.capture import FileSource, Resampler
from edge_asd.embed import WindowEmbedder
from edge_asd.errors import DataError
from edge_asd.profile import Profile
from edge_asd.records import FloatArray
from edge_asd.score import clip_means, clip_threshold
from edge_asd.score.calibrate import percentile


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFile:
    """One file's score and its windows."""

    score: float
    """Mean of the windows' scores."""
    threshold: float
    """What one normal file of this length in a hundred exceeds."""
    percentile: float
    """Share of held-out normal stretches of this length below the score, 0 to 100."""
    starts_s: tuple[float, ...]
    window_scores: FloatArray
    padded: bool
    """Shorter than a window, and repeated to fill it."""

    @property
    def anomalous(self) -> bool:
        """At or above the threshold."""
        return self.score >= self.threshold


def read_mono(path: Path, rate: int, channel: int) -> FloatArray:
    """One channel of a file at the bundle's rate, (n,) float32.

    Raises:
        DataError: The file cannot be used, or is digital silence.
        ConfigError: It does not have the channel.
    """
    source = FileSource.of([path])
    resampler = Resampler(source.sample_rate, rate, channel)
    parts = [out.samples[:, 0] for block in source.blocks() for out in resampler.push(block)]
    parts += [out.samples[:, 0] for out in resampler.flush()]
    samples = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if not len(samples) or float(np.ptp(samples)) == 0.0:
        raise DataError(f"{path}: digital silence; nothing was recorded in it")
    return samples


def score_file(
    embedder: WindowEmbedder, profile: Profile, path: Path, channel: int = 0
) -> ScoredFile:
    """Score a file in hop windows, the last one right-aligned, and compare their mean.

    Raises:
        DataError: The file cannot be used.
        ConfigError: It does not have the channel.
    """
    manifest = embedder.manifest
    samples = read_mono(path, manifest.sample_rate, channel)
    gain = np.float32(db_to_factor(profile.gain_db))
    starts, views, padded = embedder.embed_clip(samples * gain)
    scores = profile.detector.score(views).scores
    runs = profile.held_out.runs()
    mean = float(scores.mean())
    shared = -(-manifest.window_samples // manifest.hop_samples)
    return ScoredFile(
        score=mean,
        threshold=clip_threshold(runs, len(scores), shared),
        percentile=percentile(clip_means(runs, len(scores)), mean),
        starts_s=tuple(start / manifest.sample_rate for start in starts),
        window_scores=scores,
        padded=padded,
    )
