"""The obvious alternative to the product: what an engineer would write first, and well.

A loop keeps the last window of sound. With every hop it computes all features of the window anew
with NumPy (or librosa), calls the trained network in torch, eagerly, in inference mode, and
measures the distances to the references. Nothing is wasted on purpose: the short-time spectrum is
computed once for the network and for the mel bands, arrays stay float32, the mel filters and the
window function are made once, torch keeps to one thread and records no gradients.

It uses the references and the standardisation that the product learned, so that the same scores
come out; whoever measures it checks that first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from edge_asd.bundle.manifest import Manifest
from edge_asd.features import MagnitudeSpectrum, StftMagnitude
from edge_asd.profile import Profile

N_FFT, HOP, MELS = 1024, 512, 128
"""Of the short-time spectrum and its mel bands; `Alternative` refuses a bundle with others."""

FEATEX_INPUTS = {
    "spectrum": MagnitudeSpectrum(),
    "spectrogram": StftMagnitude(n_fft=N_FFT, hop_length=HOP),
}

LEVEL_FLOOR_DBFS = -120.0


class FrontEnd(Protocol):
    """Computes what the network and the mel scorer read."""

    def __call__(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(L,) -> spectrum (L/2,), spectrogram (T, 513), log-mel statistics (256,)."""


class NumpyFrontEnd:
    """With ``np.fft`` alone."""

    def __init__(self, sample_rate: int) -> None:
        self.hann = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
        self.filters = mel_filters(sample_rate)

    def __call__(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        spectrum = np.abs(np.fft.rfft(samples))[: len(samples) // 2]
        frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP]
        spectrogram = np.abs(np.fft.rfft(frames * self.hann))
        mel = 10 * np.log10(spectrogram**2 @ self.filters + 1e-10)
        return spectrum, spectrogram, np.concatenate([mel.mean(0), mel.std(0)])


class LibrosaFrontEnd:
    """With librosa, where it is installed."""

    def __init__(self, sample_rate: int) -> None:
        import librosa  # noqa: PLC0415 - a guest: nothing else needs it

        self.librosa = librosa
        self.filters = librosa.filters.mel(
            sr=sample_rate, n_fft=N_FFT, n_mels=MELS, htk=True, norm="slaney"
        )

    def __call__(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        spectrum = np.abs(np.fft.rfft(samples))[: len(samples) // 2]
        stft = self.librosa.stft(samples, n_fft=N_FFT, hop_length=HOP, center=False)  # (513, T)
        spectrogram = np.abs(stft)
        mel = 10 * np.log10(self.filters @ spectrogram**2 + 1e-10)
        return spectrum, spectrogram.T, np.concatenate([mel.mean(1), mel.std(1)])


@dataclass(frozen=True)
class Described:
    """What is known of a window before it is compared."""

    z: np.ndarray
    """(D,), of unit length."""
    statistics: np.ndarray
    """(256,)."""
    level_dbfs: float


class Hearing:
    """Windows to embeddings, log-mel statistics and levels.

    Args:
        network: Trained, in inference mode: spectrum (1, L/2, 1) and spectrogram (1, T, 513, 1) to
            (1, 1, D).
        front_end: Computes the features.
    """

    def __init__(self, network: nn.Module, front_end: FrontEnd) -> None:
        self.network, self.front_end = network, front_end

    def describe(self, samples: np.ndarray) -> Described:
        """Of one window (L,), after gain."""
        spectrum, spectrogram, statistics = self.front_end(samples)
        inputs = (
            torch.from_numpy(spectrum[None, :, None]),
            torch.from_numpy(np.ascontiguousarray(spectrogram)[None, :, :, None]),
        )
        with torch.no_grad():
            z = self.network(*inputs)[0, 0].numpy()
        power = np.mean(samples.astype(np.float64) ** 2)
        level = max(LEVEL_FLOOR_DBFS, 10 * np.log10(max(power, 1e-30)))
        return Described(z / np.linalg.norm(z), statistics, float(level))


class Alternative:
    """Scores one stream; see the module.

    Args:
        hearing: The network with its features.
        manifest: Of the bundle that the profile belongs to.
        profile: References, standardisation and gain.

    Raises:
        ValueError: The bundle has other scorers or features than it knows.
    """

    def __init__(self, hearing: Hearing, manifest: Manifest, profile: Profile) -> None:
        self.hearing = hearing
        self.gain = np.float32(10 ** (profile.gain_db / 20))
        self.length = manifest.window_samples
        self.samples: np.ndarray = np.zeros(0, np.float32)
        self.standards = profile.detector.standards
        self.references = references_of(manifest, profile)

    def push(self, hop: np.ndarray) -> float | None:
        """Take in a hop of sound (n,); a score as soon as a window is complete."""
        self.samples = np.concatenate([self.samples, hop * self.gain])[-self.length :]
        if len(self.samples) < self.length:
            return None
        return self.score(self.hearing.describe(self.samples))

    def score(self, found: Described) -> float:
        """Mean of the standardised distances."""
        centres, log_mels, levels = self.references.values()
        distances = (
            (1 - centres @ found.z).min(),
            np.linalg.norm(log_mels - found.statistics, axis=1).min(),
            np.abs(levels - found.level_dbfs).min(),
        )
        standards = [self.standards[name] for name in self.references]
        return float(
            np.mean([(d - s.shift) / s.scale for d, s in zip(distances, standards, strict=True)])
        )


def references_of(manifest: Manifest, profile: Profile) -> Mapping[str, np.ndarray]:
    """Arrays of the three scorers by id: centres, log-mel statistics, levels.

    Raises:
        ValueError: The bundle is of another kind.
    """
    kinds = [scorer.kind for scorer in manifest.scorers]
    if kinds != ["centres", "neighbours", "level"] or manifest.fusion != "mean":
        raise ValueError(f"the alternative does not know the scorers {', '.join(kinds)}")
    if [network.inputs for network in manifest.networks] != [FEATEX_INPUTS]:
        raise ValueError("the alternative knows the features of FeatEx alone")
    states = {name: scorer.state() for name, scorer in profile.detector.scorers.items()}
    keys = {"centres": "references", "neighbours": "references", "level": "levels_dbfs"}
    return {scorer.id: states[scorer.id][keys[scorer.kind]] for scorer in manifest.scorers}


def mel_filters(sample_rate: int) -> np.ndarray:
    """Triangles on the mel scale of HTK, of equal area, (513, 128) float32."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)  # (130,) Hz
    bins = np.linspace(0, sample_rate / 2, N_FFT // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    filters = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    return filters.astype(np.float32)
