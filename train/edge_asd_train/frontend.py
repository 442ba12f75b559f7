"""The features of ``edge_asd`` as torch operations, for whole batches while training.

``edge_asd.features`` stays the only definition: the window function comes from there and a parity
test holds the two together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_asd.features import StftMagnitude
from edge_asd.features.frames import periodic_hann


def magnitude(spectrum: Tensor) -> Tensor:
    """Absolute value of a complex tensor.

    Cost: two thirds of ``torch.abs``, which guards against overflows that audio cannot cause.
    """
    parts = torch.view_as_real(spectrum)
    norm: Tensor = torch.linalg.vector_norm(parts, dim=-1)
    return norm


class FrontEnd(nn.Module):
    """Waveforms (B, L) -> spectrum (B, L/2, 1) and spectrogram (B, T, F, 1)."""

    hann: Tensor

    def __init__(self, spec: StftMagnitude | None = None) -> None:
        super().__init__()
        self.spec = spec or StftMagnitude()
        hann = torch.from_numpy(periodic_hann(self.spec.n_fft).copy())
        self.register_buffer("hann", hann, persistent=False)

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Compute both features; see the class."""
        spectrum = magnitude(torch.fft.rfft(waveforms))[:, : waveforms.shape[1] // 2]
        frames = waveforms.unfold(1, self.spec.n_fft, self.spec.hop_length)  # (B, T, n_fft)
        spectrogram = magnitude(torch.fft.rfft(frames * self.hann))
        return spectrum.unsqueeze(2), spectrogram.unsqueeze(3)
