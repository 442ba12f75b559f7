"""Keeping evidence: what is written, what goes for it, what is found at the next start."""

from __future__ import annotations

import json
import threading

import pytest
from support.evidence import (
    CLIP_BYTES,
    HOUR_S,
    PIECE_BYTES,
    WALL_S,
    Clock,
    disk_usage,
    event_id,
    files,
    fill,
    kept_numbers,
    opened,
    record,
    tree,
    whole,
)

from edge_asd.evidence import folders
from edge_asd.evidence.index import Index, Stage
from edge_asd.evidence.limits import EvidenceError
from edge_asd.evidence.records import Cause, Refusal


@pytest.fixture
def store(tmp_path):
    store = opened(tmp_path)
    yield store
    store.close()


def test_evidence_comes_back_as_it_was_written(store, tmp_path):
    written = store.write(record(3, score=4.5, severity="warning"), files(3))
    (kept,) = store.kept()
    assert kept == written
    assert kept.record == record(3, score=4.5, severity="warning")
    assert kept.folder == tmp_path / "evidence" / folders.folder_of(kept.record)
    assert kept.path("clip.flac").read_bytes() == files(3)["clip.flac"]
    assert whole(kept)
    assert store.find(event_id(3)) == kept
    assert store.find(event_id(4)) is None


def test_the_folders_of_a_monitor_sort_by_the_time_of_the_alert(store):
    fill(store, (2, 0, 3, 1))
    names = sorted(kept.folder.name for kept in store.kept())
    assert [name[17:] for name in names] == [event_id(number) for number in range(4)]
    assert names[0] == f"20260921T141320Z_{event_id(0)}"


def test_the_record_beside_the_files_names_them_for_other_programs(store):
    kept = store.write(record(score=float("nan")), files())
    listed = json.loads(kept.path("record.json").read_bytes())
    assert listed["event_id"] == event_id(0)
    assert listed["started_at"] == "2026-09-21T14:13:20.000Z"
    assert listed["score"] is None
    assert listed["files"]["clip.flac"]["bytes"] == CLIP_BYTES
    assert set(listed["files"]) == {"clip.flac", "event.json"}


def test_the_quota_counts_what_the_disk_gives_out(store):
    kept = store.write(record(), files())
    assert kept.bytes == PIECE_BYTES == disk_usage(store) == store.measure().used_bytes


def test_beyond_the_quota_the_oldest_goes_and_is_remembered_why(store):
    fill(store, range(6), score=float("nan"))
    assert kept_numbers(store) == [2, 3, 4, 5]
    usage = store.measure()
    assert usage.deleted == {Cause.QUOTA: 2}
    assert usage.used_bytes == 4 * PIECE_BYTES == disk_usage(store)
    why = store._stock.index.absence(event_id(0))
    assert "to keep all evidence within" in why.text
    assert store._stock.index.absence(event_id(5)) is None


def test_the_worst_of_a_monitor_outlives_younger_evidence(store):
    store.write(record(0, score=99.0), files())
    fill(store, range(1, 7))
    assert kept_numbers(store) == [0, 4, 5, 6]


def test_pinned_evidence_stays_whatever_comes(store):
    fill(store, range(4))
    assert folders.pin(store.find(event_id(1)).folder)
    fill(store, range(4, 9))
    assert 1 in kept_numbers(store)
    assert [kept.pinned for kept in store.kept()] == [True, False, False, False]
    assert store.measure().pinned == 1
    folders.unpin(store.find(event_id(1)).folder)
    fill(store, range(9, 12))
    assert 1 not in kept_numbers(store)


def test_a_quota_full_of_pinned_evidence_is_said_and_nothing_goes(store):
    fill(store, range(4))
    for kept in store.kept():
        assert folders.pin(kept.folder)
    with pytest.raises(EvidenceError, match=r"pinned.*unpin some.*or raise evidence\.quota_mb"):
        store.write(record(4), files())
    assert kept_numbers(store) == [0, 1, 2, 3]
    usage = store.measure()
    assert usage.refused == {Refusal.QUOTA: 1}
    assert "pinned" in usage.failure
    assert usage.pinned_bytes == usage.used_bytes == 4 * PIECE_BYTES
    folders.unpin(store.kept()[0].folder)
    store.write(record(4), files())
    assert store.measure().failure == ""


