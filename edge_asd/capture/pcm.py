"""Raw PCM as bytes -> float32 in ±1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_asd.records import FloatArray

FORMATS = {"s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
"""Bytes a sample of every format that can be decoded."""


def decode(data: bytes | bytearray, fmt: str, channels: int) -> FloatArray:
    """Decode interleaved PCM.

    Args:
        data: Bytes; a torn frame at the end is dropped.
        fmt: One of `FORMATS`, little-endian.
        channels: C.

    Returns:
        Shape (n, C) float32; integers scaled so that full scale is ±1, exactly as libsndfile does.
    """
    width = FORMATS[fmt]
    n = len(data) // (width * channels)
    raw = np.frombuffer(data, np.uint8, count=n * width * channels)
    samples = _widen(raw) if fmt == "s24le" else raw.view(_DTYPES[fmt]).astype(np.float32)
    samples *= np.float32(_SCALES[fmt])
    return samples.reshape(n, channels)


_DTYPES = {"s16le": "<i2", "s32le": "<i4", "f32le": "<f4"}
_SCALES = {"s16le": 2.0**-15, "s24le": 2.0**-31, "s32le": 2.0**-31, "f32le": 1.0}


def _widen(raw: NDArray[np.uint8]) -> FloatArray:
    """Three bytes a sample become the upper three of four: 24 bits fit float32 exactly."""
    wide = np.zeros((len(raw) // 3, 4), np.uint8)
    wide[:, 1:] = raw.reshape(-1, 3)
    return wide.view("<i4")[:, 0].astype(np.float32)
