"""Put into numbers and sentences what is known of an alert."""

from __future__ import annotations

from collections.abc import Callable

from edge_asd.bundle.manifest import Manifest
from edge_asd.evidence import compare
from edge_asd.evidence.compare import Comparison, Heard
from edge_asd.evidence.details import (
    SCHEMA,
    Band,
    Bands,
    Details,
    Difference,
    Gap,
    Learned,
    Level,
    Model,
    Nearest,
    Score,
    Sound,
)
from edge_asd.evidence.normal import BandLevels
from edge_asd.evidence.tap import Clip
from edge_asd.evidence.view import FrontEnd
from edge_asd.profile import Profile
from edge_asd.records import FloatArray


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
