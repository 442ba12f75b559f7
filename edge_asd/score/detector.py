"""The scorers a bundle names, standardised by held-out normal scores and fused to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd.bundle import manifest as schema
from edge_asd.errors import ScorerError
from edge_asd.protocols import Scorer
from edge_asd.records import FloatArray
from edge_asd.score.banks import BankScorer
from edge_asd.score.centres import CentreScorer
from edge_asd.score.cosine import unit
from edge_asd.score.level import LevelScorer
from edge_asd.score.neighbours import NeighbourScorer
from edge_asd.score.views import Views


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """Scores of B windows."""

    scores: FloatArray
    """(B,) fused; higher is more anomalous."""
    parts: Mapping[str, FloatArray]
    """(B,) standardised score of every scorer, by id."""
    nearest: Sequence[str]
    """For every window the scorer that contributed most and its nearest reference."""


@dataclass(frozen=True, slots=True)
class Standard:
    """What makes scores of one scorer comparable to another's: (score - shift) / scale."""

    shift: float
    scale: float


class Detector:
    """Fitted scorers with their standardisation; see ``fit_detector``.

    Args:
        specs: The scorers, in order.
        fusion: ``mean`` or ``max`` of their standardised scores.
        scorers: Fitted, by id.
        standards: What standardises them, by id.
        confirmed: Knows sound that was confirmed as normal later; the smaller score counts.
    """

    def __init__(
        self,
        specs: Sequence[schema.ScorerSpec],
        fusion: str,
        scorers: Mapping[str, Scorer],
        standards: Mapping[str, Standard],
        confirmed: Detector | None = None,
    ) -> None:
        self.specs = tuple(specs)
        self.fusion = fusion
        self.scorers = dict(scorers)
        self.standards = dict(standards)
        self.confirmed = confirmed

    def score(self, views: Views) -> Fused:
        """Score B windows."""
        enrolled = self._enrolled(views)
        return enrolled if self.confirmed is None else _smaller(enrolled, self.confirmed, views)

    def fused_scores(self, views: Views) -> FloatArray:
        """Scores of B windows alone, (B,), without what explains them."""
        scores = fuse(list(self._parts(views).values()), self.fusion)
        if self.confirmed is None:
            return scores
        return np.minimum(scores, self.confirmed.fused_scores(views))

    def with_targets(self, target: Views, standards: Mapping[str, Standard]) -> Detector:
        """The same beside which windows count that an operator confirmed as normal.

        A window is compared with what was enrolled and with what was confirmed, by all scorers in
        either case: so no score grows, and half of one and half of the other is no excuse.

        Args:
            target: M windows, M >= 1, every one a reference.
            standards: What standardises distances to so few windows, by id; those of what was
                enrolled where one is missing.
        """
        known = {**self.standards, **standards}
        confirmed = Detector(self.specs, self.fusion, fit_few(self.specs, target), known)
        return Detector(self.specs, self.fusion, self.scorers, self.standards, confirmed)

    def _parts(self, views: Views) -> dict[str, FloatArray]:
        """Standardised scores of every scorer, (B,) by id."""
        parts = {}
        for name, raw in raw_scores(self.specs, self.scorers, views).items():
            standard = self.standards[name]
            parts[name] = np.asarray((raw - standard.shift) / standard.scale, dtype=np.float32)
        return parts

    def _enrolled(self, views: Views) -> Fused:
        parts = self._parts(views)
        stacked = np.array(list(parts.values()))  # (scorers, B)
        leading = stacked.argmax(axis=0)
        nearest = []
        for index, which in enumerate(leading):
            spec = self.specs[int(which)]
            one = views if len(views) == 1 else views.take(np.asarray([index]))
            nearest.append(f"{spec.id}:{self.scorers[spec.id].nearest(_seen(spec, one))[0]}")
        return Fused(fuse(stacked, self.fusion), parts, nearest)

    def state(self) -> dict[str, FloatArray]:
        """Arrays of every scorer, by ``scorer/array``."""
        return {
            f"{name}/{key}": array
            for name, scorer in self.scorers.items()
            for key, array in scorer.state().items()
        }

    @classmethod
    def from_state(
        cls,
        manifest: schema.Manifest,
        state: Mapping[str, FloatArray],
        standards: Mapping[str, Standard],
    ) -> Detector:
        """Restore a detector of this bundle.

        Raises:
            ScorerError: Arrays or standardisation of a scorer are missing.
        """
        scorers = {}
        for spec in manifest.scorers:
            prefix = f"{spec.id}/"
            arrays = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
            try:
                scorers[spec.id] = _restore(spec, arrays)
            except KeyError as error:
                raise ScorerError(f"scorer {spec.id}: {error} is missing; enrol again") from error
            if spec.id not in standards:
                raise ScorerError(f"scorer {spec.id}: not standardised; enrol again")
        return cls(manifest.scorers, manifest.fusion, scorers, standards)


