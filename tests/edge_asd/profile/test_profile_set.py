"""Profiles exchanged together: those of all monitors or of none, whatever happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.crashpoints import build_shim, run_crashes

from edge_asd.errors import StorageError
from edge_asd.profile import load_profile, profile_dir, save_profile
from edge_asd.profile.profile_set import commit, drop, settle, stage

PROCESS = Path(__file__).with_name("profile_set_crash_process.py")
NAMES = ("pump-1", "fan-1")
LATER = "2026-11-21T12:00:00.000Z"


@pytest.mark.slow
def test_killed_at_every_step_the_old_or_the_new_profiles_are_in_force_for_every_monitor(tmp_path):
    lines = run_crashes(PROCESS, "exchange", tmp_path, shim=build_shim(tmp_path))
    hows, found = zip(*[line.split()[1:] for line in lines], strict=True)
    assert hows == ("killed",) * (len(hows) - 1) + ("done",)
    change = found.index("b")
    assert found == ("a",) * change + ("b",) * (len(found) - change)
    assert 8 < change < len(found) - 3


@pytest.fixture
def two(tmp_path, pump_profile):
    """Two monitors with a profile, and another one for each that is staged."""
    before = {name: replace(pump_profile, monitor=name) for name in NAMES}
    for profile in before.values():
        save_profile(tmp_path, profile)
    after = {name: replace(profile, created_at=LATER) for name, profile in before.items()}
    stage(tmp_path, after.values())
    return before, after


def in_force(state, bundle):
    return {name: load_profile(state, name, bundle).created_at for name in NAMES}


def times(profiles):
    return {name: profile.created_at for name, profile in profiles.items()}


def test_what_is_staged_counts_from_the_decision_on(tmp_path, tiny_bundle, two):
    before, after = two
    assert in_force(tmp_path, tiny_bundle) == times(before)
    commit(tmp_path, NAMES)
    assert in_force(tmp_path, tiny_bundle) == times(after)
    assert not list(tmp_path.glob("profiles/*/next"))


def test_what_is_dropped_or_never_decided_leaves_no_trace(tmp_path, tiny_bundle, two):
    before, after = two
    drop(tmp_path)
    assert not list(tmp_path.glob("profiles/*/next"))
    stage(tmp_path, after.values())
    settle(tmp_path)  # a start
    assert not list(tmp_path.glob("profiles/*/next"))
    assert in_force(tmp_path, tiny_bundle) == times(before)


def test_profiles_that_are_saved_meanwhile_do_not_touch_what_is_staged(tmp_path, tiny_bundle, two):
    before, after = two
    for profile in before.values():
        save_profile(tmp_path, profile)
    commit(tmp_path, NAMES)
    assert in_force(tmp_path, tiny_bundle) == times(after)


def test_a_disk_that_refuses_before_the_decision_leaves_everything_as_it_was(
    tmp_path, tiny_bundle, two
):
    before, after = two
    blocked = tmp_path / "profiles" / ".exchange.json.tmp"
    blocked.mkdir()
    with pytest.raises(StorageError):
        commit(tmp_path, NAMES)
    blocked.rmdir()
    drop(tmp_path)
    (profile_dir(tmp_path, "fan-1") / "next").write_text("in the way")
    with pytest.raises(StorageError):
        stage(tmp_path, after.values())
    assert not (profile_dir(tmp_path, "pump-1") / "next").exists()
    assert in_force(tmp_path, tiny_bundle) == times(before)


def test_what_was_decided_is_finished_later_and_never_undoes_an_enrolment(
    tmp_path, tiny_bundle, two, caplog
):
    _, after = two
    # The references of the second cannot be moved into place: there is a folder of that name.
    name = next((profile_dir(tmp_path, "fan-1") / "next").glob("references-*")).name
    (profile_dir(tmp_path, "fan-1") / name).unlink(missing_ok=True)
    (profile_dir(tmp_path, "fan-1") / name / "in").mkdir(parents=True)
    commit(tmp_path, NAMES)
    assert "left to the next start" in caplog.text
    (profile_dir(tmp_path, "fan-1") / name / "in").rmdir()
    (profile_dir(tmp_path, "fan-1") / name).rmdir()
    newest = "2026-11-22T12:00:00.000Z"
    save_profile(tmp_path, replace(after["pump-1"], created_at=newest))
    settle(tmp_path)
    assert in_force(tmp_path, tiny_bundle) == {"pump-1": newest, "fan-1": LATER}
    assert not (tmp_path / "profiles" / "exchange.json").exists()