def test_evidence_larger_than_the_whole_quota_is_refused_and_costs_nothing(store):
    fill(store, range(4))
    with pytest.raises(EvidenceError, match=r"do not fit into the quota of 0\.1 MB: raise"):
        store.write(record(4), files(size=10 * CLIP_BYTES))
    assert kept_numbers(store) == [0, 1, 2, 3]
    assert event_id(4) not in " ".join(tree(store.root))


def test_an_alert_has_evidence_once(store):
    store.write(record(), files())
    with pytest.raises(EvidenceError, match="already"):
        store.write(record(), files(9))
    (kept,) = store.kept()
    assert kept.path("clip.flac").read_bytes() == files()["clip.flac"]
    assert store.measure().refused == {Refusal.TWICE: 1}


@pytest.mark.parametrize("name", ["../x.flac", "record.json", ".hidden", "", "a/b.txt", "pinned"])
def test_a_name_that_leaves_the_folder_or_is_taken_is_refused(store, name):
    with pytest.raises(ValueError, match="cannot hold a file"):
        store.write(record(), {name: b""})
    assert tree(store.root) == []


@pytest.mark.parametrize(("field", "value"), [("event_id", "../../etc"), ("monitor", "..")])
def test_a_record_that_cannot_be_a_path_is_refused(field, value):
    fields = {name: getattr(record(), name) for name in record().__dataclass_fields__}
    with pytest.raises(ValueError, match=field.split("_")[0]):
        type(record())(**(fields | {field: value}))


def test_the_floor_keeps_the_file_system_from_filling(tmp_path):
    free = 10 * PIECE_BYTES
    store = opened(tmp_path, floor=8 * PIECE_BYTES, free=lambda _: free - disk_usage(store))
    fill(store, range(2))
    assert store.measure().free_bytes == 8 * PIECE_BYTES
    fill(store, range(2, 5))
    assert kept_numbers(store) == [3, 4]
    assert store.measure().deleted == {Cause.FREE_SPACE: 3}
    free = 9 * PIECE_BYTES  # another program takes what was above the floor
    assert store.prune() == 1
    assert kept_numbers(store) == [4]
    free = 7 * PIECE_BYTES
    with pytest.raises(EvidenceError, match="are to stay free"):
        store.write(record(5), files())
    assert kept_numbers(store) == [4]  # the worst, or here the last, is not given up for others
    store.close()


def test_where_deleting_frees_nothing_it_is_not_gone_on_with(tmp_path):
    free = 100 * PIECE_BYTES
    store = opened(tmp_path, floor=8 * PIECE_BYTES, free=lambda _: free, worst_per_monitor=0)
    fill(store, range(4))
    free = 8 * PIECE_BYTES  # and stays, as where snapshots hold what is deleted
    with pytest.raises(EvidenceError, match="are to stay free"):
        store.write(record(4), files())
    assert kept_numbers(store) == [2, 3]  # one for the quota, one in vain
    store.close()


def test_evidence_is_deleted_by_age_and_pinned_evidence_is_not(tmp_path):
    clock = Clock()
    store = opened(tmp_path, clock=clock, keep_s=10 * HOUR_S)
    fill(store, range(3))
    assert folders.pin(store.find(event_id(0)).folder)
    clock.now_s = WALL_S + 11.5 * HOUR_S
    assert store.prune() == 1
    assert kept_numbers(store) == [0, 2]
    assert store.measure().deleted == {Cause.AGE: 1}
    store.close()


def test_evidence_from_before_the_clock_was_set_does_not_look_fifty_years_old(tmp_path):
    clock = Clock(100.0)
    store = opened(tmp_path, clock=clock)
    store.write(record(0, created_at=100.0), files())
    assert store.prune() == 0
    clock.now_s = WALL_S
    assert store.prune() == 0
    clock.now_s += 80 * 86400.0
    store.close()
    store = opened(tmp_path, clock=clock)  # and a restart does not make it young again
    assert store.prune() == 0
    clock.now_s += 11 * 86400.0
    assert store.prune() == 1
    store.close()


