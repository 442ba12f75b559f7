"""From embeddings to a standardised anomaly score, and from scores to thresholds.

A scorer learns references from normal windows and measures the distance to them. A ``Detector``
standardises and fuses the scorers that the bundle names. ``calibrate`` turns held-out scores of
normal sound into thresholds; ``decide`` only applies them.
"""

from __future__ import annotations

from edge_asd.score.calibrate import (
    Calibration,
    calibrate,
    clip_means,
    clip_threshold,
    decision_statistic,
)
from edge_asd.score.centres import CentreScorer
from edge_asd.score.detector import Detector, Fused, cross_fit, fit_detector
from edge_asd.score.kmeans import kmeans
from edge_asd.score.level import LevelScorer
from edge_asd.score.neighbours import NeighbourScorer
from edge_asd.score.views import Views

__all__ = [
    "Calibration",
    "CentreScorer",
    "Detector",
    "Fused",
    "LevelScorer",
    "NeighbourScorer",
    "Views",
    "calibrate",
    "clip_means",
    "clip_threshold",
    "cross_fit",
    "decision_statistic",
    "fit_detector",
    "kmeans",
]
