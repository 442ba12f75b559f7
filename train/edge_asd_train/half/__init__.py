"""Networks in half precision, and what rounding does to them."""

from __future__ import annotations

from edge_asd_train.half.convert import half_network
from edge_asd_train.half.rounding import half_share, loud_waveforms, rounded_network

__all__ = ["half_network", "half_share", "loud_waveforms", "rounded_network"]
