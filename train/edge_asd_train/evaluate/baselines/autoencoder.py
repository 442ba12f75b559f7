"""The DCASE baseline: an autoencoder of log-mel frames, one for every section.

Source: Harada et al., "First-shot anomaly detection for machine condition monitoring: a domain
generalization baseline" (2023), written from its description. Differs: validation holds out whole
clips, so that thresholds can be taken from their scores, and the covariances are those of the
trained network in inference mode instead of the last epoch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_asd.errors import DataError
from edge_asd_train.datasets.index import ClipFile
from edge_asd_train.evaluate.baselines.reconstruction import (
    Autoencoder,
    AutoencoderOptions,
    fit_network,
    precision,
    read_log_mel,
    with_context,
)

Mode = Literal["mse", "mahalanobis"]

_VALIDATION = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """An autoencoder of one section and what its residuals usually look like."""

    network: Autoencoder
    precisions: tuple[Tensor, ...]
    """Inverse covariance of the residual of every domain heard in training, (640, 640) float64."""
    held_out: dict[Mode, NDArray[np.float64]]
    """Scores of the validation clips."""
    options: AutoencoderOptions

    def scores(self, clips: Sequence[ClipFile], mode: Mode) -> NDArray[np.float64]:
        """Anomaly scores, (len(clips),)."""
        rows = (read_log_mel(clip, self.options.sample_rate) for clip in clips)
        return np.asarray([self.score(frames, mode) for frames in rows], np.float64)

    @torch.no_grad()
    def score(self, frames: Tensor, mode: Mode) -> float:
        """Anomaly score of one clip from its log-mel frames (T, 128).

        Mean squared error, or the mean Mahalanobis distance of the residual from zero under the
        covariance, source or target, that makes it smaller.
        """
        x = with_context(frames)
        residual = self.network(x) - x  # (T - 4, 640)
        if mode == "mse":
            return float(residual.square().mean())
        residual = residual.double()
        distances = [
            ((residual @ precision) * residual).sum(1).clamp_min(0).sqrt().mean()
            for precision in self.precisions
        ]
        return float(torch.stack(distances).min())


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """Trains the autoencoder of every section once, however many methods read it."""

    seed: int
    options: AutoencoderOptions
    advance: Callable[[], None]
    _done: dict[tuple[ClipFile, ...], Trained] = field(default_factory=dict)

    def of(self, train: Sequence[ClipFile]) -> Trained:
        """The autoencoder of these clips, trained at the first request.

        Raises:
            DataError: There are fewer than two clips, or one of them cannot be used.
            EdgeAsdError: Training diverged.
        """
        key = tuple(train)
        if key not in self._done:
            self._done[key] = self._train(key)
        return self._done[key]

    def _train(self, clips: tuple[ClipFile, ...]) -> Trained:
        if len(clips) < 2:
            raise DataError(
                f"{len(clips)} training clips: the autoencoder learns one part and is validated on"
                " the other, so that at least two are needed"
            )
        rng = np.random.default_rng(self.seed)
        held = held_out([clip.domain for clip in clips], rng)
        frames = [read_log_mel(clip, self.options.sample_rate) for clip in clips]
        learned = [f for f, out in zip(frames, held, strict=True) if not out]
        network = fit_network(learned, self.options, self.seed, self.advance)
        domains = [c.domain for c, out in zip(clips, held, strict=True) if not out]
        precisions = tuple(
            precision(network, [f for f, d in zip(learned, domains, strict=True) if d == domain])
            for domain in sorted(set(domains), key=str)
        )
        scored = Trained(network, precisions, {}, self.options)
        validation = [f for f, out in zip(frames, held, strict=True) if out]
        modes: tuple[Mode, ...] = ("mse", "mahalanobis")
        for mode in modes:
            scored.held_out[mode] = np.asarray([scored.score(f, mode) for f in validation])
        return scored


@dataclass(frozen=True, slots=True, eq=False)
class FittedAutoencoder:
    """The autoencoder of one section, read one way."""

    trained: Trained
    mode: Mode

    @property
    def train_scores(self) -> NDArray[np.float64]:
        """Scores of the clips held out for validation, a tenth of all."""
        return self.trained.held_out[self.mode]

    def score(self, clips: Sequence[ClipFile]) -> NDArray[np.float64]:
        """Anomaly scores, (len(clips),)."""
        return self.trained.scores(clips, self.mode)


class AutoencoderMethod:
    """The DCASE autoencoder.

    Args:
        mode: ``mse``, or ``mahalanobis`` for the selective Mahalanobis distance.
        seed: Initial weights, order of the frames and choice of the validation clips.
        options: Length of the training.
        advance: Called after every epoch.
        training: Shared with the other mode, so that both read one run; own by default.
    """

    def __init__(
        self,
        mode: Mode,
        seed: int = 0,
        options: AutoencoderOptions | None = None,
        *,
        advance: Callable[[], None] = lambda: None,
        training: Training | None = None,
    ) -> None:
        self.mode: Mode = mode
        self.training = training or Training(seed, options or AutoencoderOptions(), advance)

    @property
    def name(self) -> str:
        """What the tables call it."""
        return "autoencoder, MSE" if self.mode == "mse" else "autoencoder, selective Mahalanobis"

    def fit(self, train: Sequence[ClipFile]) -> FittedAutoencoder:
        """Train on the clips of one section, or take what the other mode trained on them.

        Raises:
            DataError: There are fewer than two clips, or one of them cannot be used.
            EdgeAsdError: Training diverged.
        """
        return FittedAutoencoder(self.training.of(train), self.mode)


def autoencoder_methods(
    seed: int = 0,
    options: AutoencoderOptions | None = None,
    *,
    advance: Callable[[], None] = lambda: None,
) -> tuple[AutoencoderMethod, AutoencoderMethod]:
    """Both modes on one training run a section: mean squared error, selective Mahalanobis."""
    training = Training(seed, options or AutoencoderOptions(), advance)
    return (
        AutoencoderMethod("mse", training=training),
        AutoencoderMethod("mahalanobis", training=training),
    )


def held_out(domains: Sequence[str | None], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose a tenth of the clips, at least one, but never the last of a domain.

    Where every domain has one clip only, one of them is held out all the same.

    Returns:
        Whether each clip is held out, (n,).
    """
    left = {domain: domains.count(domain) for domain in domains}
    chosen = np.zeros(len(domains), bool)
    wanted = max(1, round(_VALIDATION * len(domains)))
    for number in rng.permutation(len(domains)):
        if chosen.sum() < wanted and left[domains[number]] > 1:
            chosen[number] = True
            left[domains[number]] -= 1
    if not chosen.any():
        chosen[rng.integers(len(domains))] = True
    return chosen
