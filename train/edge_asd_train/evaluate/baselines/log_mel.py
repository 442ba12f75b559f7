"""Log-mel nearest neighbour: no training, and hard to beat on machines that were never heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asd.errors import DataError
from edge_asd.features import LogMelStatistics, compute
from edge_asd.records import FloatArray
from edge_asd.score import NeighbourScorer
from edge_asd.score.neighbours import MAX_REFERENCES
from edge_asd.scoring import read_mono
from edge_asd_train.datasets.index import ClipFile

_FOLDS = 10
"""Parts held out in turn where leaving out one by one would mean a k-means each."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedLogMel:
    """The references of one section."""

    method: LogMelMethod
    scorer: NeighbourScorer
    train_scores: NDArray[np.float64]
    """Score of every training clip against references without it, (n,)."""

    def score(self, clips: Sequence[ClipFile]) -> NDArray[np.float64]:
        """Distance of clips to the nearest reference, (len(clips),), decibels."""
        return self.scorer.score(self.method.features(clips)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class LogMelMethod:
    """Euclidean distance to the nearest training clip in the statistics of the log-mel spectrogram.

    The device's ``neighbours`` scorer on whole clips, each of them one window. The level is not
    normalised: a gain that is common to all clips of a machine shifts them all alike.
    """

    sample_rate: int = 16_000
    """Rate to which clips are brought, Hz."""
    neighbours: int = 1
    """References whose distances are averaged."""
    name: str = "log-mel nearest neighbour"

    def fit(self, train: Sequence[ClipFile]) -> FittedLogMel:
        """Keep the training clips of one section as references.

        Raises:
            DataError: There are fewer than two clips, or one of them cannot be used.
        """
        if len(train) < 2:
            raise DataError(
                f"{len(train)} training clips: the nearest neighbour of each is measured to the"
                " others, so that at least two are needed"
            )
        x = self.features(train)  # (n, 2M)
        target = np.asarray([clip.domain == "target" for clip in train])
        if target.all():
            target[:] = False  # with one domain alone there is nothing to keep apart
        scores = np.empty(len(train), np.float64)
        for held in _held_out(target):
            kept = np.setdiff1d(np.arange(len(train)), held)
            scores[held] = self._scorer(x[kept], target[kept]).score(x[held])
        return FittedLogMel(self, self._scorer(x, target), scores)

    def features(self, clips: Sequence[ClipFile]) -> FloatArray:
        """Mean and deviation of every clip's log-mel spectrogram over time, (len(clips), 2M)."""
        return np.stack([self._feature(clip) for clip in clips])

    def _feature(self, clip: ClipFile) -> FloatArray:
        spec = LogMelStatistics()
        samples = read_mono(clip.path, self.sample_rate, 0)
        if len(samples) < spec.n_fft:
            raise DataError(
                f"{clip.path}: {len(samples)} samples, fewer than the {spec.n_fft} of one frame;"
                " remove it"
            )
        row: FloatArray = compute(spec, samples[None], self.sample_rate)[0]  # (2M,)
        return row

    def _scorer(self, x: FloatArray, target: NDArray[np.bool_]) -> NeighbourScorer:
        source = x[~target] if not target.all() else x
        rng = np.random.default_rng(0)
        return NeighbourScorer.fit(source, x[target], self.neighbours, rng)


def _held_out(target: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Clips to leave out together: one by one, or in ten parts where references are summarised."""
    count = len(target)
    folds = count if count - int(target.sum()) <= MAX_REFERENCES else _FOLDS
    numbers = np.arange(count)
    return [numbers[numbers % folds == fold] for fold in range(folds)]
