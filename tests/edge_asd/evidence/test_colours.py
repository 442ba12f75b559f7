"""Colours whose steps look equal, also to those who tell red from green badly."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge_asd.evidence.colours import STEPS, difference_colours, level_colours, painted

# What somebody without green (deuteranopia) or red (protanopia) cones sees, linear sRGB;
# Machado, Oliveira and Fernandes (2009), severity 1.0.
BLIND = {
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def linear(colours):
    value = np.asarray(colours) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def cielab(rgb):
    """CIE 1976 L*a*b* of linear sRGB: an older yardstick than the one the maps were made with."""
    xyz = np.clip(rgb, 0, 1) @ np.transpose(TO_XYZ) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def test_louder_is_always_lighter_and_never_by_much_more_than_elsewhere():
    lightness = np.diff(cielab(linear(level_colours()))[:, 0])
    assert (lightness > 0.5).all()
    assert lightness.max() < 2.2 * lightness.mean()


def test_nothing_is_white_and_both_directions_darken_alike():
    lab = cielab(linear(difference_colours()))
    assert difference_colours()[STEPS // 2].min() >= 245
    less, more = lab[: STEPS // 2 + 1, 0][::-1], lab[STEPS // 2 :, 0]
    assert (np.diff(less) < 0).all()
    assert (np.diff(more) < 0).all()
    assert np.abs(less - more).max() < 12


@pytest.mark.parametrize("kind", BLIND)
def test_more_and_less_differ_for_the_colour_blind_too(kind):
    seen = cielab(linear(difference_colours()) @ np.transpose(BLIND[kind]))
    quarter = STEPS // 4
    assert np.linalg.norm(seen[quarter] - seen[-1 - quarter]) > 30
    assert np.linalg.norm(seen[0] - seen[-1]) > 60


def test_numbers_take_the_colour_of_their_place_and_unknown_is_grey():
    colours = level_colours()
    values = np.asarray([[-99.0, 0.0, 5.0, 10.0, 99.0, np.nan]])
    (row,) = painted(values, 0.0, 10.0, colours)
    assert_array_equal(row[:5], colours[[0, 0, STEPS // 2, STEPS - 1, STEPS - 1]])
    assert_array_equal(row[5], [150, 150, 150])
