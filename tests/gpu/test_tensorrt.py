"""TensorRT itself, where it is installed: the shipped bundle built, proven and compared."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from edge_asd.bundle import load_bundle
from edge_asd.engine.golden import check_golden, cosine_distance
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.engine.tensorrt import PlanOptions, TensorRtEngine, build_plan, lacking, platform
from edge_asd.features import compute

BUILD_S = 1800


def going(share, _phase):
    assert 0.0 <= share <= 1.0
    return True


@pytest.fixture(scope="module")
def bundle(pytestconfig):
    (path,) = (pytestconfig.rootpath / "edge_asd" / "bundles").glob("*.asd")
    return load_bundle(path)


@pytest.mark.timeout(BUILD_S)
@pytest.mark.usefixtures("cuda")
def test_the_shipped_bundle_gives_the_numbers_of_onnx_runtime(bundle):
    if lacks := lacking():
        pytest.skip(lacks)
    assert platform().version
    waveforms = bundle.golden.waveforms.astype(np.float32) / np.float32(32768.0)
    for network in bundle.manifest.networks:
        onnx, tolerance = bundle.network(network.id, "fp32"), network.tolerance("fp32")
        reference = OnnxEngine(onnx, "reference")
        built = build_plan(onnx, PlanOptions(), b"", going)
        engine = TensorRtEngine(built.plan, "plan", precision="fp32")
        check_golden(bundle, network, engine, tolerance)
        features = {
            name: compute(spec, waveforms, bundle.manifest.sample_rate)
            for name, spec in network.inputs.items()
        }
        for count in (1, 2, 3, 5, 8):
            some = {name: one[:count] for name, one in features.items()}
            distance = cosine_distance(engine.embed(some), reference.embed(some))
            assert_allclose(distance, 0.0, atol=tolerance)
        again = build_plan(onnx, PlanOptions(), built.timing_cache, going)
        assert again.timing_cache
        engine.close()
        engine.close()
