"""What is compared: a method learns normal clips of a section, then scores clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asd_train.datasets.index import ClipFile


class Fitted(Protocol):
    """What a method learned of one section."""

    @property
    def train_scores(self) -> NDArray[np.float64]:
        """Anomaly scores of training clips as if they were new, (n,), for the threshold."""

    def score(self, clips: Sequence[ClipFile]) -> NDArray[np.float64]:
        """Anomaly scores of clips, (len(clips),); higher is more anomalous."""


class Method(Protocol):
    """One row of a table."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    def fit(self, train: Sequence[ClipFile]) -> Fitted:
        """Learn the training clips of one section."""
