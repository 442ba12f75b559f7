"""Training sees the features that the device computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_asd.features import MagnitudeSpectrum, StftMagnitude, compute
from edge_asd_train.frontend import FrontEnd


@pytest.mark.parametrize("spec", [StftMagnitude(), StftMagnitude(n_fft=512, hop_length=128)])
def test_the_torch_features_equal_those_of_the_device(spec):
    samples = np.random.default_rng(0).normal(0, 0.1, (3, 24_000)).astype(np.float32)
    samples[0] *= 1e-3
    inputs = {"a": MagnitudeSpectrum(), "b": spec}
    features = FrontEnd(inputs)(torch.from_numpy(samples))
    for name, one in inputs.items():
        got, want = features[name], compute(one, samples, 16_000)
        assert got.shape == want.shape
        scale = np.abs(want).max(axis=(1, 2), keepdims=True).reshape(-1, *[1] * (want.ndim - 1))
        assert np.max(np.abs(got.numpy() - want) / scale) < 1e-4
