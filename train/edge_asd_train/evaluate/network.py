"""A trained network and its scorers as a method to compare, fitted as on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_asd.bundle import manifest as schema
from edge_asd.errors import ConfigError, DataError, UsageError
from edge_asd.records import FloatArray
from edge_asd.score import SCORERS, Detector, fit_held_out, named_scorers
from edge_asd.score.cosine import unit
from edge_asd_train.datasets.index import ClipFile
from edge_asd_train.datasets.labels import class_label
from edge_asd_train.evaluate.clips import ClipEmbedder

BUNDLE = "bundle"
"""Name of the scorers and the fusion that the manifest names, as the daemon uses them."""


@dataclass(frozen=True, slots=True)
class Scorers:
    """Scorers and how they are fused."""

    name: str
    specs: tuple[schema.ScorerSpec, ...]
    fusion: str


def choose_scorers(names: Sequence[str], manifest: schema.Manifest) -> Scorers:
    """The scorers that ``--scorer`` names.

    Args:
        names: ``bundle``, or names of ``edge_asd.score.SCORERS``: one, or several to be fused.
        manifest: Of the network; the first network is read.

    Raises:
        ConfigError: A name is unknown or stands twice.
        UsageError: ``bundle`` stands beside another name, or there are no names.
    """
    if not names:
        raise UsageError("name at least one scorer")
    if BUNDLE in names:
        if len(names) > 1:
            raise UsageError(f"--scorer {BUNDLE} is a fusion already and stands alone")
        return Scorers(BUNDLE, manifest.scorers, manifest.fusion)
    unknown = next((name for name in names if name not in SCORERS), None)
    if unknown is not None:
        raise ConfigError(f"scorer {unknown}: unknown; choose from {', '.join((BUNDLE, *SCORERS))}")
    joined = "+".join(names)
    return Scorers(joined, named_scorers(joined, manifest.networks[0].id), "mean")


def in_domain_order(train: Sequence[ClipFile]) -> tuple[list[ClipFile], NDArray[np.bool_]]:
    """Training clips by path, the source's before the target's, and which are of the target."""
    ordered = sorted(train, key=lambda clip: clip.path)
    target = np.asarray([clip.domain == "target" for clip in ordered])
    if (~target).sum() < 2:
        target[:] = False  # one domain alone, or hardly any source: nothing to keep apart
    order = np.argsort(target, kind="stable")
    return [ordered[i] for i in order], target[order]


class FittedNetwork:
    """What a network's scorers learned of one section."""

    def __init__(
        self,
        clips: ClipEmbedder,
        gain_db: float,
        detector: Detector,
        train_scores: NDArray[np.float64],
    ) -> None:
        self._clips = clips
        self.gain_db = gain_db
        self._detector = detector
        self._train_scores = train_scores

    @property
    def train_scores(self) -> NDArray[np.float64]:
        """Held-out scores of the training clips the source's before the target's, (n,)."""
        return self._train_scores

    def score(self, clips: Sequence[ClipFile]) -> NDArray[np.float64]:
        """Mean score of every clip's windows, (len(clips),)."""
        heard = self._clips.embed(clips, self.gain_db)
        return heard.clip_scores(self._detector.score(heard.views).scores)


class NetworkMethod:
    """A network with one scorer, or several that are standardised and fused.

    Args:
        clips: Embeds for this network; its scorers are those of ``scorers``.
        scorers: From ``choose_scorers``.
        run: Folder of the run, where the network is not of a bundle.
        seed: Of k-means, folds and synthetic targets.
    """

    def __init__(
        self, clips: ClipEmbedder, scorers: Scorers, *, run: Path | None = None, seed: int = 0
    ) -> None:
        self.clips = clips
        self.run = run
        self._scorers = scorers
        self._seed = seed

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.clips.embedder.label}: {self._scorers.name}"

    def fit(self, train: Sequence[ClipFile]) -> FittedNetwork:
        """Learn the training clips of one section, in whatever order they come.

        Raises:
            DataError: There are fewer than two, or one cannot be used.
        """
        if len(train) < 2:
            first = train[0].path.parent if train else "the data"
            raise DataError(
                f"{first}: {len(train)} training clips; each is scored by the others, so that at"
                " least two are needed"
            )
        ordered, target = in_domain_order(train)
        gain_db = self.clips.gain_db(ordered)
        heard = self.clips.embed(ordered, gain_db)
        windows = heard.windows_of(target)
        owners = np.repeat(np.arange(len(ordered)), heard.counts)
        labels = [class_label(clip) for clip in ordered]
        detector, held_out = fit_held_out(
            self._scorers.specs,
            self._scorers.fusion,
            heard.views.take(~windows),
            heard.views.take(windows) if target.any() else None,
            clips=owners,
            labels=[labels[owner] for owner in owners],
            seed=self._seed,
        )
        return FittedNetwork(self.clips, gain_db, detector, heard.clip_scores(held_out))

    def clip_embeddings(self, clips: Sequence[ClipFile], gain_db: float) -> FloatArray:
        """Mean unit embedding of every clip by the first network, (len(clips), D)."""
        heard = self.clips.embed(clips, gain_db)
        z = unit(heard.views.embeddings[self.clips.manifest.networks[0].id]).mean(axis=1)
        firsts = np.cumsum(heard.counts) - heard.counts
        return np.asarray(np.add.reduceat(z, firsts) / heard.counts[:, None], np.float32)
