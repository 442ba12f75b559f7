"""The networks that can be trained, and what they cost."""

from __future__ import annotations

from edge_asd_train.nets.bands import Bands
from edge_asd_train.nets.build import Network, build_network, network_features
from edge_asd_train.nets.cost import count_macs, count_parameters
from edge_asd_train.nets.featex import FeatEx

__all__ = [
    "Bands",
    "FeatEx",
    "Network",
    "build_network",
    "count_macs",
    "count_parameters",
    "network_features",
]
