"""Windows to what the scorers read: features, embeddings, level."""

from __future__ import annotations

import time

import numpy as np

from edge_asd.audio import level_dbfs
from edge_asd.batching import Due, Steps, alone
from edge_asd.bundle import manifest as schema
from edge_asd.engine import NetworkSet
from edge_asd.features import FeatureExtractor
from edge_asd.records import FloatArray, Window
from edge_asd.score.views import Views, concatenate
from edge_asd.window import clip_windows


class WindowEmbedder:
    """Features and embeddings of one stream; networks may be shared, the frame caches are not."""

    def __init__(self, networks: NetworkSet) -> None:
        self.networks = networks
        self.manifest = networks.bundle.manifest
        self.spent_s = {"features": 0.0, "inference": 0.0}
        """Time the last window took, by stage."""
        self._clips = 0
        self._extractor = FeatureExtractor(self.manifest.features, self.manifest.sample_rate)

    def embed(self, window: Window) -> Views:
        """View of one window (after gain), with a batch axis of one."""
        return alone(self.steps(window))

    def steps(self, window: Window) -> Steps[Views]:
        """The same, for windows that may share a batch with those of other streams."""
        begun_s = time.perf_counter()
        features = self._extractor.extract(window)
        extracted_s = time.perf_counter() - begun_s
        embedded = yield Due(self.networks, features)
        self.spent_s = {"features": extracted_s, "inference": embedded.spent_s}
        scored = {
            spec.id: features[f"{spec.id}/feature"]
            for spec in self.manifest.scorers
            if isinstance(spec, schema.FeatureScorer)
        }
        level = np.asarray([level_dbfs(window.samples)], dtype=np.float32)
        return Views(embedded.embeddings, scored, level)

    def embed_clip(self, samples: FloatArray) -> tuple[list[int], Views, bool]:
        """Views of a whole clip's windows.

        Args:
            samples: (n,) at the bundle's rate, after gain.

        Returns:
            The windows' first samples, their views, and whether the clip was tiled to fill one.
        """
        manifest = self.manifest
        starts, windows, padded = clip_windows(
            samples, manifest.window_samples, manifest.hop_samples
        )
        self._clips += 1  # a run of its own: no frame is taken over from another clip
        parts = [
            self.embed(Window(window, start, run=self._clips, captured_at=0.0))
            for start, window in zip(starts, windows, strict=True)
        ]
        return starts, concatenate(parts), padded
