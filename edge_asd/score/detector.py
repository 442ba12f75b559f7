"""The scorers a bundle names, standardised by held-out normal scores and fused to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_asd import manifest as schema
from edge_asd.errors import ScorerError
from edge_asd.protocols import Scorer
from edge_asd.records import FloatArray
from edge_asd.score.banks import BankScorer
from edge_asd.score.centres import CentreScorer
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
    """Fitted scorers with their standardisation; see ``fit_detector``."""

    def __init__(
        self,
        specs: Sequence[schema.ScorerSpec],
        fusion: str,
        scorers: Mapping[str, Scorer],
        standards: Mapping[str, Standard],
    ) -> None:
        self.specs = tuple(specs)
        self.fusion = fusion
        self.scorers = dict(scorers)
        self.standards = dict(standards)

    def score(self, views: Views) -> Fused:
        """Score B windows."""
        parts = self._parts(views)
        stacked = np.stack(list(parts.values()))  # (scorers, B)
        leading = stacked.argmax(axis=0)
        nearest = []
        for index, which in enumerate(leading):
            spec = self.specs[int(which)]
            one = views.take(np.asarray([index]))
            nearest.append(f"{spec.id}:{self.scorers[spec.id].nearest(_seen(spec, one))[0]}")
        return Fused(fuse(list(parts.values()), self.fusion), parts, nearest)

    def fused_scores(self, views: Views) -> FloatArray:
        """Scores of B windows alone, (B,), without what explains them."""
        return fuse(list(self._parts(views).values()), self.fusion)

    def with_targets(self, target: Views) -> Detector:
        """The same with windows that an operator confirmed as normal, for every scorer.

        References are only added and the standardisation stays: no score grows.

        Args:
            target: M windows, M >= 1.
        """
        rng = np.random.default_rng(0)
        scorers = {
            spec.id: _joined(spec, self.scorers[spec.id], _seen(spec, target), rng)
            for spec in self.specs
        }
        return Detector(self.specs, self.fusion, scorers, self.standards)

    def _parts(self, views: Views) -> dict[str, FloatArray]:
        """Standardised scores of every scorer, (B,) by id."""
        parts = {}
        for name, raw in raw_scores(self.specs, self.scorers, views).items():
            standard = self.standards[name]
            parts[name] = np.asarray((raw - standard.shift) / standard.scale, dtype=np.float32)
        return parts

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


def fuse(parts: Sequence[FloatArray], fusion: str) -> FloatArray:
    """One score of standardised scores (B,) of several scorers, (B,), by ``mean`` or ``max``."""
    fused = np.mean(parts, axis=0) if fusion == "mean" else np.max(parts, axis=0)
    return np.asarray(fused, dtype=np.float32)


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


def _joined(
    spec: schema.ScorerSpec, scorer: Scorer, target: FloatArray, rng: np.random.Generator
) -> Scorer:
    if isinstance(scorer, BankScorer) and isinstance(spec, schema.BankScorer):
        return scorer.with_targets(spec, target, rng)
    if isinstance(scorer, CentreScorer | NeighbourScorer | LevelScorer):
        return scorer.with_targets(target)
    raise ScorerError(f"scorer {spec.id}: {type(scorer).__name__} takes no targets")


def _restore(spec: schema.ScorerSpec, state: Mapping[str, FloatArray]) -> Scorer:
    if isinstance(spec, schema.EmbeddingScorer):
        return CentreScorer.from_state(state)
    if isinstance(spec, schema.BankScorer):
        return BankScorer.from_state(state)
    if isinstance(spec, schema.FeatureScorer):
        return NeighbourScorer.from_state(state)
    return LevelScorer.from_state(state)
