"""Confirmed sound on the disk: whole after every crash, gone with the profile it belonged to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.confirmed import RESTS_S, at, load_sound, recording_of
from support.crashpoints import build_shim, run_crashes
from support.sound import RATE, WALL_S, machine, request

from edge_asd.embed import WindowEmbedder
from edge_asd.enrolment.learning import install, learn_from_files
from edge_asd.errors import DataError, StorageError
from edge_asd.normal.alert_sound import AlertSound
from edge_asd.normal.confirming import heard_again, undone
from edge_asd.profile import load_profile, profile_dir
from edge_asd.profile.reservoir import PieceSource
from edge_asd.profile.target_store import audio_bytes, read_sound, save_with_targets, targets_dir

PROCESS = Path(__file__).with_name("targets_crash_process.py")


@pytest.fixture
def confirmed(tmp_path, tiny_networks, pump_profile):
    """A profile with one recording, on the disk."""
    samples = load_sound()
    one = recording_of(tiny_networks, pump_profile, samples)
    profile = pump_profile.with_recordings([one])
    save_with_targets(tmp_path, profile, {one.audio: AlertSound(samples, RATE, RESTS_S)})
    return profile


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "before", "after"),
    [
        ("confirm", "1", "12"),
        pytest.param("undo", "12", "2", marks=pytest.mark.long),
    ],
)
def test_killed_at_every_step_the_old_or_the_new_confirmation_is_whole(
    tmp_path, scenario, before, after
):
    shim = build_shim(tmp_path)
    lines = [line.split() for line in run_crashes(PROCESS, scenario, tmp_path, shim=shim)]
    found = [state for _, _, state in lines]
    assert [how for _, how, _ in lines] == ["killed"] * (len(lines) - 1) + ["done"]
    change = found.index(after)
    assert found == [before] * change + [after] * (len(found) - change)
    assert change > 8


def test_the_audio_comes_back_as_it_was_heard(tmp_path, confirmed):
    one = confirmed.recordings[0]
    sound = read_sound(tmp_path, "pump-1", one.audio, one.rests_s)
    np.testing.assert_allclose(sound.samples, load_sound(), atol=2.0**-23)
    assert 0 < audio_bytes(tmp_path, "pump-1") < 6 * RATE * 3


def test_it_lies_beside_the_reservoir_and_is_no_part_of_it(tmp_path, confirmed):
    assert targets_dir(tmp_path, "pump-1").parent == profile_dir(tmp_path, "pump-1") / "reservoir"
    assert confirmed.recordings
    with pytest.raises(DataError, match="holds no recorded audio"):
        PieceSource(profile_dir(tmp_path, "pump-1") / "reservoir")


def test_undoing_takes_the_audio_along(tmp_path, confirmed):
    left = undone(confirmed, confirmed.recordings[0].event_id, "anna", at(1))
    save_with_targets(tmp_path, left)
    assert not list(targets_dir(tmp_path, "pump-1").iterdir())
    assert audio_bytes(tmp_path, "pump-2") == 0


def test_a_disk_that_refuses_leaves_the_old_profile(tmp_path, confirmed, tiny_bundle):
    left = undone(confirmed, confirmed.recordings[0].event_id, "anna", at(1))
    (profile_dir(tmp_path, "pump-1") / ".profile.json.tmp").mkdir()
    with pytest.raises(StorageError):
        save_with_targets(tmp_path, left)
    loaded = load_profile(tmp_path, "pump-1", tiny_bundle)
    assert len(loaded.recordings) == 1
    assert audio_bytes(tmp_path, "pump-1") > 0


def test_an_enrolment_begins_without_what_was_confirmed_before(tmp_path, confirmed, tiny_bundle):
    assert confirmed.recordings
    file = tmp_path / "normal.wav"
    soundfile.write(file, machine("pump", 62.0), RATE, subtype="FLOAT")
    learned = learn_from_files(
        tiny_bundle, tmp_path, [file], request(), now=WALL_S, progress=lambda *_: None
    )
    install(tmp_path, tiny_bundle, learned)
    assert load_profile(tmp_path, "pump-1", tiny_bundle).recordings == ()
    assert audio_bytes(tmp_path, "pump-1") == 0


def test_another_bundle_hears_what_was_confirmed_again(
    tmp_path, confirmed, tiny_networks, pump_profile
):
    again = heard_again(tiny_networks, pump_profile, confirmed.recordings, tmp_path)
    one, other = again.recordings[0], confirmed.recordings[0]
    assert (one.event_id, one.by, one.at, one.expires_at) == (
        other.event_id,
        other.by,
        other.at,
        other.expires_at,
    )
    np.testing.assert_array_equal(one.chosen, other.chosen)
    heard = WindowEmbedder(tiny_networks).embed_clip(load_sound(seed=5))[1]
    np.testing.assert_allclose(
        again.detector.fused_scores(heard), confirmed.detector.fused_scores(heard), atol=1e-3
    )


def test_audio_that_is_gone_is_said(tmp_path, confirmed, tiny_networks, pump_profile):
    (targets_dir(tmp_path, "pump-1") / confirmed.recordings[0].audio).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        heard_again(tiny_networks, pump_profile, confirmed.recordings, tmp_path)
