"""The networks that can be trained, and what they cost."""

from __future__ import annotations

from edge_asd_train.nets.cost import count_macs, count_parameters
from edge_asd_train.nets.featex import FeatEx

__all__ = ["FeatEx", "count_macs", "count_parameters"]
