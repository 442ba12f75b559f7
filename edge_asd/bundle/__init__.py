"""What all devices share: networks with what they need, in one file."""

from __future__ import annotations

from edge_asd.bundle.bundle import Bundle, builtin_bundle, load_bundle, write_bundle
from edge_asd.bundle.members import Golden, npz_bytes, read_npz

__all__ = [
    "Bundle",
    "Golden",
    "builtin_bundle",
    "load_bundle",
    "npz_bytes",
    "read_npz",
    "write_bundle",
]
