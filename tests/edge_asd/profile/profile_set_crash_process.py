"""The profiles of two monitors exchanged under fire; see ``support.crashpoints``.

Usage: profile_set_crash_process.py exchange FOLDER
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from support.crashpoints import crash_everywhere
from support.sound import enrolled, machine
from support.tiny import write_tiny_bundle

from edge_asd.bundle.store import bundle_of, keep_bundle
from edge_asd.engine import open_networks
from edge_asd.profile import load_profile, profile_dir, save_profile
from edge_asd.profile.profile_set import commit, settle, stage

NAMES = ("pump-1", "fan-1")

if __name__ == "__main__":
    folder = Path(sys.argv[2])
    learned = {}
    for seed, label in enumerate("ab"):
        bundle = write_tiny_bundle(folder / f"{label}.asd", seed=seed, version=label)
        networks = open_networks(bundle)
        one = enrolled(networks, machine("pump", 62.0))
        networks.close()
        learned[label] = bundle, {name: replace(one, monitor=name) for name in NAMES}
    prepared = folder / "prepared"
    bundle, profiles = learned["a"]
    keep_bundle(prepared, bundle)
    for profile in profiles.values():
        save_profile(prepared, profile)

    def act(state):
        other, profiles = learned["b"]

        def exchange():
            keep_bundle(state, other)
            stage(state, profiles.values())
            commit(state, NAMES)

        return exchange

    def check(state):
        """Whose profiles are in force after the next start: those of all monitors, and whole."""
        settle(state)
        bundle = bundle_of(state, NAMES)
        for name in NAMES:
            # And it goes on: nothing is left behind.
            save_profile(state, load_profile(state, name, bundle))
            kinds = sorted(path.suffix for path in profile_dir(state, name).iterdir())
            assert kinds == [".json", ".npz"], kinds
        left = {path.name for path in (state / "profiles").iterdir()}
        assert left - {".exchange.json.tmp"} == set(NAMES)  # the next exchange writes over it
        return bundle.manifest.version

    # Without the shim every write into memory is a step, too.
    crash_everywhere(prepared, act, check, stride=1 if "LD_PRELOAD" in os.environ else 9)
