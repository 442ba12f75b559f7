"""Inference runtimes: which network runs where."""

from __future__ import annotations

from edge_asd.engine.choose import NetworkSet, open_networks
from edge_asd.engine.onnx import OnnxEngine

__all__ = ["NetworkSet", "OnnxEngine", "open_networks"]