def test_an_alert_that_began_in_1970_has_a_place(store):
    began = type(record())(
        **{
            **{name: getattr(record(), name) for name in record().__dataclass_fields__},
            "started_at": -3.5,
            "created_at": 2.0,
        }
    )
    kept = store.write(began, files())
    assert kept.folder.parent.name == "1970-01"
    store.close()
    assert [one.folder for one in store.kept()] == [kept.folder]


def test_look_prunes_now_and_then(tmp_path):
    clock = Clock()
    store = opened(tmp_path, clock=clock, keep_s=HOUR_S)
    store.look()
    fill(store, range(1))
    clock.now_s += 300.0
    store.look()
    assert kept_numbers(store) == [0]
    clock.now_s += 2 * HOUR_S
    store.look()
    assert kept_numbers(store) == []
    store.close()


def test_evidence_that_never_came_to_be_is_counted_and_remembered(store):
    store.refuse(event_id(7), Refusal.LOST, "too many alerts at once")
    assert store.measure().refused == {Refusal.LOST: 1}
    assert store._stock.index.absence(event_id(7)).text == "too many alerts at once"


def test_threads_that_write_at_once_never_exceed_the_quota(tmp_path):
    store = opened(tmp_path, pieces=4)
    over, failed = [], []
    done = threading.Event()

    def write(part):
        for number in range(part, 40, 4):
            try:
                store.write(record(number, score=float(number % 7)), files(number))
            except EvidenceError as error:  # noqa: PERF203
                failed.append(error)

    def watch():
        while not done.is_set():
            usage = store.measure()
            if usage.used_bytes > usage.quota_bytes or usage.failure:
                over.append(usage)

    writers = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    watcher = threading.Thread(target=watch)
    for thread in [watcher, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    assert not over
    # Refused may be what came while the others held all of the quota.
    assert {error.refusal for error in failed} <= {Refusal.QUOTA}
    usage = store.measure()
    assert usage.written + len(failed) == 40
    assert usage.used_bytes == usage.kept * PIECE_BYTES <= usage.quota_bytes
    assert all(map(whole, store.kept()))
    store.close()


def test_a_pin_and_a_deletion_at_once_never_lose_pinned_evidence(tmp_path):
    store = opened(tmp_path, pieces=2, worst_per_monitor=0)
    fill(store, range(2))
    pinned, over = [], threading.Event()

    def pin_all():
        while not over.is_set():
            for kept in store.kept():
                if not kept.pinned and folders.pin(kept.folder):
                    pinned.append(kept)
                    return

    for number in range(2, 60):
        thread = threading.Thread(target=pin_all)
        thread.start()
        try:
            store.write(record(number), files())
        finally:
            over.set()
            thread.join()
            over.clear()
        for kept in pinned:
            assert whole(kept)
            folders.unpin(kept.folder)
        pinned.clear()
    store.close()


def test_what_is_last_known_is_told_while_the_disk_hangs(tmp_path):
    hangs, let_go = threading.Event(), threading.Event()

    def free(_):
        if hangs.is_set():
            let_go.wait(60)
        return 10**9

    store = opened(tmp_path, free=free)
    assert store.usage().used_bytes == 0
    fill(store, range(2))
    hangs.set()
    writer = threading.Thread(target=fill, args=(store, range(2, 3)))
    writer.start()
    usage = store.usage()  # neither waits for the disk nor for who does
    assert (usage.kept, usage.written) == (2, 2)
    store.close()  # and a daemon that ends does not wait for ever
    assert writer.is_alive()
    let_go.set()
    writer.join()
    assert store.usage().kept == 3
    store.close()


def test_space_is_reserved_in_the_index_before_a_byte_is_written(store, monkeypatch):
    real, seen = folders.write_folder, []

    def write_folder(root, folder, contents):
        assert not list(root.glob("*/*/*"))
        index = Index(root, read_only=True)
        seen.extend((entry.stage, entry.folder, entry.kept.bytes) for entry in index.entries())
        index.close()
        real(root, folder, contents)

    monkeypatch.setattr(folders, "write_folder", write_folder)
    store.write(record(), files())
    assert seen == [(Stage.RESERVED, folders.folder_of(record()), PIECE_BYTES)]
    assert [entry.stage for entry in store._stock.index.entries()] == [Stage.KEPT]
