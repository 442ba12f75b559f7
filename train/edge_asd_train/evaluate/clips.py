"""Clips of a data set to what scorers read: one fixed gain a section, back-to-back windows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asd.audio import db_to_factor, level_dbfs
from edge_asd.bundle import manifest as schema
from edge_asd.features import compute
from edge_asd.records import FloatArray
from edge_asd.score.views import Views
from edge_asd.window import clip_windows
from edge_asd_train.datasets.decode import read_clip
from edge_asd_train.datasets.index import ClipFile
from edge_asd_train.evaluate.cache import ArrayCache
from edge_asd_train.evaluate.engines import BatchEmbedder

ProgressFactory = Callable[[str, int], Callable[[], None]]
"""Called with a title and a number of steps; what it returns is called after each."""

Arrays = dict[str, NDArray[Any]]

_BATCH = 32
"""Windows that go through the network together."""


def no_progress(_title: str, _total: int) -> Callable[[], None]:
    """Show nothing."""
    return lambda: None


@dataclass(frozen=True, slots=True, eq=False)
class ClipViews:
    """Views of all windows of some clips."""

    views: Views
    """Of all windows, clip after clip."""
    counts: NDArray[np.int64]
    """Windows of every clip, (N,), at least 1."""

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.counts)

    def windows_of(self, clips: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which windows belong to the chosen clips, (N,) -> (W,)."""
        return np.repeat(clips, self.counts)

    def clip_scores(self, window_scores: FloatArray) -> NDArray[np.float64]:
        """Mean score of every clip's windows, (W,) -> (N,)."""
        firsts = np.cumsum(self.counts) - self.counts
        sums = np.add.reduceat(window_scores.astype(np.float64), firsts)
        return np.asarray(sums / self.counts, dtype=np.float64)


