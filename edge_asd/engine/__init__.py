"""Inference runtimes: which network runs where."""

from __future__ import annotations

from edge_asd.engine.choose import open_networks
from edge_asd.engine.golden import cosine_distance
from edge_asd.engine.networks import NetworkSet
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.engine_request import EngineRequest

__all__ = ["EngineRequest", "NetworkSet", "OnnxEngine", "cosine_distance", "open_networks"]
