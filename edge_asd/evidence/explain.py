"""``details.json``: why a monitor raised, in numbers and in sentences.

The schema is code, and fields are only ever added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from edge_asd.evidence import compare
from edge_asd.evidence.compare import Comparison, Heard
from edge_asd.evidence.normal import BandLevels
from edge_asd.evidence.tap import Clip
from edge_asd.evidence.view import FrontEnd
from edge_asd.manifest import Manifest
from edge_asd.profile import Profile
from edge_asd.publish.payload import Count, Milli, Number, Payload, Time
from edge_asd.records import FloatArray, Severity

SCHEMA: Literal[1] = 1


class Nearest(Payload):
    """What the sound was most like, of all that was enrolled."""

    scorer: str
    """The scorer that contributed most to the score."""
    reference: str
    """Number of its nearest reference."""


class Score(Payload):
    """Of the decision statistic when the alert was raised."""

    value: Number
    threshold: Number
    percentile: Milli
    """Share of held-out normal scores below it, 0 to 100."""
    provisional: bool
    """The threshold promises more than the enrolled audio can support."""
    nearest: Nearest
    parts: dict[str, Number]
    """Standardised score of every scorer, of the last window that counted."""
    fusion: str
    """How they become one."""


class Model(Payload):
    """What listened."""

    name: str
    version: str
    sha256: str
    sample_rate: Count
    window_s: Milli
    scorers: tuple[str, ...]
    shown: dict[str, Any]
    """The feature that bands and picture are made of."""
    shown_is_read: bool
    """Whether the model reads that feature itself."""


class Learned(Payload):
    """What it was compared with."""

    created_at: str
    enrolled_s: Milli
    gain_db: Milli


class Gap(Payload):
    """Lost audio."""

    begin_s: Milli
    end_s: Milli


class Sound(Payload):
    """``clip.flac``; times are seconds from its first sample."""

    begins_at: Time
    sample_rate: Count
    duration_s: Milli
    asked_s: Milli
    """How long it would be had everything been there."""
    evidence_s: Milli
    """The first window that counted begins; negative where the clip begins later."""
    event_s: Milli
    """The alert begins."""
    decided_s: Milli
    """The alert was raised."""
    gaps: tuple[Gap, ...]


class Level(Payload):
    """How loud it was over all frequencies, before gain."""

    dbfs: Milli
    normal_dbfs: Milli
    difference_db: Milli
    spread_units: Milli
    """The difference in units of how much enrolled windows differ."""


class Band(Payload):
    """Neighbouring bands that differ from normal in the same way."""

    quantity: compare.Quantity
    """``level``: how loud; ``swing``: how much it fluctuates."""
    from_hz: Milli
    to_hz: Milli
    difference_db: Milli
    """Mean over the bands."""
    spread_units: Milli
    peak_hz: Milli
    peak_db: Milli
    text: str


class Bands(Payload):
    """Every band of the model, lowest first; levels in the model's own decibels."""

    centre_hz: tuple[Milli, ...]
    level_db: tuple[Milli, ...]
    normal_level_db: tuple[Milli, ...]
    level_spread_db: tuple[Milli, ...]
    """How much the mean levels of enrolled windows differ."""
    swing_db: tuple[Milli, ...]
    """Standard deviation over time."""
    normal_swing_db: tuple[Milli, ...]
    swing_spread_db: tuple[Milli, ...]


class Difference(Payload):
    """The sound of the alert against enrolled sound."""

    begin_s: Milli
    """The part of the clip that was compared, seconds from its first sample …"""
    end_s: Milli
    windows: Count
    """… in so many windows; 0 where it is shorter than one."""
    normal_windows: Count
    """Enrolled windows that stand for normal."""
    level: Level
    deviations: tuple[Band, ...]
    """At most five, those that stand out most first."""
    bands: Bands


class Details(Payload):
    """The whole file."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    event_id: str
    device: str
    monitor: str
    severity: Severity
    started_at: Time
    decided_at: Time
    summary: tuple[str, ...]
    """For people."""
    score: Score
    model: Model
    profile: Learned
    clip: Sound
    difference: Difference | None
    difference_missing: str
    """Why there is none; empty where there is."""

    def to_file(self) -> bytes:
        """Serialise for people too: a key a line, rows of numbers in one."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False)
        rows = re.sub(r"\[[^][{}\"]+\]", lambda row: " ".join(row[0].split()), text)
        return f"{rows}\n".encode()


