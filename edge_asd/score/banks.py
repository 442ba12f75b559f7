"""Distance to banks of normal embeddings: nearest neighbours, class means, and normalised forms.

One rule covers them all. The score is the smaller of two distances, to the source's bank and to the
targets'; each is the mean over the nearest references of ``gain * cosine distance + bias``. Local
density and the standardisation of the targets are gains and biases of the references, settled when
the references are learned: what a device keeps and computes is the same for every variant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_asd.bundle import manifest as schema
from edge_asd.errors import ScorerError
from edge_asd.records import FloatArray
from edge_asd.score.cosine import cosine_distances, unit
from edge_asd.score.kmeans import kmeans
from edge_asd.score.references import (
    MAX_REFERENCES,
    SMOTE_SHARE,
    class_means,
    evenly,
    local_spacing,
    memmixup,
    smote,
    summarised,
)

FOLDS = 10
"""Parts of the training windows that are held out in turn to standardise the targets."""
MIN_TARGETS = 4
"""Fewer held-out targets tell nothing of their spread: their distances stay as they are."""
MAX_STRETCH = 10.0
"""How far the spreads of the two domains may be apart to be made equal."""

_BLOCK = 128  # windows compared at once: bounds memory where many are scored


class BankScorer:
    """Smaller of the distances to the nearest source and target references.

    Args:
        references: (K, D) float32 of unit length, those of the source first.
        gains: (K,) positive factors of the distances to them.
        biases: (K,) added to those.
        sources: References of the source, at least 1.
        neighbours: Nearest references of a bank to average over; clamped to the bank.

    Source: a bank a domain, the smaller distance, standardised domains: Saengthong and Shinozaki,
    "Deep generic representations for domain-generalized anomalous sound detection" (arXiv
    2409.05035); densities: Wilkinghoff et al., "Local density-based anomaly score normalization for
    domain generalization" (arXiv 2509.10951). Differs: domains are standardised by held-out
    training distances, never by what is tested; a target has no more neighbours than there are
    other targets (``local_spacing``).
    """

    def __init__(
        self,
        references: FloatArray,
        gains: FloatArray,
        biases: FloatArray,
        sources: int,
        neighbours: int,
    ) -> None:
        if references.ndim != 2 or not 0 < sources <= len(references):
            raise ScorerError(f"references of shape {references.shape}; (K, D) with K >= 1 needed")
        if gains.shape != references.shape[:1] or biases.shape != gains.shape:
            raise ScorerError("references, gains and biases differ in number")
        self.references = references
        self.gains = gains
        self.biases = biases
        self.sources = sources
        self.neighbours = neighbours
        # A length rounded to single precision would be a distance to oneself.
        exact = references.astype(np.float64)
        self._directions = exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-12)

    @classmethod
    def fit(
        cls,
        options: schema.BankScorer,
        source: FloatArray,
        target: FloatArray | None,
        labels: Sequence[str] | None,
        rng: np.random.Generator,
    ) -> BankScorer:
        """Learn references.

        Args:
            options: Which, and how distances to them are normalised.
            source: Embeddings of enrolled windows, (N, S, D), N >= 1. Neighbours in time should
                follow one another: those that share audio are then held out together.
            target: Embeddings of audio confirmed as normal later, (M, S, D).
            labels: Class of every source window and then of every target window, N + M of them;
                None makes all source windows one class and every target its own.
            rng: Source of the k-means starts and of synthetic targets.

        Raises:
            ScorerError: There is nothing to learn from, or there are more or fewer labels.
        """
        if not len(source):
            raise ScorerError("no normal windows to learn references from")
        confirmed = source[:0] if target is None else target
        if labels is not None and len(labels) != len(source) + len(confirmed):
            raise ScorerError(f"{len(labels)} labels for {len(source) + len(confirmed)} windows")
        fitted = _learn(options, source, confirmed, labels, rng)
        if options.standardise_domains and min(len(source), len(confirmed)) >= MIN_TARGETS:
            return fitted.standardised(*_held_out(options, source, confirmed, labels, rng))
        return fitted

    def standardised(self, source: NDArray[np.float64], target: NDArray[np.float64]) -> BankScorer:
        """Bring the distances to targets to the mean and spread of those to the source.

        The distances to the source stay as they are, so that scores keep their scale when the
        first targets join.

        Args:
            source: Held-out distances of source windows to the source's bank, (n,).
            target: Held-out distances of targets to the targets' bank, (m,).
        """
        stretch = float(source.std()) / max(float(target.std()), 1e-12)
        stretch = min(max(stretch, 1.0 / MAX_STRETCH), MAX_STRETCH)
        shift = float(source.mean()) - stretch * float(target.mean())
        gains, biases = self.gains.copy(), self.biases.copy()
        gains[self.sources :] *= stretch
        biases[self.sources :] = biases[self.sources :] * stretch + shift
        return BankScorer(self.references, gains, biases, self.sources, self.neighbours)

    def score(self, z: FloatArray) -> FloatArray:
        """Score embeddings, (B, S, D) -> (B,); the mean over segments."""
        return np.asarray(self.bank_scores(z).min(axis=-1).mean(axis=-1), dtype=np.float32)

    def nearest(self, z: FloatArray) -> list[int]:
        """Reference nearest to each window as it is scored, (B, S, D) -> B indices."""
        found: list[int] = []
        for distances in self._distances(z):
            found += distances.min(axis=1).argmin(axis=-1).tolist()
        return found

    def bank_scores(self, z: FloatArray) -> NDArray[np.float64]:
        """Distances to the source's and, where there are any, to the targets' bank.

        Args:
            z: Embeddings, (B, S, D).

        Returns:
            (B, S, banks).
        """
        blocks = []
        for distances in self._distances(z):  # (b, S, K)
            banks = [distances[..., : self.sources], distances[..., self.sources :]]
            means = [_mean_of_least(bank, self.neighbours) for bank in banks if bank.shape[-1]]
            blocks.append(np.stack(means, axis=-1))
        return np.concatenate(blocks)

    def _distances(self, z: FloatArray) -> Iterator[NDArray[np.float64]]:
        for begin in range(0, max(1, len(z)), _BLOCK):
            raw = cosine_distances(z[begin : begin + _BLOCK], self._directions)
            # Rounding may leave a distance to oneself a hair below zero.
            yield np.asarray(raw.clip(min=0.0) * self.gains + self.biases, dtype=np.float64)

    def state(self) -> dict[str, FloatArray]:
        """What was fitted."""
        return {
            "references": self.references,
            "gains": self.gains,
            "biases": self.biases,
            "sources": np.asarray([self.sources], np.float32),
            "neighbours": np.asarray([self.neighbours], np.float32),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, FloatArray]) -> BankScorer:
        """Restore what ``state`` gave."""
        return cls(
            state["references"],
            state["gains"],
            state["biases"],
            int(state["sources"][0]),
            int(state["neighbours"][0]),
        )


def _learn(
    options: schema.BankScorer,
    source: FloatArray,
    target: FloatArray,
    labels: Sequence[str] | None,
    rng: np.random.Generator,
) -> BankScorer:
    """Everything but the standardisation of the domains."""
    bank, confirmed = _references(options, source, target, labels, rng)
    references = np.concatenate([bank, confirmed])
    gains, biases = np.ones(len(references)), np.zeros(len(references))
    if options.density != "none":
        spacing = local_spacing(references, len(bank), options.density_neighbours)
        if options.density == "ratio":
            gains /= spacing
        else:
            biases -= spacing
    return BankScorer(
        references,
        gains.astype(np.float32),
        biases.astype(np.float32),
        len(bank),
        options.neighbours,
    )


def _references(
    options: schema.BankScorer,
    source: FloatArray,
    target: FloatArray,
    labels: Sequence[str] | None,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Unit references of the source and of the targets, (K, D) and (L, D)."""
    segments, size = source.shape[1:]
    points: FloatArray = unit(source).reshape(-1, size)  # (N, S, D) -> (N*S, D)
    confirmed: FloatArray = unit(target).reshape(-1, size)
    classes = None if labels is None else np.repeat(np.asarray(labels), segments)
    if options.references == "means":
        one = np.zeros(len(points), np.intp)
        bank = class_means(points, one if classes is None else classes[: len(points)])
        if classes is not None and len(confirmed):
            confirmed = class_means(confirmed, classes[len(points) :])
    elif options.references == "centres":
        bank = unit(kmeans(points, options.clusters, rng))
    else:
        bank = summarised(points, rng)
    if len(confirmed):
        confirmed = summarised(confirmed, rng)
        if options.targets == "smote":
            confirmed = smote(confirmed, round(SMOTE_SHARE * len(points)), rng)
        elif options.targets == "memmixup":
            confirmed = memmixup(confirmed, bank)
    return bank, confirmed


