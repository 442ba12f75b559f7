"""Confirming and undoing under fire; see ``support.crashpoints``.

Usage: targets_crash_process.py confirm|undo FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support.confirmed import RESTS_S, at, fault_sound, load_sound, recording_of
from support.crashpoints import crash_everywhere
from support.sound import RATE, enrolled, machine
from support.tiny import write_tiny_bundle

from edge_asd.engine import open_networks
from edge_asd.normal.alert_sound import AlertSound
from edge_asd.normal.confirming import undone
from edge_asd.profile import load_profile
from edge_asd.profile.target_store import read_sound, save_with_targets, targets_dir

if __name__ == "__main__":
    scenario, folder = sys.argv[1], Path(sys.argv[2])
    bundle = write_tiny_bundle(folder / "tiny-1.asd")
    networks = open_networks(bundle)
    plain = enrolled(networks, machine("pump", 62.0))
    sounds = {1: load_sound(), 2: fault_sound()}
    first, second = (recording_of(networks, plain, x, n) for n, x in sounds.items())
    networks.close()
    kept = {one.audio: AlertSound(sounds[n], RATE, RESTS_S) for n, one in ((1, first), (2, second))}
    prepared = folder / scenario
    one = plain.with_recordings([first])
    save_with_targets(prepared, one, {first.audio: kept[first.audio]})
    two = one.with_recordings([first, second])
    if scenario == "undo":
        save_with_targets(prepared, two, {second.audio: kept[second.audio]})

    def act(state):
        if scenario == "undo":
            left = undone(two, first.event_id, "anna", at(3))
            return lambda: save_with_targets(state, left)
        return lambda: save_with_targets(state, two, {second.audio: kept[second.audio]})

    def check(state):
        """Whose confirmation is in force at the next start; all of it is there."""
        profile = load_profile(state, "pump-1", bundle)
        for found in profile.recordings:
            sound = read_sound(state, "pump-1", found.audio, found.rests_s)
            assert len(sound.samples) == 6 * RATE
        save_with_targets(state, profile)  # and it goes on: nothing is left behind
        names = {path.name for path in targets_dir(state, "pump-1").iterdir()}
        assert names == {found.audio for found in profile.recordings}
        numbers = {first.event_id: "1", second.event_id: "2"}
        return "".join(numbers[found.event_id] for found in profile.recordings)

    # Without the shim every write into memory is a step, too.
    crash_everywhere(prepared, act, check, stride=1 if "LD_PRELOAD" in os.environ else 9)