def explain(
    clip: Clip,
    found: tuple[Heard, Comparison] | str,
    front_end: FrontEnd,
    manifest: Manifest,
    profile: Profile,
    *,
    device: str,
    wall: Callable[[float], float],
) -> Details:
    """Put into words and numbers what is known of an alert.

    Args:
        clip: Its sound.
        found: How it was heard and what differs from normal, or why that is not known.
        front_end: The feature it was compared by.
        manifest: Of the bundle.
        profile: Of the monitor.
        device: Its name.
        wall: Turns steady into wall time.
    """
    event = clip.event
    missing = found if isinstance(found, str) else ""
    return Details.model_validate(
        {
            "schema": SCHEMA,
            "event_id": event.id,
            "device": device,
            "monitor": profile.monitor,
            "severity": event.severity,
            "started_at": wall(event.started_at),
            "decided_at": wall(event.updated_at),
            "summary": (missing,) if isinstance(found, str) else sentences(found[1]),
            "score": _score(clip, manifest, profile),
            "model": _model(manifest, profile, front_end),
            "profile": Learned(
                created_at=profile.created_at,
                enrolled_s=profile.enrolled_s,
                gain_db=profile.gain_db,
            ),
            "clip": _sound(clip, wall),
            "difference": None if isinstance(found, str) else _difference(*found, front_end),
            "difference_missing": missing,
        }
    )


def sentences(comparison: Comparison) -> tuple[str, ...]:
    """What is different, for people; never nothing."""
    texts = [one.text for one in comparison.deviations]
    amount = comparison.level_difference_db
    if abs(amount) >= compare.LEAST_DB and abs(comparison.level_units) >= compare.LEAST_UNITS:
        texts.append(f"overall: {abs(amount):.1f} dB {'louder' if amount > 0 else 'softer'}")
    return tuple(texts) or ("no frequency band stands out by itself",)


def _score(clip: Clip, manifest: Manifest, profile: Profile) -> Score:
    event = clip.event
    scorer, _, reference = event.nearest.partition(":")
    return Score(
        value=event.score,
        threshold=event.threshold,
        percentile=event.percentile,
        provisional=profile.calibration.provisional,
        nearest=Nearest(scorer=scorer, reference=reference),
        parts=dict(clip.parts),
        fusion=manifest.fusion,
    )


def _model(manifest: Manifest, profile: Profile, front_end: FrontEnd) -> Model:
    return Model(
        name=manifest.name,
        version=manifest.version,
        sha256=profile.bundle_sha256,
        sample_rate=manifest.sample_rate,
        window_s=manifest.window_samples / manifest.sample_rate,
        scorers=tuple(scorer.id for scorer in manifest.scorers),
        shown=front_end.spec.model_dump(),
        shown_is_read=front_end.own,
    )


def _sound(clip: Clip, wall: Callable[[float], float]) -> Sound:
    return Sound(
        begins_at=wall(clip.captured_at),
        sample_rate=clip.rate,
        duration_s=clip.duration_s,
        asked_s=clip.asked_s,
        evidence_s=clip.marks.evidence_s,
        event_s=clip.marks.event_s,
        decided_s=clip.marks.decided_s,
        gaps=tuple(Gap(begin_s=a / clip.rate, end_s=b / clip.rate) for a, b in clip.gaps),
    )


def _difference(heard: Heard, comparison: Comparison, front_end: FrontEnd) -> Difference:
    normal = comparison.normal
    fields = Band.model_fields
    return Difference(
        begin_s=heard.span_s[0],
        end_s=heard.span_s[1],
        windows=heard.windows,
        normal_windows=normal.windows,
        level=Level(
            dbfs=heard.level_dbfs,
            normal_dbfs=normal.level_dbfs,
            difference_db=comparison.level_difference_db,
            spread_units=comparison.level_units,
        ),
        deviations=tuple(
            Band(**{name: getattr(one, name) for name in fields}) for one in comparison.deviations
        ),
        bands=_bands(heard.levels, normal.usual, normal.spread, front_end),
    )


def _bands(now: BandLevels, usual: BandLevels, spread: BandLevels, front_end: FrontEnd) -> Bands:
    def listed(values: FloatArray) -> tuple[float, ...]:
        return tuple(round(float(value), 2) for value in values)  # a hundredth of a decibel

    return Bands(
        centre_hz=tuple(round(float(hz), 1) for hz in front_end.centres_hz),
        level_db=listed(now.mean_db),
        normal_level_db=listed(usual.mean_db),
        level_spread_db=listed(spread.mean_db),
        swing_db=listed(now.swing_db),
        normal_swing_db=listed(usual.swing_db),
        swing_spread_db=listed(spread.swing_db),
    )
