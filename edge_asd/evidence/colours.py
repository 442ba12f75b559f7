"""Colours for levels and differences: equal steps look equal, red and green are not told apart.

Both maps are computed in OKLab (Björn Ottosson, 2020), in which distances are about as large as
they look.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ByteArray = NDArray[np.uint8]
Reals = NDArray[np.floating]

STEPS = 49
"""Colours of a map; few enough for a small file, odd so that a difference of nothing is white."""

_TO_LMS = np.asarray(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_TO_RGB = np.asarray(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def srgb(lab: Reals) -> ByteArray:
    """Colours in OKLab (N, 3) as sRGB bytes (N, 3), those outside of it clipped."""
    linear = np.clip(np.power(lab @ _TO_LMS.T, 3) @ _TO_RGB.T, 0.0, 1.0)
    low = 12.92 * linear
    high = 1.055 * np.power(np.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    encoded = np.where(linear <= 0.0031308, low, high)
    return np.asarray(np.round(255.0 * encoded), np.uint8)


@lru_cache(maxsize=1)
def level_colours() -> ByteArray:
    """From nearly black over blue and green to pale yellow, (STEPS, 3): lighter is louder."""
    at = np.linspace(0.0, 1.0, 512)
    lightness = 0.12 + 0.84 * at
    hue = np.radians(290.0 - 185.0 * at)
    chroma = 0.02 + 0.13 * np.sin(np.pi * np.clip(0.12 + 0.72 * at, 0.0, 1.0))
    return srgb(_even(_lab(lightness, chroma, hue), STEPS))


@lru_cache(maxsize=1)
def difference_colours() -> ByteArray:
    """From blue (less) over white to orange-brown (more), (STEPS, 3)."""
    half = STEPS // 2 + 1
    white = (0.985, 0.0, 0.0)
    less = np.linspace(_lab(0.36, 0.135, np.radians(260.0)), white, half)
    more = np.linspace(white, _lab(0.44, 0.125, np.radians(48.0)), half)
    return srgb(np.concatenate([less, more[1:]]))


def painted(values: Reals, low: float, high: float, colours: ByteArray) -> ByteArray:
    """Numbers as colours, (H, W) -> (H, W, 3); beyond the range the ends, NaN mid-grey."""
    place = np.clip((values - low) / (high - low), 0.0, 1.0)
    index = np.nan_to_num(np.round(place * (len(colours) - 1))).astype(np.intp)
    return np.where(np.isnan(values)[..., None], np.uint8(150), colours[index])


def _lab(
    lightness: float | Reals,
    chroma: float | Reals,
    hue: float | Reals,
) -> Reals:
    return np.stack([np.asarray(lightness), chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)


def _even(path: Reals, count: int) -> Reals:
    """Points at equal distances along a path (N, 3)."""
    travelled = np.concatenate([[0.0], np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()])
    at = np.linspace(0.0, travelled[-1], count)
    return np.stack([np.interp(at, travelled, path[:, axis]) for axis in range(3)], axis=-1)
