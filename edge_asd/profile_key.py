"""Which scores compare: a name for all that decides what a window scores."""

from __future__ import annotations

import hashlib

import numpy as np

from edge_asd.profile import Profile


def key_of(profile: Profile) -> str:
    """Name of what a profile's scores depend on: bundle, gain, references, standardisation.

    Thresholds do not belong to it: recalibration and another rate leave scores what they are.

    Returns:
        16 hexadecimal digits; the same for a profile that was saved and loaded. It takes a pass
        over all references: ask once a profile, not once a window.
    """
    digest = hashlib.sha256()
    digest.update(f"{profile.bundle_sha256} {profile.gain_db!r}".encode())
    for name, standard in sorted(profile.detector.standards.items()):
        digest.update(f" {name} {standard.shift!r} {standard.scale!r}".encode())
    for name, array in sorted(profile.detector.state().items()):
        digest.update(f" {name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