class ClipEmbedder:
    """Embeds clips as a network was trained to hear them, and keeps what it embedded.

    A clip shorter than a window repeats; a longer one is cut into windows that touch, the last one
    ending with the clip.

    Args:
        embedder: The network.
        scorers: Whose features are computed beside the embeddings.
        cache: Folder for embeddings; ``None`` keeps none.
        progress: Makes a bar.
    """

    def __init__(
        self,
        embedder: BatchEmbedder,
        scorers: Sequence[schema.ScorerSpec],
        *,
        cache: Path | None = None,
        progress: ProgressFactory = no_progress,
    ) -> None:
        self.embedder = embedder
        self.scorers = tuple(scorers)
        self.manifest = embedder.manifest
        self._length = self.manifest.window_samples
        self._cache = ArrayCache(cache) if cache else None
        self._progress = progress

    @property
    def gain_per_section(self) -> bool:
        """Whether the network expects levelled sections; a bundle that is silent about it does."""
        gain = self.manifest.recipe.get("gain", {})
        return bool(gain.get("per_machine", True))

    def gain_db(self, train: Sequence[ClipFile]) -> float:
        """Gain that brings the median level of a section's training clips to the reference.

        Args:
            train: At least one clip.

        Returns:
            Decibels; 0 for a recipe that normalises nothing.
        """
        if not self.gain_per_section:
            return 0.0
        name = f"{_stem(train)}-levels"
        key = _key({"files": _identities(train), "rate": self.manifest.sample_rate})
        kept = self._cache.get(name, key) if self._cache else None
        if kept is None:
            advance = self._progress(f"levels {_title(train)}", len(train))
            kept = {"levels": np.array(list(self._levels(train, advance)))}
            if self._cache:
                self._cache.put(name, key, kept)
        return round(self.manifest.reference_dbfs - float(np.median(kept["levels"])), 2)

    def embed(self, clips: Sequence[ClipFile], gain_db: float) -> ClipViews:
        """Views of clips, in their order.

        Args:
            clips: At least one.
            gain_db: Applied to every sample.

        Raises:
            DataError: A clip cannot be decoded, or is digital silence.
        """

        def heard(windows: FloatArray) -> Arrays:
            levels = np.asarray([level_dbfs(window) for window in windows], np.float32)
            return {"levels": levels, **self.embedder.embeddings(windows)}

        network = {"engine": self.embedder.engine, "sha256": self.embedder.identity}
        embeddings = self._kept(clips, gain_db, self.embedder.engine, network, heard)
        counts, levels = embeddings.pop("counts"), embeddings.pop("levels")
        features = {
            spec.id: self._features(clips, gain_db, spec)
            for spec in self.scorers
            if isinstance(spec, schema.FeatureScorer)
        }
        return ClipViews(Views(embeddings, features, levels), counts)

    def _features(
        self, clips: Sequence[ClipFile], gain_db: float, spec: schema.FeatureScorer
    ) -> FloatArray:
        """What a scorer reads besides the network, (W, …)."""
        rate = self.manifest.sample_rate

        def rows(windows: FloatArray) -> Arrays:
            return {"rows": compute(spec.feature, windows, rate)}

        told = {**spec.feature.model_dump(), "rate": rate, "window": self._length}
        kept = self._kept(clips, gain_db, f"feature-{spec.id}", told, rows)
        return np.asarray(kept["rows"], np.float32)

    def windows(self, clip: ClipFile, gain_db: float) -> FloatArray:
        """Windows of one clip, (W, L) float32 after gain."""
        samples = self._samples(clip) * np.float32(db_to_factor(gain_db))
        _, windows, _ = clip_windows(samples, self._length, self._length)
        return windows

    def _samples(self, clip: ClipFile) -> FloatArray:
        samples = read_clip(clip.path, self.manifest.sample_rate).astype(np.float32)
        return samples / np.float32(32768.0)

    def _levels(self, clips: Sequence[ClipFile], advance: Callable[[], None]) -> Iterator[float]:
        for clip in clips:
            yield level_dbfs(self._samples(clip))
            advance()

    def _kept(
        self,
        clips: Sequence[ClipFile],
        gain_db: float,
        what: str,
        told: Mapping[str, object],
        calculate: Callable[[FloatArray], Arrays],
    ) -> Arrays:
        """Arrays of all windows of clips and ``counts`` of windows, from the cache or calculated.

        Args:
            clips: Which.
            gain_db: Applied to every sample.
            what: Name of the arrays' file.
            told: Everything else that the arrays depend on.
            calculate: From windows (B, L) to arrays of B rows.
        """
        name = f"{_stem(clips)}-{what}"
        key = _key({"files": _identities(clips), "gain_db": gain_db, "told": told})
        kept = self._cache.get(name, key) if self._cache else None
        if kept is None:
            advance = self._progress(f"{what} {_title(clips)}", len(clips))
            kept = self._calculated(clips, gain_db, calculate, advance)
            if self._cache:
                self._cache.put(name, key, kept)
        return kept

    def _calculated(
        self,
        clips: Sequence[ClipFile],
        gain_db: float,
        calculate: Callable[[FloatArray], Arrays],
        advance: Callable[[], None],
    ) -> Arrays:
        parts: list[Arrays] = []
        counts: list[int] = []
        waiting: list[FloatArray] = []
        for clip in clips:
            windows = self.windows(clip, gain_db)
            counts.append(len(windows))
            waiting.extend(windows)
            while len(waiting) >= _BATCH:
                parts.append(calculate(np.stack(waiting[:_BATCH])))
                del waiting[:_BATCH]
            advance()
        if waiting:
            parts.append(calculate(np.stack(waiting)))
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return {"counts": np.asarray(counts, np.int64), **joined}


def _title(clips: Sequence[ClipFile]) -> str:
    first = clips[0]
    return f"{first.machine} {first.section} {first.split}"


def _stem(clips: Sequence[ClipFile]) -> str:
    first = clips[0]
    return f"{first.machine}_{first.section}_{first.split}"


def _identities(clips: Sequence[ClipFile]) -> list[tuple[str, int, int]]:
    found = []
    for clip in clips:
        status = clip.path.stat()
        found.append((str(clip.path.resolve()), status.st_size, status.st_mtime_ns))
    return found


def _key(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
