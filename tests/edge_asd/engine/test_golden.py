"""No engine scores that does not give a bundle's golden embeddings, alone and in batches."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asd.engine.golden import check_golden
from edge_asd.engine.onnx import OnnxEngine
from edge_asd.errors import EngineError


class Batched(OnnxEngine):
    """Right until a batch is as large as ``wrong_from``; from there it mixes up its windows."""

    batch = 6

    def __init__(self, network, wrong_from):
        super().__init__(network, "batched")
        self.wrong_from, self.sizes = wrong_from, []

    def embed(self, inputs):
        z = super().embed(inputs)
        self.sizes.append(len(z))
        return z if len(z) < self.wrong_from else np.roll(z, 1, axis=0)


def checked(bundle, wrong_from):
    (network,) = bundle.manifest.networks
    engine = Batched(bundle.network(network.id, "fp32"), wrong_from)
    check_golden(bundle, network, engine, 1e-6)
    return engine


def test_every_size_of_batch_is_tried_and_every_vector_alone(tiny_bundle):
    sizes = checked(tiny_bundle, wrong_from=100).sizes
    assert sizes.count(1) == len(tiny_bundle.golden.waveforms)
    assert set(sizes) == set(range(1, Batched.batch + 1))


@pytest.mark.parametrize("wrong_from", [2, 5, 6])
def test_an_engine_that_is_wrong_in_batches_alone_is_refused(tiny_bundle, wrong_from):
    with pytest.raises(EngineError, match=f"misses golden vector .* in a batch of {wrong_from};"):
        checked(tiny_bundle, wrong_from)
