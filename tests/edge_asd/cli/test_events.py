"""``edge-asd events``: the list, one alert, its evidence, copies and pins of it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import time
import zipfile

import pytest
from publish_samples import message, notice_message
from support.evidence import event_id, files, record
from support.processes import COMMAND, assert_refused, environment, lines

from edge_asd.evidence.records import Refusal
from edge_asd.evidence.store import EvidenceStore
from edge_asd.publish.messages import EvidenceRef
from edge_asd.publish.store import EventStore

FIRST, SECOND, THIRD = (event_id(number) for number in range(3))
DETAILS = {
    "schema": 1,
    "summary": ["2.1 to 3.4 kHz: 11 dB louder", "overall: 4.0 dB louder"],
    "score": {"nearest": {"scorer": "embedding", "reference": "7"}},
}


def store_of(state):
    return EvidenceStore(state, free_floor_bytes=0)


@pytest.fixture
def state(tmp_path):
    """Two alerts with evidence, one without, and a microphone fault."""
    folder = tmp_path / "state"
    folder.mkdir()
    events = EventStore(folder)
    now_s = time.time()

    def alert(kind, number, **changes):
        began = now_s - 86400.0 * (10 - 4 * number)
        changes = {"started_at": began, "updated_at": began + changes["duration_s"]} | changes
        events.record(message(kind, id=event_id(number), **changes), monitor="pump-1", topic=None)

    alert("new", 0, duration_s=14.0, score=5.25)
    clip = EvidenceRef(clip="clip.flac", sha256="cd" * 32, bytes=12)
    alert("update", 0, duration_s=74.0, score=9.5, reason="louder", evidence=clip)
    ended = {
        "evidence": clip,
        "ended_at": now_s - 10 * 86400.0 + 192.0,
        "reason": "score back to normal",
    }
    alert("end", 0, duration_s=192.0, score=1.0, **ended)
    alert("new", 1, duration_s=14.0, coverage=0.875)
    alert("new", 2, duration_s=14.0)
    events.record_notice(notice_message(), monitor="pump-1", topic=None)
    events.close()
    store = store_of(folder)
    for number in (0, 1):
        details = {"details.json": json.dumps(DETAILS).encode(), "spectrogram.png": b"\x89PNG"}
        store.write(
            record(number, created_at=now_s), {"clip.flac": files(number)["clip.flac"], **details}
        )
    store.refuse(THIRD, Refusal.DISK, "the disk was full")
    store.close()
    return folder


@pytest.fixture
def events(shell, state):
    return lambda *arguments: shell("events", *arguments, "--state-dir", state)


def kept(state, which):
    return next(path for path in (state / "evidence").glob("*/*/*") if path.name.endswith(which))


# The list ----------------------------------------------------------------------------------------


def test_the_list_says_which_alerts_have_evidence(events):
    assert events("pin", FIRST).returncode == 0
    rows = events().stdout.splitlines()
    assert [row.split()[2] for row in rows[:3]] == ["new", "update", "end"]
    marks = {(row.split()[-2], row.split()[-1]) for row in rows if row.split()[-1] == SECOND}
    assert marks == {("evidence", SECOND)}
    assert all("pinned" in row for row in rows if FIRST in row)
    assert all(f" -         {THIRD}" in row for row in rows if THIRD in row)
    assert "unheard digital_zero" in rows[-1]
    assert "look at the plug" in rows[-1]


def test_the_list_for_scripts_has_every_step_as_it_was_published(events):
    listed = lines(events("--json"))
    assert [step["type"] for step in listed] == ["new", "update", "end", "new", "new", "new"]
    assert listed[-1]["fault"] == "digital_zero"
    assert lines(events("--json", "--days", "1", "--limit", "1")) == []


def test_options_of_the_list_before_another_command_are_refused(events):
    result = events("--days", "7", "show", "last")
    assert_refused(result, 2, "--days", "show")


def test_the_list_is_shown_even_if_the_evidence_cannot_be_read(events, state):
    for path in (state / "evidence").glob("index.db*"):
        path.unlink()
    kept(state, FIRST).parents[1].rename(state / "elsewhere")
    (state / "evidence").rmdir()
    (state / "evidence").write_text("no folder")
    result = events()
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 6
    assert "evidence is not shown" in result.stderr


# One alert ---------------------------------------------------------------------------------------


def test_show_tells_the_whole_story_of_an_alert(events, state):
    text = events("show", FIRST).stdout
    for words in (
        "alarm of pump-1 on press-hall-3",
        FIRST,
        "lasted       3 min 12 s",
        "score back to normal",
        "score        at most 9.50, threshold 4.00",
        "above 99.9 % of the normal sound",
        "12 scored, 1 lost, 0 dropped",
        "-31.0 dBFS",
        "small 1.0.0, onnxruntime",
        "2.1 to 3.4 kHz: 11 dB louder",
        "most like reference 7 of embedding",
        str(kept(state, FIRST) / "clip.flac"),
        str(kept(state, FIRST) / "spectrogram.png"),
    ):
        assert words in text, text
    steps = text[text.index("\nsteps") :].splitlines()[2:5]
    assert [step.split()[1] for step in steps] == ["new", "update", "end"]
    assert ["evidence kept" in step for step in steps] == [False, True, False]


def test_show_for_scripts_has_steps_evidence_and_details(events, state):
    (shown,) = lines(events("show", SECOND, "--json"))
    assert shown["steps"][0]["coverage"] == 0.875
    assert shown["evidence"]["details"] == DETAILS
    clip = shown["evidence"]["files"]["clip.flac"]
    data = (kept(state, SECOND) / "clip.flac").read_bytes()
    assert (clip["bytes"], clip["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert clip["path"] == str(kept(state, SECOND) / "clip.flac")
    assert lines(events("--json", "show", SECOND)) == [shown]


@pytest.mark.parametrize("part", [SECOND[:23], SECOND[-9:], SECOND.upper(), f" {SECOND} "])
def test_a_part_of_an_id_is_enough(events, part):
    assert lines(events("show", part, "--json"))[0]["id"] == SECOND


def test_last_is_the_newest_alert_and_no_microphone_fault(events):
    assert lines(events("show", "last", "--json"))[0]["id"] == THIRD


def test_a_part_of_several_ids_is_refused_with_those_it_fits(events):
    assert_refused(events("show", "01a0c"), 2, "fits 3 events", FIRST, SECOND, THIRD)


def test_an_id_that_is_mistyped_is_refused_with_those_it_is_like(events):
    mistyped = SECOND[:-2] + "zz"
    assert_refused(events("show", mistyped), 2, mistyped, "did you mean", SECOND)


def test_an_id_that_is_nothing_like_any_is_refused_with_the_newest(events):
    assert_refused(events("show", "ffff"), 2, "ffff", "the newest", THIRD)
    assert_refused(events("show", ""), 2, "the newest")


def test_where_nothing_was_recorded_it_is_said(shell, tmp_path):
    assert_refused(shell("events", "show", "ab", "--state-dir", tmp_path), 2, "nothing has been")
    assert_refused(shell("events", "show", "last", "--state-dir", tmp_path), 2, "no alert yet")


def test_an_alert_without_evidence_says_why(events):
    assert "evidence     the disk was full" in events("show", THIRD).stdout
    (shown,) = lines(events("show", THIRD, "--json"))
    assert (shown["evidence"], shown["evidence_missing"]) == (None, "the disk was full")


def test_evidence_that_retention_deleted_is_told_of_as_that(events, state):
    store = EvidenceStore(state, free_floor_bytes=0, quota_bytes=4096)
    assert store.prune() == 2
    store.close()
    assert "deleted to keep all evidence within 0.0 MB" in events("show", FIRST).stdout


def test_an_alert_that_was_just_raised_asks_for_patience(events, state):
    log = EventStore(state)
    now_s = time.time()
    young = message("new", id=event_id(7), started_at=now_s - 14.0, updated_at=now_s)
    log.record(young, monitor="pump-1", topic=None)
    log.close()
    assert "look again in half a minute" in events("show", "last").stdout


def test_a_microphone_fault_is_shown_without_evidence(events):
    text = events("show", "0198b2a0-0000-7000-8000-000000000002").stdout
    assert "pump-1 on press-hall-3 cannot be heard: digital_zero" in text
    assert "only zeros: look at the plug" in text
    assert "evidence     a fault of the microphone has none" in text


def test_evidence_outlives_the_database_of_alerts(events, state):
    for path in state.glob("events.db*"):
        path.unlink()
    text = events("show", FIRST).stdout
    assert "alarm of pump-1" in text
    assert "none are recorded any more" in text
    assert "clip.flac" in text


def test_details_that_cannot_be_parsed_do_not_hide_the_rest(events, state):
    (kept(state, FIRST) / "details.json").write_bytes(b"\xff not JSON")
    (kept(state, FIRST) / "spectrogram.png").unlink()
    text = events("show", FIRST).stdout
    assert "clip.flac" in text
    assert "(somebody removed it)" in text
    assert lines(events("show", FIRST, "--json"))[0]["evidence"]["details"] is None


# Pins --------------------------------------------------------------------------------------------


def test_a_pin_holds_against_a_running_store_until_it_is_taken_off(events, state):
    running = EvidenceStore(state, free_floor_bytes=0, quota_bytes=4096)
    running.open()
    result = events("pin", FIRST[:18])
    assert result.returncode == 0
    assert f"pinned {FIRST} of pump-1" in result.stdout
    assert "1 pinned, 0.0 MB of the quota" in result.stdout
    assert running.prune() == 1
    assert [one.record.event_id for one in running.kept()] == [FIRST]
    assert "it goes when its time has come" in events("unpin", FIRST).stdout
    assert running.prune() == 1
    assert running.kept() == []
    running.close()


def test_pinning_twice_is_the_same_as_once(events, state):
    assert events("pin", FIRST).returncode == 0
    assert events("pin", FIRST).returncode == 0
    assert (kept(state, FIRST) / "pinned").exists()
    assert events("unpin", FIRST).returncode == 0
    assert events("unpin", FIRST).returncode == 0
    assert not (kept(state, FIRST) / "pinned").exists()


def test_nothing_is_pinned_if_one_of_the_ids_is_wrong(events, state):
    assert_refused(events("pin", FIRST, THIRD), 65, THIRD, "no evidence", "the disk was full")
    assert not (kept(state, FIRST) / "pinned").exists()


# Copies ------------------------------------------------------------------------------------------


def copied(path):
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def test_export_copies_everything_of_an_alert(events, state, tmp_path):
    target = tmp_path / "new" / "folder"
    result = events("export", FIRST, THIRD, "--to", target)
    assert result.returncode == 0, result.stderr
    assert "2 events, 1 of them with evidence" in result.stdout
    copies = copied(target)
    folder = next(name.split("/")[0] for name in copies if FIRST in name)
    assert folder.endswith(f"Z_pump-1_{FIRST}")
    for path in kept(state, FIRST).iterdir():
        assert copies.pop(f"{folder}/{path.name}") == path.read_bytes()
    steps = [json.loads(line) for line in copies.pop(f"{folder}/steps.jsonl").splitlines()]
    assert [step["type"] for step in steps] == ["new", "update", "end"]
    assert [name.split("_")[-1] for name in copies] == [f"{THIRD}/steps.jsonl"]


def test_export_of_days_into_one_file(events, state, tmp_path):
    target = tmp_path / "week.ZIP"
    result = events("export", "--days", "7", "--monitor", "pump-1", "--to", target, "--json")
    assert result.returncode == 0, result.stderr
    (said,) = lines(result)
    assert said["events"] == 2  # the first is ten days old
    assert said["with_evidence"] == 1
    assert said["damaged"] == []
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        clip = next(name for name in names if SECOND in name and name.endswith("clip.flac"))
        assert archive.read(clip) == (kept(state, SECOND) / "clip.flac").read_bytes()
        assert sum(info.file_size for info in archive.infolist()) == said["bytes"]
    assert len(names) == len(set(names))


def test_export_without_a_place_makes_a_file_here(events, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert events("export", "last").returncode == 0
    assert len(list(tmp_path.glob("edge-asd-events-*Z.zip"))) == 1


@pytest.mark.parametrize("name", ["there.zip", "there"])
def test_export_overwrites_nothing(events, tmp_path, name):
    target = tmp_path / name
    assert events("export", FIRST, "--to", target).returncode == 0
    before = copied(tmp_path)
    result = events("export", SECOND, FIRST, "--to", target)
    assert_refused(result, 69, "exists already")
    assert copied(tmp_path) == before


def test_export_into_a_folder_that_is_there_leaves_what_is_in_it(events, tmp_path):
    target = tmp_path / "stick"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    assert events("export", FIRST, "--to", target).returncode == 0
    assert events("export", SECOND, "--to", target).returncode == 0
    assert len(list(target.iterdir())) == 3


@pytest.mark.parametrize("name", ["full.zip", "full"])
def test_an_export_that_fails_leaves_nothing_behind(events, tmp_path, monkeypatch, name):
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > (3 if name == "full" else 0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr("edge_asd.evidence.exporting.os.fsync", full)
    result = events("export", FIRST, SECOND, "--to", tmp_path / name)
    assert_refused(result, 69, "No space left")
    assert not (tmp_path / name).exists()


def test_a_damaged_clip_is_exported_and_said(events, state, tmp_path):
    (kept(state, FIRST) / "clip.flac").write_bytes(b"cut off")
    result = events("export", FIRST, "--to", tmp_path / "out")
    assert result.returncode == 65
    assert "1 files are not as they were written" in result.stderr
    assert f"{FIRST}/clip.flac" in result.stderr
    assert b"cut off" in copied(tmp_path / "out").values()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("either IDs", "--days")),
        ((FIRST, "--days", "7"), ("either IDs", "--days")),
        (("--days", "7", "--monitor", "fan-9"), ("fan-9", "pump-1")),
        (("--days", "week"), ("week",)),
    ],
)
def test_an_export_that_cannot_be_meant_is_refused(events, arguments, words):
    assert_refused(events("export", *arguments), 2, *words)


def test_an_export_of_a_time_without_events_is_refused(shell, tmp_path):
    target = tmp_path / "out.zip"
    result = shell("events", "export", "--days", "1", "--to", target, "--state-dir", tmp_path)
    assert_refused(result, 65, "nothing is exported")
    assert not target.exists()


@pytest.mark.parametrize("name", ["show", "export", "pin", "unpin"])
def test_every_sub_command_has_help_with_an_example(shell, name):
    text = shell("events", name, "--help").stdout
    assert f"\n      edge-asd events {name}" in text
    assert "\\b" not in text


def test_a_reader_that_leaves_early_is_no_error(state):
    command = [*COMMAND, "events", "show", FIRST, "--state-dir", state]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
