"""What confirming an alert would change is found out from the evidence, and nothing is changed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.confirmed import RESTS_S, at, fault_sound, keep_alert, load_sound, recording_of
from support.sound import RATE, machine

from edge_asd.cli.events_find import read_stories
from edge_asd.clock import parse_rfc3339
from edge_asd.embed import WindowEmbedder
from edge_asd.errors import DataError, UsageError
from edge_asd.normal.alert_sound import AlertSound, embed_alert, read_alert_sound
from edge_asd.normal.confirming import Wish, find_alert, plan_confirmation
from edge_asd.normal.normal_orders import NormalCommand, owner_of, refuse_masking
from edge_asd.profile.targets import MAX_OF_ONE, MAX_TARGETS

NOW_S = at(30)


@pytest.fixture
def plan(tmp_path, tiny_networks, pump_profile):
    def plan(event, profile=pump_profile, *, days=90.0, rescore=True):
        wish = Wish(event, "anna", days, rescore)
        steps = []
        made = plan_confirmation(
            tiny_networks,
            profile,
            tmp_path,
            wish,
            now=NOW_S,
            progress=lambda done, _text: steps.append(done),
        )
        assert steps == sorted(steps)
        assert (steps[0], steps[-1]) == (0.0, 1.0)
        return made

    return plan


def test_alerts_of_the_same_sound_are_masked_and_faults_are_not(tmp_path, plan, pump_profile):
    this = keep_alert(tmp_path, 1, load_sound(seed=7))
    alike = keep_alert(tmp_path, 2, load_sound(seed=8))
    keep_alert(tmp_path, 3, fault_sound())
    quiet = keep_alert(tmp_path, 4, machine("pump", 6.0, seed=4))
    made = plan(this[-8:])
    told = made.preview.to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["event_id"] == this
    assert told["this"]["masked"]
    assert [one["event_id"] for one in told["masked"]] == [alike]
    assert (told["rescored"], told["still_raised"], told["guarded"]) == (3, 1, [])
    assert quiet not in json.dumps(told)  # it would not be raised now either
    assert 1 <= told["windows"] <= MAX_OF_ONE
    assert told["threshold_before"] == pump_profile.calibration.threshold
    applied = made.applied(pump_profile)
    assert told["threshold_after"] == applied.calibration.threshold
    assert applied.changes[-1].what == "confirmed"
    one = applied.recordings[0]
    assert (one.by, one.event_id, one.audio) == ("anna", this, f"{this}.flac")
    assert parse_rfc3339(one.expires_at) == NOW_S + 90 * 86_400.0


def test_what_is_told_before_is_what_comes_true(tmp_path, plan, pump_profile):
    this = keep_alert(tmp_path, 1, load_sound(seed=7))
    keep_alert(tmp_path, 2, load_sound(seed=8))
    before = plan(this)
    after = plan(read_other(tmp_path, this), before.applied(pump_profile))
    assert not after.preview.this.raised_before
    assert after.preview.masked == ()


def read_other(state, event_id):
    return next(name for name in read_stories(state) if name != event_id)


@pytest.mark.parametrize(
    ("how", "guarded"), [({"pinned": True}, True), ({"acked_by": "ben"}, True), ({}, False)]
)
def test_alerts_that_somebody_took_for_faults_are_guarded(tmp_path, plan, how, guarded):
    this = keep_alert(tmp_path, 1, load_sound(seed=7))
    other = keep_alert(tmp_path, 2, load_sound(seed=8), **how)
    preview = plan(this).preview
    assert [one.event_id for one in preview.masked] == [other]
    assert bool(preview.guarded) == guarded
    refuse_masking(preview, force=True)
    if guarded:
        with pytest.raises(UsageError, match=f"pinned or acknowledged: {other}; .*--force"):
            refuse_masking(preview, force=False)
    else:
        refuse_masking(preview, force=False)


def test_an_alert_may_be_confirmed_that_was_acknowledged_itself(tmp_path, plan):
    this = keep_alert(tmp_path, 1, load_sound(), acked_by="ben", pinned=True)
    refuse_masking(plan(this).preview, force=False)


def test_evidence_that_cannot_be_read_is_told_and_hinders_nothing(tmp_path, plan):
    this = keep_alert(tmp_path, 1, load_sound())
    other = keep_alert(tmp_path, 2, load_sound(seed=8))
    clip = read_stories(tmp_path)[other].kept.path("clip.flac")
    clip.write_bytes(clip.read_bytes()[:-9])
    preview = plan(this).preview
    assert preview.others == ()
    assert other in preview.unreadable[0]
    assert "altered or truncated" in preview.unreadable[0]
    assert plan(this, rescore=False).preview.unreadable == ()
    with pytest.raises(DataError, match=r"clip\.flac: altered or truncated"):
        plan(other)


def test_what_is_confirmed_already_is_not_confirmed_again(tmp_path, plan, pump_profile):
    this = keep_alert(tmp_path, 1, load_sound())
    confirmed = plan(this).applied(pump_profile)
    with pytest.raises(UsageError, match=f"{this}: is confirmed as normal already"):
        plan(this, confirmed)


def test_where_there_is_no_room_the_one_is_named_that_is_missed_least(
    tmp_path, plan, tiny_networks, pump_profile
):
    this = keep_alert(tmp_path, 1, fault_sound())
    recordings = [
        recording_of(tiny_networks, pump_profile, load_sound(seed=seed), seed)
        for seed in range(50, 53)
    ]
    many = [replace(one, chosen=np.arange(22) % len(one.views)) for one in recordings]
    full = pump_profile.with_recordings(many)
    assert full.targets.windows >= MAX_TARGETS
    reached = full.targets.reached(full.persistence)
    least = many[int(np.argmin(reached))].event_id
    with pytest.raises(UsageError, match=f"66 of 64 windows .* undo what is missed least: {least}"):
        plan(this, full)
    # A little room is used.
    nearly = pump_profile.with_recordings(
        [replace(one, chosen=np.arange(21) % len(one.views)) for one in recordings]
    )
    assert plan(this, nearly).preview.windows == 1


def test_an_alert_without_its_sound_or_of_a_rehearsal_teaches_nothing(tmp_path, plan):
    rehearsed = keep_alert(tmp_path, 1, load_sound(), rehearsal=True)
    with pytest.raises(DataError, match="was a rehearsal"):
        plan(rehearsed)
    kept = read_stories(tmp_path)[rehearsed].kept
    (kept.folder / "record.json").unlink()
    with pytest.raises(DataError, match="its sound is not kept: none was kept"):
        find_alert(tmp_path, rehearsed)
    with pytest.raises(UsageError, match="there is no event"):
        find_alert(tmp_path, "0000")


def test_only_sound_without_gaps_counts(tmp_path, tiny_networks):
    samples = load_sound(8.0)
    whole = keep_alert(tmp_path, 1, samples)
    gapped = keep_alert(tmp_path, 2, samples, gaps=((1.0, 1.5), (6.0, 6.1)))
    stories = read_stories(tmp_path)
    assert len(read_alert_sound(stories[whole].kept).samples) == 8 * RATE
    sound = read_alert_sound(stories[gapped].kept)
    np.testing.assert_allclose(sound.samples, samples[24_000:96_000], atol=2.0**-23)
    assert sound.rests_s == pytest.approx(RESTS_S - 1.5)
    short = AlertSound(samples[:8_000], RATE, 1.0)
    with pytest.raises(DataError, match=r"0\.5 s of uninterrupted sound .* a window is 1\.0 s"):
        embed_alert(short, WindowEmbedder(tiny_networks), 0.0)


@pytest.mark.parametrize("rate", [16_000, 44_100, 8_000])
def test_the_windows_of_an_alert_lie_where_they_lay_then(tiny_networks, rate):
    seconds = 1.024 + 9 * 0.256  # ten windows of the tiny bundle
    sound = AlertSound(load_sound(20.0)[: round(seconds * rate)], rate, 1.024 + 3 * 0.256)
    heard = embed_alert(sound, WindowEmbedder(tiny_networks), 0.0)
    assert len(heard.views) == 10
    assert heard.rests.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, "either 'event' or 'undo'"),
        ({"event": "a", "undo": "b"}, "either 'event' or 'undo'"),
        ({"event": 7}, "'event' must be text"),
        ({"event": "x" * 101}, "'event' must be text"),
        ({"event": "a", "days": 0}, "'days' must be above 0"),
        ({"event": "a", "days": True}, "'days' must be above 0"),
        ({"event": "a", "days": float("nan")}, "'days' must be above 0"),
        ({"event": "a", "days": 1e9}, "at most 3650"),
        ({"event": "a", "via": "mqtt", "force": True}, "'force' is not taken over MQTT"),
        ({"undo": "a", "via": "mqtt"}, "'undo' is not taken over MQTT"),
        ({"event": "a", "via": "mqtt", "unseen": False}, "'unseen' is not taken over MQTT"),
    ],
)
def test_a_request_that_means_nothing_is_refused(request_, says):
    with pytest.raises(UsageError, match=says):
        NormalCommand.parse({"command": "normal", **request_})


def test_a_request_over_mqtt_is_understood():
    fields = {"event": "01a0", "by": "  anna\n", "days": 30, "via": "mqtt", "command": "normal"}
    command = NormalCommand.parse(fields)
    assert command.wish == Wish("01a0", "anna", 30.0)
    assert not command.force
    assert NormalCommand.parse({"event": "a", "forever": True}).wish.days is None
    assert NormalCommand.parse({"event": "a"}).wish.days == 90.0


def test_the_monitor_of_an_undo_is_found():
    confirmed = {"pump": ["01aa", "01bb"], "fan": ["01cc"]}
    assert owner_of(confirmed, "cc") == "fan"
    for text, says in (("01", "several monitors"), ("dd", "no monitor"), (" ", "no monitor")):
        with pytest.raises(UsageError, match=says):
            owner_of(confirmed, text)
