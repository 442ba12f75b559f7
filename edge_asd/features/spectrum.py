"""Magnitude spectrum of a whole window: the input of FeatEx's branch A."""

from __future__ import annotations

import numpy as np

from edge_asd.features.fft import magnitudes
from edge_asd.records import FloatArray


def magnitude_spectrum(samples: FloatArray) -> FloatArray:
    """Magnitude of the Fourier transform over the whole window.

    Args:
        samples: Windows, shape (B, L), L even, float32.

    Returns:
        Shape (B, L/2, 1) float32: bins 0 to L/2 - 1, the Nyquist bin dropped; not scaled.

    Source: Wilkinghoff, "Self-supervised learning for anomalous sound detection" (2023), front end
    of the spectrum branch.
    """
    spectrum = np.empty((len(samples), samples.shape[-1] // 2, 1), np.float32)
    magnitudes(samples, spectrum[..., 0])
    return spectrum