def _mean_of_least(distances: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Mean of the least values of the last axis; ``count`` is clamped to it."""
    count = min(count, distances.shape[-1])
    return np.asarray(np.partition(distances, count - 1)[..., :count].mean(axis=-1))


def _held_out(
    options: schema.BankScorer,
    source: FloatArray,
    target: FloatArray,
    labels: Sequence[str] | None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances of windows to the bank of their own domain, learned without their tenth of it."""
    at_most = max(MIN_TARGETS, MAX_REFERENCES // source.shape[1])
    chosen = [evenly(len(domain), at_most) for domain in (source, target)]
    classes = None
    if labels is not None:
        classes = np.asarray(labels)[np.concatenate([chosen[0], len(source) + chosen[1]])]
    source, target = source[chosen[0]], target[chosen[1]]
    count = min(FOLDS, len(target))
    folds = [np.arange(len(domain)) * count // len(domain) for domain in (source, target)]
    found: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for fold in range(count):
        seen = [folds[0] != fold, folds[1] != fold]
        kept = None if classes is None else classes[np.concatenate(seen)].tolist()
        fitted = _learn(options, source[seen[0]], target[seen[1]], kept, rng)
        for bank, domain in enumerate((source, target)):
            hidden = domain[~seen[bank]]
            if len(hidden):
                found[bank].append(fitted.bank_scores(hidden)[..., bank].mean(axis=1))
    return np.concatenate(found[0]), np.concatenate(found[1])
