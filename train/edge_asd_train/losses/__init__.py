"""What the networks are trained to minimise."""

from __future__ import annotations

from edge_asd_train.losses.adacos import SubclusterAdaCos
from edge_asd_train.losses.adaproj import AdaProj
from edge_asd_train.losses.angular import SCALE_MODES, ScaleMode
from edge_asd_train.losses.episodes import EpisodeLoss
from edge_asd_train.losses.heads import HeadKind, HeadOptions, Heads
from edge_asd_train.losses.terms import DivergedError, LossTerms, check_gradients, gradient_norm

__all__ = [
    "SCALE_MODES",
    "AdaProj",
    "DivergedError",
    "EpisodeLoss",
    "HeadKind",
    "HeadOptions",
    "Heads",
    "LossTerms",
    "ScaleMode",
    "SubclusterAdaCos",
    "check_gradients",
    "gradient_norm",
]
