"""Reconstruct log-mel frames: the network of the DCASE baseline and its training.

Source: Harada et al., "First-shot anomaly detection for machine condition monitoring: a domain
generalization baseline" (2023), written from its description. Differs: the filter bank is the one
of ``edge_asd.features``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd.errors import DataError, EdgeAsdError
from edge_asd.features import log_mel, mel_filters, stft_magnitude
from edge_asd.scoring import read_mono
from edge_asd_train.datasets.index import ClipFile

N_MELS = 128
N_FFT = 1024
HOP_LENGTH = 512
CONTEXT = 5
"""Successive frames that are reconstructed together."""
INPUT = CONTEXT * N_MELS
_SIZES = (INPUT, 128, 128, 128, 128, 8, 128, 128, 128, 128)
_RIDGE = 1e-6
"""Share of the mean variance added to the diagonal: a covariance of few frames is singular."""
_LEAST_RIDGE = 1e-12  # dB², where a single context has no variance at all


@dataclass(frozen=True, slots=True)
class AutoencoderOptions:
    """Length of the training; the rest is the baseline's."""

    epochs: int = 100
    batch: int = 256
    learning_rate: float = 1e-3
    sample_rate: int = 16_000
    """Rate to which clips are brought, Hz."""


class Autoencoder(nn.Module):
    """640 values -> 128 x 4 -> 8 -> 128 x 4 -> 640."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(_SIZES):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(_SIZES[-1], INPUT))

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct frames with their context, (B, 640) -> (B, 640)."""
        out: Tensor = self.layers(x)
        return out


def read_log_mel(clip: ClipFile, sample_rate: int) -> Tensor:
    """Log-mel frames of a clip, (T, 128) float32, decibels.

    Raises:
        DataError: The clip cannot be used or is too short for one context of frames.
    """
    samples = read_mono(clip.path, sample_rate, 0)
    shortest = N_FFT + (CONTEXT - 1) * HOP_LENGTH
    if len(samples) < shortest:
        raise DataError(
            f"{clip.path}: {len(samples)} samples, fewer than the {shortest} of {CONTEXT} frames;"
            " remove it"
        )
    filters = mel_filters(sample_rate, N_FFT, N_MELS, 0.0, sample_rate / 2)
    rows = log_mel(stft_magnitude(samples, N_FFT, HOP_LENGTH), filters)
    return torch.from_numpy(rows)


def with_context(frames: Tensor) -> Tensor:
    """Every frame with the four after it, a view: (T, 128) -> (T - 4, 640)."""
    frames = frames.contiguous()
    return frames.as_strided((len(frames) - CONTEXT + 1, INPUT), (N_MELS, 1))


def fit_network(
    clips: Sequence[Tensor], options: AutoencoderOptions, seed: int, advance: Callable[[], None]
) -> Autoencoder:
    """Train on all frames of clips (T, 128) and leave the network in inference mode.

    Cost: 6 ms for a batch of 256 on one x86-64 core, 22 000 batches for 200 clips of 10 s.

    Raises:
        DataError: There are fewer than two rows to train on.
        EdgeAsdError: The loss is no longer finite.
    """
    frames = torch.cat(list(clips))
    contexts = with_context(frames)  # (N, 640), no copy: a row shares four fifths with the next
    starts = torch.cat(_starts(clips))
    if len(starts) < 2:
        raise DataError("the training clips hold hardly a frame; record longer ones")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Autoencoder()
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    for epoch in range(options.epochs):
        shuffled = starts[torch.randperm(len(starts), generator=order)]
        total = torch.zeros(())
        for rows in torch.split(shuffled, options.batch):
            if len(rows) < 2:
                continue  # one row alone has no variance to normalise by
            x = contexts[rows]
            optimiser.zero_grad()
            loss = functional.mse_loss(network(x), x)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += loss.detach()
        if not torch.isfinite(total):
            raise EdgeAsdError(
                f"the autoencoder diverged in epoch {epoch + 1}; lower its learning rate"
            )
        advance()
    return network.eval()


def _starts(clips: Sequence[Tensor]) -> list[Tensor]:
    """Rows at which a context begins that does not reach into the next clip."""
    starts = []
    first = 0
    for clip in clips:
        starts.append(torch.arange(first, first + len(clip) - CONTEXT + 1))
        first += len(clip)
    return starts


@torch.no_grad()
def precision(network: Autoencoder, clips: Sequence[Tensor]) -> Tensor:
    """Inverse covariance of the residual of clips (T, 128), shape (640, 640) float64."""
    total = torch.zeros(INPUT, dtype=torch.float64)
    products = torch.zeros(INPUT, INPUT, dtype=torch.float64)
    count = 0
    for clip in clips:
        x = with_context(clip)
        residual = (network(x) - x).double()
        total += residual.sum(0)
        products += residual.T @ residual
        count += len(residual)
    mean = total / count
    covariance = products / count - torch.outer(mean, mean)
    ridge = max(_RIDGE * float(covariance.diagonal().mean()), _LEAST_RIDGE)
    inverse: Tensor = torch.linalg.inv(covariance + ridge * torch.eye(INPUT, dtype=torch.float64))
    return inverse
