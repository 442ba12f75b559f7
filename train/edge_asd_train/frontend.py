"""The features of ``edge_asd`` as torch operations, for whole batches while training.

``edge_asd.features`` stays the only definition: the window function comes from there and a parity
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edge_asd.features import FeatureSpec, MagnitudeSpectrum, StftMagnitude
from edge_asd.features.frames import periodic_hann


def magnitude(spectrum: Tensor) -> Tensor:
    """Absolute value of a complex tensor.

    Cost: two thirds of ``torch.abs``, which guards against overflows that audio cannot cause.
    """
    parts = torch.view_as_real(spectrum)
    norm: Tensor = torch.linalg.vector_norm(parts, dim=-1)
    return norm


class FrontEnd(nn.Module):
    """Waveforms (B, L) -> the features of a network, by name of its argument.

    Args:
        inputs: Specification of every feature by name.

    Raises:
        TypeError: There is no torch version of one of them.
    """

    def __init__(self, inputs: Mapping[str, FeatureSpec]) -> None:
        super().__init__()
        self.inputs = dict(inputs)
        for name, spec in self.inputs.items():
            if isinstance(spec, StftMagnitude):
                hann = torch.from_numpy(periodic_hann(spec.n_fft).copy())
                self.register_buffer(f"hann_{name}", hann, persistent=False)
            elif not isinstance(spec, MagnitudeSpectrum):
                raise TypeError(f"no torch version of the feature {spec.kind}")

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> dict[str, Tensor]:
        """Compute all features; see the class."""
        found = {}
        for name, spec in self.inputs.items():
            if isinstance(spec, StftMagnitude):
                frames = waveforms.unfold(1, spec.n_fft, spec.hop_length)  # (B, T, n_fft)
                windowed = frames * self.get_buffer(f"hann_{name}")
                found[name] = magnitude(torch.fft.rfft(windowed)).unsqueeze(3)
            else:
                half = waveforms.shape[1] // 2
                found[name] = magnitude(torch.fft.rfft(waveforms))[:, :half].unsqueeze(2)
        return found
