"""Streaming anomalous-sound detection on the device; training lives in ``edge_asd_train``."""

from __future__ import annotations

__version__ = "0.1.0"
