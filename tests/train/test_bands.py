"""Embeddings of bands are statistics in decibels, which a correction may move."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.errors import ConfigError
from edge_asd.features import StftMagnitude, mel_filterbank, mel_filters, stft_magnitude
from edge_asd.features.mel import log_mel
from edge_asd_train.learner import Learner
from edge_asd_train.nets import (
    Bands,
    build_network,
    count_macs,
    count_parameters,
    network_features,
)
from edge_asd_train.nets.bands import LIFT, BandStatistics

SPEC = StftMagnitude()
SEEDS = st.integers(0, 2**31)


def sounds(count, seed=0, samples=8000):
    """Noise of as many colours whose level flutters, (count, samples) float32."""
    rng = np.random.default_rng(seed)
    power = rng.uniform(-1.0, 1.0, (count, 1))
    spectrum = np.fft.rfft(rng.normal(size=(count, samples)))
    f = np.linspace(0.01, 1.0, spectrum.shape[1])
    noise = np.fft.irfft(spectrum * f**power, samples)
    flutter = 1.0 + 0.5 * np.sin(np.arange(samples) / 400 * rng.uniform(0.5, 2, (count, 1)))
    noise *= 0.1 * flutter / noise.std(axis=1, keepdims=True)
    return noise.astype(np.float32)


def magnitudes(samples):
    return torch.from_numpy(stft_magnitude(samples, SPEC.n_fft, SPEC.hop_length)).unsqueeze(3)


def network(channels=4, bands=16, seed=0):
    """As after training: statistics of sounds, and a correction that does something."""
    torch.manual_seed(seed)
    made = Bands(SPEC, bands=bands, channels=channels, kernel=3)
    made.norm.momentum = None
    with torch.no_grad():
        made(magnitudes(sounds(64, seed=9)))
        if channels:
            made.correction[-1].weight.normal_(0.0, 0.1)
    return made.eval()


@torch.no_grad()
def embedded(net, samples):
    return net(magnitudes(samples))[:, 0].numpy()


def test_the_statistics_are_those_of_the_log_mel_spectrogram_without_its_level():
    samples = sounds(5)
    decibels = log_mel(
        stft_magnitude(samples, 1024, 512), mel_filters(16_000, 1024, 16, 0, 8000)
    ).astype(np.float64)
    mean = decibels.mean(axis=1)
    want = np.stack(
        [
            mean - mean.mean(axis=1, keepdims=True),
            decibels.std(axis=1),
            np.sqrt(np.square(np.diff(decibels, axis=1)).mean(axis=1)),
        ],
        axis=1,
    )
    got = BandStatistics(SPEC, 16, 16_000)(magnitudes(samples)).numpy()
    assert got.shape == (5, 3, 16)
    np.testing.assert_allclose(got, want, atol=1e-3)
    assert want[:, 0].std() > 1  # it says something


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, gain_db=st.floats(-40.0, 20.0), channels=st.sampled_from([0, 4]))
def test_how_loud_a_window_is_does_not_change_its_embedding(seed, gain_db, channels):
    net = network(channels)
    samples = sounds(2, seed)
    louder = samples * np.float32(10 ** (gain_db / 20))
    np.testing.assert_allclose(embedded(net, louder), embedded(net, samples), atol=1e-3)


def test_without_channels_it_is_the_standardised_statistics_and_the_lift():
    net = network(channels=0)
    with torch.no_grad():
        net.norm.weight.uniform_(0.5, 1.5)
        net.norm.bias.uniform_(-0.5, 0.5)
    samples = sounds(6)
    statistics = net.statistics(magnitudes(samples)).flatten(1).numpy().astype(np.float64)
    mean, variance, weight, bias = (
        t.detach().numpy().astype(np.float64)
        for t in (net.norm.running_mean, net.norm.running_var, net.norm.weight, net.norm.bias)
    )
    want = (statistics - mean) / np.sqrt(variance + net.norm.eps) * weight + bias
    got = embedded(net, samples)
    np.testing.assert_allclose(got[:, :-1] * math.sqrt(48), want, atol=1e-4)
    assert (got[:, -1] == np.float32(LIFT)).all()
    assert not [name for name, _ in net.named_parameters() if "correction" in name]


def test_a_new_correction_changes_nothing_and_learns():
    torch.manual_seed(0)
    net = Bands(SPEC, bands=16, channels=4, kernel=3).train()
    plain = Bands(SPEC, bands=16, channels=0).train()
    x = magnitudes(sounds(6))
    with torch.no_grad():
        net.correction[-1].bias.zero_()
    torch.testing.assert_close(net(x), plain(x))
    net(x)[..., :-1].pow(3).sum().backward()
    assert net.correction[-1].weight.grad.abs().max() > 0


@pytest.mark.parametrize("channels", [0, 4])
def test_every_embedding_ends_with_the_lift_and_has_one_half(channels):
    net = network(channels)
    with torch.no_grad():
        first, second = net.branches(magnitudes(sounds(3)))
        whole = net(magnitudes(sounds(3)))
    assert (whole.shape, second.shape) == ((3, 1, net.embedding_size), (3, 0))
    assert torch.equal(whole[:, 0], first)
    assert (first[:, -1] == LIFT).all()
    assert first[:, :-1].square().sum(1).mean() == pytest.approx(1.0, rel=0.5)


@pytest.mark.parametrize("training", [True, False])
def test_digital_silence_is_finite_and_so_is_its_gradient(training):
    net = network().train(training)
    samples = sounds(4)
    samples[1:3] = 0
    samples[3, 4000:] = 0
    x = magnitudes(samples).requires_grad_()
    z = net(x)
    assert torch.isfinite(z).all()
    z[..., :-1].square().sum().backward()
    gradients = [x.grad, *(p.grad for p in net.parameters())]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_the_cosine_distance_of_embeddings_is_nearly_their_squared_distance(seed):
    z = embedded(network(), sounds(24, seed)).astype(np.float64)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    one, other = np.triu_indices(len(z), 1)
    cosine = 1.0 - (unit @ unit.T)[one, other]
    squared = np.square(z[one] - z[other]).sum(axis=1)
    ranks = [np.argsort(np.argsort(of)) for of in (cosine, squared)]
    assert np.corrcoef(ranks)[0, 1] > 0.98
    # |u - v|² / (2 |u| |v|), less what both differ in length, which the lift keeps small
    lengths = np.linalg.norm(z, axis=1)
    ratio = cosine * 2.0 * lengths[one] * lengths[other] / squared
    assert (ratio < 1.0 + 1e-6).all()
    assert (ratio > LIFT**2 / np.maximum(lengths[one], lengths[other]) ** 2 - 1e-6).all()


@given(st.floats(0.01, 50.0), st.floats(1.01, 3.0))
def test_the_farther_a_sound_moves_one_way_the_larger_its_cosine_distance(first, factor):
    def distance(length):  # from the middle of what was heard
        return 1.0 - LIFT / math.hypot(LIFT, length)

    assert distance(first * factor) > distance(first)


def test_bands_without_a_bin_and_windows_without_two_frames_are_refused(episodes):
    with pytest.raises(ConfigError, match=r"network.bands: 256 .*n_fft"):
        Bands(SPEC, bands=256)
    assert (mel_filterbank(16_000, 1024, 128, 0, 8000) > 0).any(axis=0).all()
    short = episodes.changed(window_s=0.064)
    with pytest.raises(ConfigError, match=r"window_s: 0\.064 .* at least 0.096"):
        build_network(short)
    build_network(episodes.changed(window_s=0.096))


def test_the_network_is_as_small_as_it_says_and_reads_what_is_named(episodes):
    assert list(network_features(episodes)) == ["spectrogram"]
    big = Bands(SPEC)
    assert big.embedding_size == 385
    kernels = 7 * (3 * 32 + 32 * 32 + 32 * 3)
    assert count_parameters(big) == kernels + 3 + 2 * 2 * 32 + 2 * 384
    filters = 14 * 513 * 128  # of every frame
    assert count_macs(big, magnitudes(sounds(1))) == filters + 128 * kernels


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bands_learn_classes_too(recipe, precision):
    plain = recipe.changed(
        precision=precision,
        network={"kind": "bands", "bands": 16, "channels": 4, "kernel": 3},
        augment={"mixup": 0.5, "statex": 0, "featex": 0},
        loss={"subclusters": 2, "trainable": True},
    )
    torch.manual_seed(0)
    learner = Learner(plain, classes=3)
    waveforms, labels = torch.from_numpy(sounds(6)), torch.eye(3)[torch.arange(6) % 3]
    optimiser = torch.optim.Adam(learner.parameter_groups(), lr=0.01)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        terms = learner.losses(waveforms, labels, torch.Generator().manual_seed(0))
        terms.total.backward()
        optimiser.step()
        losses.append(float(terms.total.detach()))
    assert set(terms.values(0)) == {"supervised", "featex"}
    assert losses[-1] < 0.7 * losses[0]
    # In bfloat16 the convolutions alone: decibels keep their precision.
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        z = learner.network(magnitudes(sounds(2)))
    assert z.dtype == torch.float32


def test_statistics_do_not_lose_precision_in_bfloat16():
    net = network(channels=0)
    x = magnitudes(sounds(3))
    with torch.no_grad():
        want = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(net(x), want, rtol=0, atol=0)


def test_decay_acts_on_the_kernels_of_the_correction_alone(episodes):
    learner = Learner(episodes, classes=3)
    kernels, others = learner.parameter_groups()
    names = {id(p): name for name, p in learner.named_parameters()}
    assert sorted(names[id(p)] for p in kernels["params"]) == [
        f"network.correction.{layer}.weight" for layer in (0, 3, 6)
    ]
    assert {"episodes.slope", "episodes.threshold"} <= {names[id(p)] for p in others["params"]}
