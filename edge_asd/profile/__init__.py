"""What one monitor learned on the device, with the sound it was learned from."""

from __future__ import annotations

from edge_asd.profile.profile import (
    MAX_CHANGES,
    Blocks,
    HeldOut,
    Profile,
    has_profile,
    load_profile,
    profile_dir,
    save_profile,
    write_profile,
)

__all__ = [
    "MAX_CHANGES",
    "Blocks",
    "HeldOut",
    "Profile",
    "has_profile",
    "load_profile",
    "profile_dir",
    "save_profile",
    "write_profile",
]
