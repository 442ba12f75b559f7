"""One training step of FeatEx as one would write it first: what ``train.py`` compares with.

Eager, float32, memory in the usual order, features computed clip by clip on the host, every module
as its description reads. It knows the published system with a fixed scale; the same numbers as
``edge_asd_train`` come out, which ``train.py`` checks before it measures anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd.features import magnitude_spectrum, stft_magnitude
from edge_asd_train.recipe import Recipe


class Same1d(nn.Module):
    """Convolution with "same" padding as TensorFlow counts it."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel, stride, bias=False)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, _padding(x.shape[-1:], self.kernel, self.stride)))


class Same2d(nn.Module):
    """The same in two dimensions."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, bias=False)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, _padding(x.shape[-2:], self.kernel, self.stride)))


def _padding(shape: Iterable[int], kernel: int, stride: int) -> list[int]:
    sides: list[int] = []
    for size in shape:
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        sides = [total // 2, total - total // 2, *sides]
    return sides


class Excite(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // 16, bias=False)
        self.excite = nn.Linear(channels // 16, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.flatten(2).mean(2)
        gates = torch.sigmoid(self.excite(torch.relu(self.squeeze(pooled))))
        return x * gates.view(*gates.shape, *(1,) * (x.dim() - 2))


def norm1d(channels: int) -> nn.Module:
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)


def norm2d(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Unit(nn.Module):
    """Residual unit; more channels after it halve the map, ``swap`` rectifies before the norm."""

    def __init__(self, before: int, after: int, *, swap: bool = False, first: bool = False) -> None:
        super().__init__()
        stride = 1 if before == after else 2
        inner = [norm2d(after), nn.ReLU()]
        self.norm = nn.Identity() if first else norm2d(before)
        self.residual = nn.Sequential(
            nn.ReLU(),
            Same2d(before, after, 3, stride),
            *(inner[::-1] if swap else inner),
            Same2d(after, after, 3),
            Excite(after),
        )
        self.skip = Same2d(before, after, 1) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        if self.skip is None:
            return x + self.residual(x)
        height, width = x.shape[-2:]
        padded = functional.pad(x, (0, width % 2, 0, height % 2), value=-math.inf)
        return self.skip(functional.max_pool2d(padded, 2)) + self.residual(x)


class PlainFeatEx(nn.Module):
    """Both branches."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size, before = recipe.window_samples // 2, 1
        for kernel, stride in ((256, 64), (64, 32), (16, 4)):
            layers += [Same1d(before, 128, kernel, stride), nn.ReLU(), Excite(128)]
            size, before = math.ceil(size / stride), 128
        layers += [nn.Flatten()]
        for width in (128 * size, 128, 128, 128):
            layers += [nn.Linear(width, 128, bias=False), norm1d(128), nn.ReLU()]
        self.spectrum = nn.Sequential(*layers, nn.Linear(128, 128, bias=False))
        self.bins_norm = norm1d(recipe.spectrogram.n_fft // 2 + 1)
        units = [Unit(16, 16, first=True), Unit(16, 16, swap=True)]
        for before, after in ((16, 32), (32, 64), (64, 128)):
            units += [Unit(before, after), Unit(after, after)]
        stem = [Same2d(1, 16, 7, 2), norm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2)]
        self.maps = nn.Sequential(*stem, *units)
        bins = ((recipe.spectrogram.n_fft // 2 + 2) // 2 - 3) // 2 + 1
        for _ in range(3):
            bins = math.ceil(bins / 2)
        self.dense = nn.Sequential(norm1d(128 * bins), nn.Linear(128 * bins, 128, bias=False))

    def forward(self, spectrum: Tensor, spectrogram: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L/2, 1) and (B, T, F, 1) -> two times (B, 128)."""
        e_fft = self.spectrum(spectrum.transpose(1, 2))
        x = spectrogram - spectrogram.mean(1, keepdim=True)
        x = self.bins_norm(x[..., 0].transpose(1, 2)).transpose(1, 2)  # (B, T, F)
        x = self.maps(x[:, None])  # (B, 1, T, F) -> (B, 128, T', F')
        return e_fft, self.dense(x.max(2).values.flatten(1))


class PlainHead(nn.Module):
    """Sub-cluster AdaCos with a fixed scale."""

    def __init__(self, centres: Tensor, scale: float, subclusters: int, *, trainable: bool) -> None:
        super().__init__()
        self.centres = nn.Parameter(centres.clone(), requires_grad=trainable)
        self.scale, self.subclusters = scale, subclusters

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        cosine = functional.normalize(z) @ functional.normalize(self.centres).T
        probability = torch.softmax(self.scale * cosine, 1)
        by_class = probability.view(len(z), -1, self.subclusters).sum(2)
        return -(labels * torch.log(by_class.clamp(1e-7, 1 - 1e-7))).sum(1).mean()


class PlainLearner(nn.Module):
    """The published step.

    Args:
        recipe: Window, chances of the augmentations, weights.
        weights: Of the network, in the order of its parameters.
        heads: Of every head: centres, scale, whether trainable, weight in the loss.
    """

    def __init__(
        self,
        recipe: Recipe,
        weights: list[Tensor],
        heads: dict[str, tuple[Tensor, float, bool, float]],
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = PlainFeatEx(recipe)
        own = list(self.network.parameters())
        if [p.shape for p in own] != [w.shape for w in weights]:
            raise SystemExit(f"recipe {recipe.name}: its network has no plain counterpart here")
        with torch.no_grad():
            for parameter, weight in zip(own, weights, strict=True):
                parameter.copy_(weight)
        self.factors = {name: factor for name, (_, _, _, factor) in heads.items()}
        self.heads = nn.ModuleDict(
            {
                name: PlainHead(centres, scale, recipe.loss.subclusters, trainable=trainable)
                for name, (centres, scale, trainable, _) in heads.items()
            }
        )

    def features(
        self, waveforms: Tensor, labels: Tensor, rng: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Spectrum, spectrogram, labels (B, N) and labels after StatEx."""
        augment, batch = self.recipe.augment, len(waveforms)
        if augment.mixup:
            weight = torch.rand(batch, generator=rng)
            mixed = torch.rand(batch, generator=rng) < augment.mixup
            weight = torch.where(mixed, weight, 1.0)[:, None]
            waveforms = weight * waveforms + (1 - weight) * waveforms.flip(0)
            labels = weight * labels + (1 - weight) * labels.flip(0)
        framing = self.recipe.spectrogram
        spectra, spectrograms = [], []
        for samples in waveforms.numpy():
            spectra.append(magnitude_spectrum(samples[None])[0])
            frames = stft_magnitude(samples, framing.n_fft, framing.hop_length)
            spectrograms.append(frames[..., None])
        spectrum = torch.from_numpy(np.stack(spectra)).to(device)
        spectrogram = torch.from_numpy(np.stack(spectrograms)).to(device)
        labels = labels.to(device)
        labels_statex = labels
        if augment.statex:
            swapped = (torch.rand(batch, generator=rng) < augment.statex).to(device)
            spectrogram = exchanged_statistics(spectrogram, swapped)
            labels_statex = exchanged_labels(labels, swapped)
        return spectrum, spectrogram, labels, labels_statex

    def loss(
        self, spectrum: Tensor, spectrogram: Tensor, labels: Tensor, labels_statex: Tensor,
        rng: torch.Generator,
    ) -> Tensor:  # fmt: skip
        """Sum of the weighted heads."""
        e_fft, e_spec = self.network(spectrum, spectrogram)
        joint = torch.cat([e_fft, e_spec], 1)
        other, labels_featex = joint, labels_statex
        if self.recipe.augment.featex:
            swapped = torch.rand(len(joint), generator=rng) < self.recipe.augment.featex
            swapped = swapped.to(joint.device)
            taken = torch.where(swapped[:, None], e_spec.flip(0), e_spec)
            other = torch.cat([e_fft, taken], 1)
            labels_featex = exchanged_labels(labels_statex, swapped)
        inputs = {
            "supervised": (joint, labels),
            "statex": (joint, labels_statex),
            "featex": (other, labels_featex),
        }
        return sum(self.factors[name] * head(*inputs[name]) for name, head in self.heads.items())

    def optimiser(self) -> torch.optim.Optimizer:
        """Adam with L2 on the kernels outside squeeze and excitation."""
        excited = {id(p) for m in self.modules() if isinstance(m, Excite) for p in m.parameters()}
        kernels = [
            m.weight
            for m in self.network.modules()
            if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Linear) and id(m.weight) not in excited
        ]
        chosen = {id(p) for p in kernels}
        others = [p for p in self.parameters() if p.requires_grad and id(p) not in chosen]
        options = self.recipe.optimiser
        groups = [
            {"params": kernels, "weight_decay": 2 * options.l2},
            {"params": others, "weight_decay": 0.0},
        ]
        betas = (options.beta1, options.beta2)
        return torch.optim.Adam(groups, lr=options.learning_rate, betas=betas, eps=options.eps)


def exchanged_statistics(spectrogram: Tensor, swapped: Tensor) -> Tensor:
    """StatEx over frequency, (B, T, F, 1)."""
    mean = spectrogram.mean(2, keepdim=True)
    deviation = spectrogram.std(2, keepdim=True, correction=0) + 1e-16
    moved = (spectrogram - mean) / deviation * deviation.flip(0) + mean.flip(0)
    return torch.where(swapped[:, None, None, None], moved, spectrogram)


def exchanged_labels(labels: Tensor, swapped: Tensor) -> Tensor:
    """(B, C) -> (B, 3C)."""
    zeros = torch.zeros_like(labels)
    untouched = torch.cat([labels, zeros, zeros], 1)
    mixed = torch.cat([zeros, labels / 2, labels.flip(0) / 2], 1)
    return torch.where(swapped[:, None], mixed, untouched)
