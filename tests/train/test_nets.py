"""The network is the published one, size by size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from edge_asd.errors import ConfigError
from edge_asd.features import MagnitudeSpectrum, StftMagnitude
from edge_asd_train.frontend import FrontEnd
from edge_asd_train.nets import FeatEx, count_macs, count_parameters
from edge_asd_train.nets.featex import DownUnit, PlainUnit
from edge_asd_train.nets.layers import (
    FeatureBatchNorm,
    MapBatchNorm,
    SameConv1d,
    SameConv2d,
    SqueezeExcitation,
    same_padding,
)

SIZES = {  # window in seconds: outputs of the convolutions, then of the maps
    18: ([2250, 71, 18], [(281, 257), (140, 128), (140, 128), (70, 64), (35, 32), (18, 16)]),
    10: ([1250, 40, 10], [(156, 257), (77, 128), (77, 128), (39, 64), (20, 32), (10, 16)]),
}


def features(window_samples, batch=1):
    noise = torch.randn(batch, window_samples, generator=torch.Generator().manual_seed(0))
    features = {"spectrum": MagnitudeSpectrum(), "spectrogram": StftMagnitude()}
    return FrontEnd(features)(0.05 * noise).values()


@pytest.mark.parametrize(("window_s", "parameters"), [(18, 2_683_634), (10, 2_552_562)])
def test_the_trainable_parameters_are_those_of_the_publication(window_s, parameters):
    assert count_parameters(FeatEx(window_s * 16_000)) == parameters


@pytest.mark.parametrize("window_s", [10, 18])
def test_every_stage_has_the_published_size(window_s):
    network = FeatEx(window_s * 16_000).eval()
    shapes = []

    def watch(modules):
        for module in modules:
            module.register_forward_hook(lambda *given: shapes.append(tuple(given[-1].shape[2:])))

    branch = network.spectrogram_branch
    watch(m for m in network.spectrum_branch.convolutions if isinstance(m, SameConv1d))
    watch([branch.stem[0], branch.stem[3], branch.units[1]])
    watch(m for m in branch.units if isinstance(m, DownUnit))
    with torch.no_grad():
        z = network(*features(window_s * 16_000))
    lengths, maps = SIZES[window_s]
    assert shapes == [*((n,) for n in lengths), *maps]
    assert z.shape == (1, 1, 256)


def test_ten_seconds_cost_458_million_multiply_adds():
    network = FeatEx(160_000)
    assert count_macs(network, *features(160_000)) == pytest.approx(458e6, rel=2e-3)
    assert network.training  # counting leaves the mode as it was


def test_no_layer_but_normalisation_has_a_bias():
    names = [name for name, _ in FeatEx(16_000).named_parameters() if name.endswith("bias")]
    assert names
    norms = {
        name
        for name, module in FeatEx(16_000).named_modules()
        if isinstance(module, FeatureBatchNorm | MapBatchNorm)
    }
    assert {name.removesuffix(".bias") for name in names} == norms


def test_normalisation_is_that_of_keras():
    for module in FeatEx(16_000).modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            assert (module.eps, module.momentum) == (1e-3, 0.01)


def test_kernels_start_within_the_glorot_bound():
    kernel = SameConv2d(32, 64, 3).weight
    bound = (6 / (9 * (32 + 64))) ** 0.5
    assert 0.98 * bound < kernel.abs().max() <= bound


@given(st.integers(1, 3000), st.integers(1, 64), st.integers(1, 16))
def test_same_padding_leaves_one_output_a_stride_and_the_odd_sample_last(size, kernel, stride):
    before, after = same_padding(size, kernel, stride)
    if kernel >= stride:
        assert (size + before + after - kernel) // stride + 1 == -(-size // stride)
    assert after - before in (0, 1)


@pytest.mark.parametrize("size", [8, 9, 128])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 2)])
def test_convolutions_pad_as_tensorflow_does(size, kernel, stride):
    layer = SameConv2d(2, 3, kernel, stride)
    x = torch.randn(1, 2, size, size + 1, generator=torch.Generator().manual_seed(1))
    edges = (*same_padding(size + 1, kernel, stride), *same_padding(size, kernel, stride))
    want = functional.conv2d(functional.pad(x, edges), layer.weight, stride=stride)
    torch.testing.assert_close(layer(x), want)


def test_pooling_to_half_keeps_the_last_odd_row():
    unit = DownUnit(16, 32).eval()
    x = torch.zeros(1, 16, 5, 5)
    x[:, :, 4, 4] = 7.0
    with torch.no_grad():
        assert functional.max_pool2d(unit.norm(x), 2, 2, ceil_mode=True)[0, 0, 2, 2] > 6
        assert unit(x).shape == (1, 32, 3, 3)


def test_inference_of_feature_normalisation_equals_batch_norm():
    layer = FeatureBatchNorm(5)
    x = torch.randn(7, 3, 5, generator=torch.Generator().manual_seed(2)) * 3 + 1
    for _ in range(3):
        layer(x)
    layer.eval()
    want = functional.batch_norm(
        x.reshape(-1, 5), layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-3
    )
    torch.testing.assert_close(layer(x), want.view(7, 3, 5))


def test_the_second_unit_alone_rectifies_before_its_inner_normalisation():
    units = FeatEx(16_000).spectrogram_branch.units
    order = [
        [type(m) for m in unit.residual].index(MapBatchNorm) for unit in units if unit is not None
    ]
    assert [index == 3 for index in order] == [
        isinstance(u, PlainUnit) and u is units[1] for u in units
    ]


def test_squeeze_excitation_scales_whole_channels():
    layer = SqueezeExcitation(16)
    x = torch.randn(2, 16, 4, 5, generator=torch.Generator().manual_seed(3))
    gates = layer(x) / x
    torch.testing.assert_close(gates, gates[:, :, :1, :1].expand_as(gates))
    assert ((gates > 0) & (gates < 1)).all()


def test_steady_sound_reaches_only_the_spectrum_branch():
    network = FeatEx(16_000).eval()
    spectrum, spectrogram = features(16_000)
    with torch.no_grad():
        _, first = network.branches(spectrum, spectrogram)
        _, second = network.branches(spectrum, spectrogram + 3.0)
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-3)


def test_a_window_that_the_last_pooling_cannot_take_in_is_refused():
    with pytest.raises(ConfigError, match="window_s"):
        FeatEx(20 * 16_000)
