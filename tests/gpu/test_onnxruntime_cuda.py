"""The shipped bundle on ONNX Runtime's CUDA provider gives what its CPU provider gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.genuine import fetched

ROOT = Path(__file__).resolve().parents[2]
(BUNDLE,) = (ROOT / "edge_asd" / "bundles").glob("*.asd")
PROGRAM = """
import json, sys
import numpy as np
import onnxruntime
from edge_asd.bundle import load_bundle
from edge_asd.engine.golden import cosine_distance
from edge_asd.features import compute
if hasattr(onnxruntime, "preload_dlls"):
    onnxruntime.preload_dlls()
bundle, found = load_bundle(sys.argv[1]), {}
waveforms = bundle.golden.waveforms.astype(np.float32) / np.float32(32768.0)
for network in bundle.manifest.networks:
    inputs = {
        name: compute(spec, waveforms, bundle.manifest.sample_rate)
        for name, spec in network.inputs.items()
    }
    z = {}
    for provider in (
        ("CUDAExecutionProvider", {"use_tf32": "0"}),
        ("CPUExecutionProvider", {}),
    ):
        session = onnxruntime.InferenceSession(
            bundle.network(network.id, "fp32"), providers=[provider]
        )
        (z[session.get_providers()[0]],) = session.run(None, inputs)
    if len(z) == 1:
        sys.exit("the CUDA provider does not start: " + str(onnxruntime.get_available_providers()))
    distance = cosine_distance(*z.values()).max()
    found[network.id] = [float(distance), network.tolerance("fp32")]
print(json.dumps(found))
"""


def test_every_golden_vector_comes_out_within_the_tolerance(pytestconfig, record_property):
    runtime = fetched(
        pytestconfig.cache.mkdir("genuine"),
        "onnxruntime-gpu[cuda,cudnn]",
        ">=1.21",
        *("--constraint", str(ROOT / "constraints.txt")),
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(runtime), str(ROOT)])}
    child = [sys.executable, "-c", PROGRAM, str(BUNDLE)]
    done = subprocess.run(
        child, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if "does not start" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    record_property("cosine_distance", str(found))
    assert found
    for distance, tolerance in found.values():
        assert distance <= tolerance
