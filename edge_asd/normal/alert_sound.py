"""The kept sound of an alert, heard once more: windows as they were scored then."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_asd.audio import db_to_factor
from edge_asd.capture import Resampler
from edge_asd.embed import WindowEmbedder
from edge_asd.errors import DataError
from edge_asd.evidence.reader import read_json
from edge_asd.evidence.records import CLIP, DETAILS, Kept
from edge_asd.files import memory_file
from edge_asd.records import Block, FloatArray
from edge_asd.score import Views

MAX_WINDOWS = 48
"""Windows of one alert that are looked at: what an alert rests on, and some of what followed."""

_SLACK = 0.05  # of a hop may be missing at the end: rates and marks are rounded


@dataclass(frozen=True, slots=True, eq=False)
class AlertSound:
    """The uninterrupted sound of an alert, from the first window that counted on."""

    samples: FloatArray
    """(n,) float32 at the source's rate, before gain."""
    rate: int
    """Hertz."""
    rests_s: float
    """So many seconds from its beginning the alert rests on."""


@dataclass(frozen=True, slots=True, eq=False)
class AlertViews:
    """What the scorers read of it."""

    views: Views
    """Its windows, hop by hop."""
    rests: NDArray[np.intp]
    """Those that the alert rests on; at least the first."""


def read_alert_sound(kept: Kept) -> AlertSound:
    """The sound of an alert from its evidence.

    Raises:
        DataError: The evidence is damaged, or does not say what the alert rests on.
    """
    marks = _marks(kept)
    path = kept.path(CLIP)
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != kept.files[CLIP].sha256:
            raise DataError(f"{path}: altered or truncated since it was recorded")
        with memory_file(data) as file:
            samples, rate = soundfile.read(file.fileno(), dtype="float32", closefd=False)
    except (OSError, KeyError, soundfile.LibsndfileError) as error:
        raise DataError(f"{path}: cannot be read ({error}); the evidence is damaged") from error
    begin, end = _longest(marks, len(samples) / rate)
    first, last = round(begin * rate), round(end * rate)
    return AlertSound(samples[first:last], int(rate), max(0.0, marks.decided_s - begin))


def embed_alert(sound: AlertSound, embedder: WindowEmbedder, gain_db: float) -> AlertViews:
    """Embed the windows of an alert.

    Raises:
        DataError: It is shorter than a window.
    """
    manifest = embedder.manifest
    length, hop = manifest.window_samples, manifest.hop_samples
    mono = _mono(sound, manifest.sample_rate)
    mono = np.pad(mono, (0, round(_SLACK * hop)))
    count = min(MAX_WINDOWS, (len(mono) - length) // hop + 1)
    if count < 1:
        raise DataError(
            f"{len(sound.samples) / sound.rate:.1f} s of uninterrupted sound are kept of the "
            f"alert, a window is {length / manifest.sample_rate:.1f} s"
        )
    gained = mono[: length + (count - 1) * hop] * np.float32(db_to_factor(gain_db))
    _, views, _ = embedder.embed_clip(gained)
    rests = round(sound.rests_s * manifest.sample_rate) + round(_SLACK * hop)
    inside = max(1, min(count, (rests - length) // hop + 1))
    return AlertViews(views, np.arange(inside))


class _Gap(BaseModel):
    begin_s: float
    end_s: float


class _Marks(BaseModel):
    """What ``details.json`` says of the clip, as far as it matters here."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    evidence_s: float
    decided_s: float
    gaps: tuple[_Gap, ...]


def _marks(kept: Kept) -> _Marks:
    try:
        return _Marks.model_validate((read_json(kept, DETAILS) or {}).get("clip"))
    except ValidationError as error:
        raise DataError(
            f"{kept.path(DETAILS)}: does not say which part of the sound the alert rests on"
        ) from error


def _longest(marks: _Marks, duration_s: float) -> tuple[float, float]:
    """The longest stretch without lost audio from the first window that counted on, seconds."""
    at, stretches = max(0.0, marks.evidence_s), []
    for gap in sorted(marks.gaps, key=lambda gap: gap.begin_s):
        stretches.append((at, gap.begin_s))
        at = max(at, gap.end_s)
    stretches.append((at, duration_s))
    begin, end = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    return begin, max(begin, end)


def _mono(sound: AlertSound, rate: int) -> FloatArray:
    resampler = Resampler(sound.rate, rate)
    blocks = [*resampler.push(Block(sound.samples[:, None], 0, 0.0)), *resampler.flush()]
    parts = [block.samples[:, 0] for block in blocks]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
