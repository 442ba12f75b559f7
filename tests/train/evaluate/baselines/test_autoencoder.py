"""The DCASE autoencoder: its inputs, its two scores, and one training run for both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluate.baselines.clips import hum, normal_clips
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import nn

from edge_asd.errors import DataError
from edge_asd_train.evaluate.baselines import (
    AutoencoderMethod,
    AutoencoderOptions,
    autoencoder_methods,
)
from edge_asd_train.evaluate.baselines.autoencoder import Trained, held_out
from edge_asd_train.evaluate.baselines.reconstruction import (
    Autoencoder,
    _starts,
    fit_network,
    precision,
    read_log_mel,
    with_context,
)

SHORT = AutoencoderOptions(epochs=3, batch=32)


def test_the_network_is_the_published_one():
    network = Autoencoder()
    widths = [m.out_features for m in network.modules() if isinstance(m, nn.Linear)]
    assert widths == [128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    assert sum(isinstance(m, nn.BatchNorm1d) for m in network.modules()) == 9
    assert network(torch.zeros(3, 640)).shape == (3, 640)


def test_a_context_is_five_frames_end_to_end():
    frames = torch.arange(7 * 128, dtype=torch.float32).view(7, 128)
    contexts = with_context(frames)
    assert contexts.shape == (3, 640)
    assert torch.equal(contexts[2], frames[2:7].flatten())


def test_no_context_reaches_into_the_next_clip():
    clips = [torch.full((length, 128), float(n)) for n, length in enumerate((7, 5, 9))]
    contexts = with_context(torch.cat(clips))[torch.cat(_starts(clips))]
    assert torch.equal(contexts.amin(1), contexts.amax(1))
    assert contexts[:, 0].tolist() == [0.0] * 3 + [1.0] + [2.0] * 5


def test_the_error_is_the_mean_square_of_the_residual(tmp_path):
    frames = read_log_mel(hum(tmp_path, "a"), 16_000)
    network = Autoencoder().eval()
    with torch.no_grad():
        x = with_context(frames)
        expected = float(((network(x) - x) ** 2).mean())
    scored = Trained(network, (), {}, SHORT).score(frames, "mse")
    assert scored == pytest.approx(expected, rel=1e-6)


def test_the_nearer_domain_decides_the_mahalanobis_distance(tmp_path):
    frames = read_log_mel(hum(tmp_path, "a"), 16_000)
    network = Autoencoder().eval()
    near, far = torch.eye(640).double(), 4 * torch.eye(640).double()
    with torch.no_grad():
        x = with_context(frames)
        expected = float(torch.linalg.vector_norm(network(x) - x, dim=1).mean())
    for domains in ((near, far), (far, near)):
        scored = Trained(network, domains, {}, SHORT).score(frames, "mahalanobis")
        assert scored == pytest.approx(expected, rel=1e-5)


def test_the_precision_inverts_the_covariance_of_the_residuals():
    rng = torch.Generator().manual_seed(0)
    clips = [10 * torch.randn(n, 128, generator=rng) for n in (900, 700)]
    network = Autoencoder().eval()
    with torch.no_grad():
        contexts = torch.cat([with_context(clip) for clip in clips])
        residual = (network(contexts) - contexts).double().numpy()
    product = precision(network, clips).numpy() @ np.cov(residual.T, bias=True)
    assert_allclose(product, np.eye(640), atol=1e-3)


def test_both_modes_read_one_training_run(tmp_path):
    train = normal_clips(tmp_path)
    epochs = []
    methods = autoencoder_methods(0, SHORT, advance=lambda: epochs.append(1))
    scores = [method.fit(train).score(train[:2]) for method in methods]
    assert len(epochs) == SHORT.epochs
    assert not np.array_equal(*scores)
    assert len({method.name for method in methods}) == 2


def test_a_seed_decides_everything_and_leaves_torchs_own_alone(tmp_path):
    train = normal_clips(tmp_path)
    before = torch.get_rng_state()
    scores = [AutoencoderMethod("mse", s, SHORT).fit(train).score(train) for s in (0, 0, 1)]
    assert_allclose(scores[0], scores[1], rtol=0)
    assert not np.allclose(scores[0], scores[2])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("mode", ["mse", "mahalanobis"])
def test_another_pitch_scores_higher_than_new_normal_clips(tmp_path, mode):
    train = normal_clips(tmp_path, source=16, target=2)
    method = AutoencoderMethod(mode, 0, AutoencoderOptions(epochs=40, batch=32))
    normal = [hum(tmp_path, f"n{i}", seed=500 + i) for i in range(4)]
    odd = [hum(tmp_path, f"o{i}", pitch_hz=1500.0, seed=600 + i) for i in range(4)]
    fitted = method.fit(train)
    assert fitted.score(odd).min() > fitted.score(normal).max()
    assert fitted.train_scores.shape == (2,)


def test_training_lowers_the_error():
    rng = torch.Generator().manual_seed(1)
    clips = [torch.randn(60, 1, generator=rng) @ torch.ones(1, 128) for _ in range(8)]
    errors = []
    for epochs in (1, 30):
        options = AutoencoderOptions(epochs=epochs, batch=32)
        network = fit_network(clips, options, 0, lambda: None)
        errors.append(np.mean([Trained(network, (), {}, options).score(c, "mse") for c in clips]))
    assert errors[1] < 0.5 * errors[0]


@given(st.lists(st.sampled_from(["source", "target", None]), min_size=2, max_size=60))
def test_a_tenth_is_held_out_and_every_domain_remains(domains):
    held = held_out(domains, np.random.default_rng(0))
    assert held.sum() == max(1, round(0.1 * len(domains)))
    repeated = {d for d in domains if domains.count(d) > 1}
    assert repeated <= {d for d, out in zip(domains, held, strict=True) if not out}


def test_one_clip_is_refused(tmp_path):
    with pytest.raises(DataError, match="at least two"):
        AutoencoderMethod("mse").fit(normal_clips(tmp_path, source=1, target=0))


def test_a_clip_without_five_frames_is_refused_by_name(tmp_path):
    train = [*normal_clips(tmp_path), hum(tmp_path, "short", seconds=0.1)]
    with pytest.raises(DataError, match=r"short\.wav: 1600 samples"):
        AutoencoderMethod("mse").fit(train)
