"""Scores of normal windows by references that never saw them, and what they standardise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_asd.bundle import manifest as schema
from edge_asd.errors import ScorerError
from edge_asd.records import FloatArray
from edge_asd.score.detector import (
    Detector,
    Standard,
    fit_few,
    fit_scorers,
    fuse,
    raw_scores,
)
from edge_asd.score.views import Views, concatenate

FOLDS = 10
_MIN_SCALE = 1e-6


def cross_fit(
    manifest: schema.Manifest,
    source: Views,
    folds: NDArray[np.intp],
    excluded: Sequence[NDArray[np.bool_]],
    seed: int,
) -> tuple[dict[str, Standard], FloatArray]:
    """Score every window of a recording against references learned without its fold.

    Args:
        manifest: Names the scorers and their fusion.
        source: N normal windows.
        folds: Fold of every window, (N,), 0 … F-1.
        excluded: For every fold the windows (N,) its references may not see: its own, and all that
            share audio with them.
        seed: Of the k-means starts.

    Returns:
        The standardisation of every scorer, and the fused held-out scores (N,).

    Raises:
        ScorerError: A fold leaves nothing to learn from.
    """
    targets = np.zeros(len(source), dtype=np.bool_)
    raw = _raw(manifest.scorers, source, targets, None, folds=folds, excluded=excluded, seed=seed)
    return _standardised(manifest.scorers, manifest.fusion, raw)


def few_standards(
    manifest: schema.Manifest,
    source: Views,
    parts: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> dict[str, Standard]:
    """What standardises distances to the few windows of one short recording.

    Unseen windows of the same sound lie farther from few references than from many. How far, the
    enrolled windows tell: short parts of them stand in for recordings in turn.

    Args:
        manifest: Names the scorers.
        source: N normal windows.
        parts: Windows of a part, and windows elsewhere that share no audio with it.

    Returns:
        By id; empty where there are no parts.
    """
    raw: dict[str, list[FloatArray]] = {spec.id: [] for spec in manifest.scorers}
    for members, elsewhere in parts:
        scorers = fit_few(manifest.scorers, source.take(members))
        scores = raw_scores(manifest.scorers, scorers, source.take(elsewhere))
        for name, values in scores.items():
            raw[name].append(values)
    if not parts:
        return {}
    return {spec.id: _standard(spec, np.concatenate(raw[spec.id])) for spec in manifest.scorers}


def fit_held_out(
    scorers: Sequence[schema.ScorerSpec],
    fusion: str,
    source: Views,
    target: Views | None,
    *,
    clips: NDArray[np.intp] | None = None,
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[Detector, FloatArray]:
    """Learn from the clips of a data set, and score each as if it were new.

    Tenths of the clips, drawn at random in either domain, are held out in turn: of up to ten target
    clips each is scored by references that know all the others.

    Args:
        scorers: Which scorers, with distinct ids.
        fusion: ``mean`` or ``max`` of their standardised scores.
        source: N windows.
        target: M windows of the target domain.
        clips: Clip of every source window and then of every target window, (N + M,): windows of a
            clip are held out together. None makes every window a clip of its own.
        labels: Class of every source window and then of every target window, N + M.
        seed: Of folds, k-means starts and synthetic targets.

    Returns:
        The detector that learned all of them, standardised by the held-out scores, and the fused
        held-out scores of the source's and then of the target's windows, (N + M,).

    Raises:
        ScorerError: There are fewer than two source clips.
    """
    windows = source if target is None else concatenate([source, target])
    targets = np.arange(len(windows)) >= len(source)
    owners: NDArray[np.intp] = np.arange(len(windows)) if clips is None else clips
    folds = _random_folds(owners, targets, np.random.default_rng(seed))
    excluded = [folds == fold for fold in range(int(folds.max()) + 1)]
    raw = _raw(scorers, windows, targets, labels, folds=folds, excluded=excluded, seed=seed)
    standards, held_out = _standardised(scorers, fusion, raw)
    rng = np.random.default_rng(seed)
    fitted = fit_scorers(scorers, source, target, rng, labels)
    return Detector(scorers, fusion, fitted, standards), held_out


def _random_folds(
    clips: NDArray[np.intp], targets: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Fold of every window: every fold hides as many clips of a domain, and some of the source."""
    folds = np.zeros(len(clips), np.intp)
    count = min(FOLDS, len(np.unique(clips[~targets])))
    if count < 2:
        raise ScorerError("a single clip of the source cannot be compared with itself; add more")
    for domain in (~targets, targets):
        names, number = np.unique(clips[domain], return_inverse=True)
        folds[domain] = (rng.permutation(len(names)) % count)[number]
    return folds


def _raw(
    specs: Sequence[schema.ScorerSpec],
    windows: Views,
    targets: NDArray[np.bool_],
    labels: Sequence[str] | None,
    *,
    folds: NDArray[np.intp],
    excluded: Sequence[NDArray[np.bool_]],
    seed: int,
) -> dict[str, FloatArray]:
    """Scores of every scorer, (N,) by id, by references learned without the window's fold."""
    raw: dict[str, FloatArray] = {spec.id: np.empty(len(windows), np.float32) for spec in specs}
    for fold, hidden in enumerate(excluded):
        held = np.flatnonzero(folds == fold)
        source, target = np.flatnonzero(~hidden & ~targets), np.flatnonzero(~hidden & targets)
        if not len(source):
            raise ScorerError("too little normal audio: nothing is left to compare a part with")
        kept = None if labels is None else [labels[i] for i in (*source, *target)]
        rng = np.random.default_rng([seed, fold])
        scorers = fit_scorers(specs, windows.take(source), windows.take(target), rng, kept)
        for name, scores in raw_scores(specs, scorers, windows.take(held)).items():
            raw[name][held] = scores
    return raw


def _standardised(
    specs: Sequence[schema.ScorerSpec], fusion: str, raw: dict[str, FloatArray]
) -> tuple[dict[str, Standard], FloatArray]:
    standards = {spec.id: _standard(spec, raw[spec.id]) for spec in specs}
    parts = [(raw[name] - s.shift) / s.scale for name, s in standards.items()]
    return standards, fuse(parts, fusion)


def _standard(spec: schema.ScorerSpec, held_out: FloatArray) -> Standard:
    if isinstance(spec, schema.LevelScorer):
        # Held-out levels of a steady machine differ by hundredths of a decibel: its own spread
        # would turn any breath of wind into many standard deviations.
        return Standard(0.0, spec.spread_db)
    return Standard(float(held_out.mean()), max(float(held_out.std()), _MIN_SCALE))
