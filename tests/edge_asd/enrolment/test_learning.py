"""Enrolment on disk: profile, reservoir and bundle belong together."""

import numpy as np
import pytest
import soundfile
from support.sound import RATE, WALL_S, machine, request, seconds_of

from edge_asd.enrolment.learning import (
    install,
    learn_from_files,
    learn_from_recording,
    refuse_during_alert,
)
from edge_asd.errors import BusyError, DataError
from edge_asd.profile import has_profile, load_profile, profile_dir
from edge_asd.profile.reservoir import PieceSource, PieceWriter
from edge_asd.records import State


def silent(_fraction, _what):
    pass


@pytest.fixture
def files(tmp_path):
    samples = machine("pump", 90.0)
    paths = []
    for number, part in enumerate(np.split(samples, 3)):
        paths.append(tmp_path / f"part-{number}.wav")
        soundfile.write(paths[-1], part, RATE, subtype="FLOAT")
    return paths


def learn(bundle, state_dir, files, **changes):
    return learn_from_files(
        bundle, state_dir, files, request(**changes), now=WALL_S, progress=silent
    )


def test_files_are_learned_as_one_stream(tmp_path, tiny_bundle, files, pump_profile):
    learned = learn(tiny_bundle, tmp_path / "state", files)
    assert learned.profile.enrolled_s == pytest.approx(90.0, abs=0.3)
    np.testing.assert_allclose(
        learned.profile.held_out.scores, pump_profile.held_out.scores, atol=1e-4
    )
    assert not has_profile(tmp_path / "state", "pump-1")  # not in place yet


def test_what_is_installed_can_be_loaded_and_learned_from_again(tmp_path, tiny_bundle, files):
    state = tmp_path / "state"
    learned = learn(tiny_bundle, state, files)
    install(state, tiny_bundle, learned)
    folder = profile_dir(state, "pump-1")
    assert load_profile(state, "pump-1", tiny_bundle).calibration == learned.profile.calibration
    assert not learned.audio.exists()
    kept = np.concatenate([b.samples[:, 0] for b in PieceSource(folder / "reservoir").blocks()])
    np.testing.assert_allclose(kept, machine("pump", 90.0), atol=2.0**-23)
    again = learn_from_recording(
        tiny_bundle, folder / "reservoir", request(), now=WALL_S, progress=silent
    )
    assert again.profile.gain_db == pytest.approx(learned.profile.gain_db, abs=0.02)


def test_a_recording_of_the_second_channel_is_learned_as_the_first(tmp_path, tiny_bundle):
    writer = PieceWriter(tmp_path / "recording", RATE)
    for block in seconds_of(machine("pump", 90.0)):
        writer.push(block)
    writer.close()
    learned = learn_from_recording(
        tiny_bundle, writer.folder, request(channel=3), now=WALL_S, progress=silent
    )
    assert learned.profile.enrolled_s == pytest.approx(90.0, abs=0.3)
    assert learned.audio == writer.folder


def test_a_failed_enrolment_leaves_the_old_profile_and_reservoir(tmp_path, tiny_bundle, files):
    state = tmp_path / "state"
    install(state, tiny_bundle, learn(tiny_bundle, state, files))
    before = load_profile(state, "pump-1", tiny_bundle)
    with pytest.raises(DataError, match="at least 60 s"):
        learn(tiny_bundle, state, files[:1])
    assert load_profile(state, "pump-1", tiny_bundle).created_at == before.created_at
    assert list(PieceSource(profile_dir(state, "pump-1") / "reservoir").blocks())


def test_a_new_enrolment_replaces_profile_and_reservoir(tmp_path, tiny_bundle, files):
    state = tmp_path / "state"
    install(state, tiny_bundle, learn(tiny_bundle, state, files))
    softer = [tmp_path / f"soft-{n}.wav" for n in range(3)]
    for path, source in zip(softer, files, strict=True):
        soundfile.write(path, soundfile.read(source)[0] / 4, RATE, subtype="FLOAT")
    learned = learn(tiny_bundle, state, softer)
    install(state, tiny_bundle, learned)
    assert load_profile(state, "pump-1", tiny_bundle).gain_db == learned.profile.gain_db
    block = next(PieceSource(profile_dir(state, "pump-1") / "reservoir").blocks())
    np.testing.assert_allclose(block.samples[:, 0], machine("pump", 90.0)[:RATE] / 4, atol=1e-6)


@pytest.mark.parametrize("state", list(State))
def test_nobody_learns_during_an_alert_unless_forced(state):
    if state in (State.WARNING, State.ALARM):
        with pytest.raises(BusyError, match=f"pump-1 is in state {state.value}.*--force"):
            refuse_during_alert("pump-1", state, force=False)
    else:
        refuse_during_alert("pump-1", state, force=False)
    refuse_during_alert("pump-1", state, force=True)
