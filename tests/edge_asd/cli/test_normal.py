"""``edge-asd normal`` without a daemon: look, confirm, list, take back."""

from __future__ import annotations

import json

import pytest
from support.confirmed import fault_sound, keep_alert, load_sound
from support.processes import assert_refused, lines, write_config

from edge_asd.bundle.store import keep_bundle
from edge_asd.profile import load_profile, profile_dir, save_profile
from edge_asd.state_dir import StateLock

ALERT = {"above_s": 1.5, "within_s": 2.0, "false_alarms_per_week": 100.0}


@pytest.fixture
def state(tmp_path, tiny_bundle, pump_profile):
    """An enrolled pump whose other load alerted twice, and whose fault did once."""
    folder = tmp_path / "state"
    keep_bundle(folder, tiny_bundle)
    save_profile(folder, pump_profile)
    for number, sound in enumerate((load_sound(seed=7), load_sound(seed=8), fault_sound())):
        keep_alert(folder, number, sound, pinned=number == 1)
    return folder


@pytest.fixture
def ids(state):
    return [path.name.split("_", 1)[1] for path in sorted(state.glob("evidence/pump-1/*/*"))]


@pytest.fixture
def normal(shell, state, tmp_path):
    monitor = {"name": "pump-1", "alert": ALERT}
    config = write_config(tmp_path / "config.yaml", monitors=[monitor])
    return lambda *more: shell("normal", *more, "--state-dir", state, "--config", config)


def text_of(state):
    return (profile_dir(state, "pump-1") / "profile.json").read_text()


def test_an_alert_is_looked_at_confirmed_listed_and_taken_back(
    normal, shell, state, ids, tiny_bundle
):
    before, plain = text_of(state), load_profile(state, "pump-1", tiny_bundle)
    shown = normal(ids[0][-6:], "--preview")
    assert shown.returncode == 0, shown.stderr
    assert f"alert {ids[0]} of pump-1" in shown.stdout
    assert "of 2 other alerts whose sound is kept 1 would be masked" in shown.stdout
    assert ids[1] in shown.stdout
    assert "WARNING: 1 of them are pinned or acknowledged" in shown.stdout
    assert shown.stdout.rstrip().endswith("nothing is changed yet")

    assert_refused(normal(ids[0], "--yes"), 2, ids[1], "pinned or acknowledged", "--force")
    assert_refused(normal(ids[0]), 2, "nothing is changed", "--yes")
    assert text_of(state) == before

    done = normal(ids[0], "--by", "anna", "--days", "30", "--yes", "--force", "--json")
    (told,) = lines(done)
    assert (told["applied"], told["guarded"]) == (True, [ids[1]])
    loaded = load_profile(state, "pump-1", tiny_bundle)
    assert loaded.targets.windows == told["windows"]
    assert loaded.calibration.threshold == told["threshold_after"]

    (listed,) = lines(normal("--list", "--json"))
    (monitor,) = listed["monitors"]
    (one,) = monitor["confirmed"]
    assert (one["event_id"], one["by"], one["windows"]) == (ids[0], "anna", told["windows"])
    assert one["expires_at"] == told["expires_at"]
    assert [change["what"] for change in monitor["changes"]] == ["confirmed"]
    assert "confirmed as normal by anna on" in normal("--list").stdout
    story = shell("events", "show", ids[0], "--state-dir", state).stdout
    assert "no fault     confirmed as normal by anna on" in story
    (as_json,) = lines(shell("events", "show", ids[0], "--json", "--state-dir", state))
    assert as_json["confirmed_normal"]["by"] == "anna"

    assert_refused(normal(ids[0], "--yes"), 2, "confirmed as normal already")
    assert_refused(normal("--undo", ids[2]), 2, "no monitor has confirmed")
    undone = normal("--undo", ids[0][-6:], "--by", "ben")
    assert "is no longer normal" in undone.stdout
    left = load_profile(state, "pump-1", tiny_bundle)
    assert left.calibration == plain.calibration
    assert left.key == plain.key
    assert [change.by for change in left.changes] == ["anna", "ben"]
    assert normal("--list").stdout == "nothing is confirmed as normal\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give the id of an alert, or --list, or --undo ID"),
        (("x", "--list"), "give the id of an alert, or --list, or --undo ID"),
        (("x", "--days", "3", "--forever"), "either --days N or --forever"),
        (("x", "--days", "-3", "--yes"), "'days' must be above 0"),
        (("nope", "--yes"), "there is no event 'nope'"),
        (("--list", "--monitor", "fan"), "monitor fan has no profile"),
    ],
)
def test_what_cannot_be_meant_is_refused(normal, state, arguments, says):
    before = text_of(state)
    assert_refused(normal(*arguments), 2, says)
    assert text_of(state) == before


def test_nothing_is_changed_beside_another_process(normal, state, ids):
    before = text_of(state)
    with StateLock(state):
        assert_refused(normal(ids[2], "--yes"), 69, "in use by process")
        assert normal(ids[2], "--preview", "--json").returncode == 0
    assert text_of(state) == before
    assert json.loads(before)["schema"] == 1
