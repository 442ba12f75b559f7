"""What the networks are trained to minimise."""

from __future__ import annotations

from edge_asd_train.losses.adacos import SCALE_MODES, ScaleMode, SubclusterAdaCos
from edge_asd_train.losses.heads import Heads, LossTerms

__all__ = ["SCALE_MODES", "Heads", "LossTerms", "ScaleMode", "SubclusterAdaCos"]
