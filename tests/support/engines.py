"""CPU engines that this computer has."""

from __future__ import annotations

from edge_asd.engine import openvino


def has_bf16():
    """Whether OpenVINO is installed and the processor computes in bf16."""
    if not openvino.installed():
        return False
    core = openvino.load_openvino().Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def another_engine():
    """For an operator's file: not ONNX Runtime in fp32, if there is anything else."""
    if not openvino.installed():
        return {"name": "onnxruntime", "precision": "fp32"}
    return {"name": "openvino", "precision": "bf16" if has_bf16() else "fp32"}
