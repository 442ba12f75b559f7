"""Kinematic frequencies of rolling-element bearings.

Source: Randall & Antoni, "Rolling element bearing diagnostics - a tutorial", Mechanical Systems
and Signal Processing 25 (2011), eqs. (1)-(4), for a fixed outer and a turning inner race. With
shaft frequency f_r, n rolling elements, element diameter d, pitch diameter D and contact angle
phi, and q = (d / D) cos(phi)::

    BPFO = n f_r / 2 (1 - q)            element passes a point of the outer race
    BPFI = n f_r / 2 (1 + q)            element passes a point of the inner race
    FTF  = f_r / 2 (1 - q)              turn of the cage
    BSF  = f_r D / (2 d) (1 - q^2)      spin of an element (it strikes a race at twice this)

Slip makes the true frequencies deviate by 1-2 %. An inner-race defect is modulated by the shaft
as it passes through the load zone, an element defect by the cage (McFadden & Smith, "Model for
the vibration produced by a single point defect in a rolling element bearing", Journal of Sound
and Vibration 96 (1984)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_asd.simulate.dsp import FloatArray


@dataclass(frozen=True, slots=True)
class Bearing:
    """Geometry of a rolling-element bearing."""

    n_elements: int
    """Number of balls or rollers."""
    ratio: float
    """Element diameter over pitch diameter, d / D."""
    contact_angle_deg: float
    """Contact angle; 0 for a radial bearing."""

    @property
    def _q(self) -> float:
        return self.ratio * float(np.cos(np.deg2rad(self.contact_angle_deg)))

    @property
    def bpfo_order(self) -> float:
        """Ball-pass frequency of the outer race over shaft frequency."""
        return 0.5 * self.n_elements * (1.0 - self._q)

    @property
    def bpfi_order(self) -> float:
        """Ball-pass frequency of the inner race over shaft frequency."""
        return 0.5 * self.n_elements * (1.0 + self._q)

    @property
    def ftf_order(self) -> float:
        """Cage frequency over shaft frequency."""
        return 0.5 * (1.0 - self._q)

    @property
    def bsf_order(self) -> float:
        """Spin frequency of an element over shaft frequency."""
        return 0.5 / self.ratio * (1.0 - self._q**2)


def draw_bearing(rng: np.random.Generator) -> Bearing:
    """Draw a realistic geometry (deep-groove to angular-contact balls, and rollers)."""
    n_elements = int(rng.integers(7, 17))
    # elements must fit on the pitch circle: n d < pi D
    largest = min(0.32, 0.85 * np.pi / n_elements)
    ratio = float(rng.uniform(0.55 * largest, largest))
    angle = float(rng.choice([0.0, rng.uniform(8.0, 30.0)]))
    return Bearing(n_elements, ratio, angle)


def load_zone(depth: float, size: int = 1024) -> FloatArray:
    """Strength of a defect over one turn through the load zone.

    Args:
        depth: 0 is even, 1 falls to nearly nothing opposite the load.
        size: Entries of the table.

    Returns:
        Table with mean square 1, shape (size + 1,), closed.

    Source: Stribeck's distribution as used by McFadden & Smith 1984 (half the race loaded), on a
        pedestal for the preload.
    """
    turn = np.arange(size + 1) / size
    zone = np.maximum(np.cos(2.0 * np.pi * turn), 0.0) ** 1.5
    shape = 1.0 - depth + depth * zone
    return np.asarray(shape / np.sqrt(np.mean(shape**2)), np.float32)
