"""From embeddings to a standardised anomaly score, and from scores to thresholds.

A scorer learns references from normal windows and measures the distance to them. A ``Detector``
standardises and fuses the scorers that the bundle names. ``calibrate`` turns held-out scores of
normal sound into thresholds; ``decide`` only applies them.
"""

from __future__ import annotations

from edge_asd.score.banks import BankScorer
from edge_asd.score.calibrate import (
    Calibration,
    calibrate,
    clip_means,
    clip_threshold,
    decision_statistic,
)
from edge_asd.score.centres import CentreScorer
from edge_asd.score.detector import Detector, Fused, fit_detector
from edge_asd.score.held_out import cross_fit, few_standards, fit_held_out
from edge_asd.score.kmeans import kmeans
from edge_asd.score.level import LevelScorer
from edge_asd.score.neighbours import NeighbourScorer
from edge_asd.score.presets import SCORERS, named_scorers
from edge_asd.score.views import Views

__all__ = [
    "SCORERS",
    "BankScorer",
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
    "few_standards",
    "fit_detector",
    "fit_held_out",
    "kmeans",
    "named_scorers",
]