def fit_detector(
    manifest: schema.Manifest,
    source: Views,
    target: Views | None,
    standards: Mapping[str, Standard],
    rng: np.random.Generator,
) -> Detector:
    """Learn every scorer's references from all normal windows.

    Args:
        manifest: Names the scorers and their fusion.
        source: Enrolled windows.
        target: Windows that an operator confirmed as normal later.
        standards: From ``cross_fit``.
        rng: Source of the k-means starts.
    """
    scorers = fit_scorers(manifest.scorers, source, target, rng)
    return Detector(manifest.scorers, manifest.fusion, scorers, standards)


def fit_scorers(
    specs: Sequence[schema.ScorerSpec],
    source: Views,
    target: Views | None,
    rng: np.random.Generator,
    labels: Sequence[str] | None = None,
) -> dict[str, Scorer]:
    """Every scorer by id, not standardised.

    The arguments are those of ``fit_detector``; labels, where they are known, are the classes of
    every source window and then of every target window.
    """
    return {spec.id: _fit(spec, source, target, rng, labels) for spec in specs}


def fit_few(specs: Sequence[schema.ScorerSpec], windows: Views) -> dict[str, Scorer]:
    """Every scorer by id, with every one of a few windows as a reference of its own."""
    rng = np.random.default_rng(0)
    scorers = fit_scorers(specs, windows, None, rng)
    for spec in specs:
        if isinstance(spec, schema.EmbeddingScorer):
            z = unit(_seen(spec, windows))
            scorers[spec.id] = CentreScorer(z.reshape(-1, z.shape[-1]))
    return scorers


def raw_scores(
    specs: Sequence[schema.ScorerSpec], scorers: Mapping[str, Scorer], views: Views
) -> dict[str, FloatArray]:
    """Scores of every scorer as it gives them, (B,) by id."""
    return {spec.id: scorers[spec.id].score(_seen(spec, views)) for spec in specs}


def _seen(spec: schema.ScorerSpec, views: Views) -> FloatArray:
    """The view of the windows that a scorer reads."""
    if isinstance(spec, schema.EmbeddingScorer | schema.BankScorer):
        return views.embeddings[spec.network]
    if isinstance(spec, schema.FeatureScorer):
        return views.features[spec.id]
    return views.levels_dbfs


def fuse(parts: Sequence[FloatArray] | FloatArray, fusion: str) -> FloatArray:
    """One score of standardised scores (B,) of several scorers, (B,), by ``mean`` or ``max``."""
    fused = np.mean(parts, axis=0) if fusion == "mean" else np.max(parts, axis=0)
    return np.asarray(fused, dtype=np.float32)


def _smaller(enrolled: Fused, detector: Detector, views: Views) -> Fused:
    """Of every window the smaller score, with what explains it."""
    confirmed = detector.score(views)
    better = confirmed.scores < enrolled.scores
    nearest = [
        other.replace(":", ":target-", 1) if instead else one
        for one, other, instead in zip(enrolled.nearest, confirmed.nearest, better, strict=True)
    ]
    parts = {
        name: np.where(better, confirmed.parts[name], part) for name, part in enrolled.parts.items()
    }
    return Fused(np.minimum(enrolled.scores, confirmed.scores), parts, nearest)


def _fit(
    spec: schema.ScorerSpec,
    source: Views,
    target: Views | None,
    rng: np.random.Generator,
    labels: Sequence[str] | None,
) -> Scorer:
    seen = _seen(spec, source)
    confirmed = None if target is None else _seen(spec, target)
    if isinstance(spec, schema.EmbeddingScorer):
        return CentreScorer.fit(seen, confirmed, spec.clusters, rng)
    if isinstance(spec, schema.BankScorer):
        return BankScorer.fit(spec, seen, confirmed, labels, rng)
    if isinstance(spec, schema.FeatureScorer):
        return NeighbourScorer.fit(seen, confirmed, spec.neighbours, rng)
    return LevelScorer.fit(seen, confirmed)


def _restore(spec: schema.ScorerSpec, state: Mapping[str, FloatArray]) -> Scorer:
    if isinstance(spec, schema.EmbeddingScorer):
        return CentreScorer.from_state(state)
    if isinstance(spec, schema.BankScorer):
        return BankScorer.from_state(state)
    if isinstance(spec, schema.FeatureScorer):
        return NeighbourScorer.from_state(state)
    return LevelScorer.from_state(state)
