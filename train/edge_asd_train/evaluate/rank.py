"""ROC figures of anomaly scores, and precision, recall and F1 of decisions.

Conventions: a higher score is more anomalous; anomalous clips are the positives. Clips of equal
score form one segment of the ROC curve, so that AUC counts a tie as one half.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_asd.errors import DataError

MAX_FPR = 0.1
"""False-positive rate up to which the partial AUC looks."""


class Ranking:
    """Clips in falling order of score, sorted once and then read under any weights of the clips.

    A weight is how often a clip counts: resampling with replacement and leaving a clip out are both
    weights, and a matrix of them costs no second sort.

    Args:
        scores: Anomaly scores, shape (N,), finite.
        anomalous: Truth, shape (N,).

    Raises:
        DataError: There is no normal clip or no anomalous one.
    """

    def __init__(self, scores: ArrayLike, anomalous: ArrayLike) -> None:
        values = np.asarray(scores, np.float64)
        truth = np.asarray(anomalous, np.bool_)
        if not truth.any() or truth.all():
            raise DataError(
                f"an ROC curve needs normal and anomalous clips, not {int((~truth).sum())} normal"
                f" and {int(truth.sum())} anomalous"
            )
        self._order = np.argsort(-values, kind="stable")
        ordered = values[self._order]
        # K groups of equal scores; a group starts where the score falls.
        self._starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        self._anomalous = truth[self._order].astype(np.float64)

    def auc(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Area under the ROC curve.

        Args:
            weights: How often each clip counts, shape (R, N), at least one normal and one
                anomalous clip in every row; every clip once where it is left out.

        Returns:
            One value per row of weights, shape (R,), in [0, 1].
        """
        return self._area(weights, 1.0)

    def pauc(
        self, weights: NDArray[np.float64] | None = None, *, max_fpr: float = MAX_FPR
    ) -> NDArray[np.float64]:
        """Standardised area up to the false-positive rate p = ``max_fpr``: chance is 1/2, best 1.

        Args:
            weights: As in ``auc``.
            max_fpr: p, in (0, 1).

        Returns:
            One value per row of weights, shape (R,).

        Source: McClish, Analyzing a portion of the ROC curve, Medical Decision Making 9 (1989);
        the curve is interpolated linearly at p.
        """
        least, most = max_fpr**2 / 2, max_fpr
        return 0.5 * (1 + (self._area(weights, max_fpr) - least) / (most - least))

    def _area(self, weights: NDArray[np.float64] | None, max_fpr: float) -> NDArray[np.float64]:
        if weights is None:
            weights = np.ones((1, len(self._order)))
        ordered = weights[:, self._order]  # (R, N)
        positives = ordered * self._anomalous
        rises = np.add.reduceat(positives, self._starts, axis=1)  # (R, N) -> (R, K)
        runs = np.add.reduceat(ordered - positives, self._starts, axis=1)
        top, right = np.cumsum(rises, axis=1), np.cumsum(runs, axis=1)
        total_top, total_right = top[:, -1], right[:, -1]
        # The part of each segment left of p, and how far the curve rises on it.
        widths = np.clip(max_fpr * total_right[:, None] - (right - runs), 0, runs)
        shares = np.divide(widths, runs, out=np.zeros_like(runs), where=runs > 0)
        areas = widths * (top - rises + rises * shares / 2)
        return np.asarray(areas.sum(axis=1) / (total_top * total_right), np.float64)


class Detection(NamedTuple):
    """How decisions agree with the truth."""

    precision: float
    recall: float
    f1: float


def auc(scores: ArrayLike, anomalous: ArrayLike) -> float:
    """Probability that an anomalous clip scores above a normal one, ties counting one half.

    Args:
        scores: Anomaly scores, shape (N,), finite.
        anomalous: Truth, shape (N,).

    Returns:
        Area under the ROC curve, in [0, 1].

    Raises:
        DataError: There is no normal clip or no anomalous one.

    >>> auc([1, 2, 2, 3], [False, False, True, True])
    0.875
    """
    return float(Ranking(scores, anomalous).auc()[0])


def pauc(scores: ArrayLike, anomalous: ArrayLike, *, max_fpr: float = MAX_FPR) -> float:
    """Standardised partial area under the ROC curve; see ``Ranking.pauc``.

    Args:
        scores: Anomaly scores, shape (N,), finite.
        anomalous: Truth, shape (N,).
        max_fpr: False-positive rate up to which the area counts, in (0, 1).

    Returns:
        1 is best, 1/2 is chance; a reversed ranking has (1 - p/(2 - p)) / 2.

    Raises:
        DataError: There is no normal clip or no anomalous one.
    """
    return float(Ranking(scores, anomalous).pauc(max_fpr=max_fpr)[0])


def detection(decisions: ArrayLike, anomalous: ArrayLike) -> Detection:
    """Precision, recall and F1 of decisions; a ratio without a denominator is 0.

    Args:
        decisions: ``True`` for a clip called anomalous, shape (N,).
        anomalous: Truth, shape (N,).
    """
    called: NDArray[Any] = np.asarray(decisions, np.bool_)
    truth = np.asarray(anomalous, np.bool_)
    hits, calls, faults = int((called & truth).sum()), int(called.sum()), int(truth.sum())
    return Detection(
        precision=hits / calls if calls else 0.0,
        recall=hits / faults if faults else 0.0,
        f1=2 * hits / (calls + faults) if calls + faults else 0.0,
    )
