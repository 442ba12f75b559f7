"""Keeping evidence: what is written, what goes for it, what is found at the next start."""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import threading

import pytest
from support.evidence import (
    CLIP_BYTES,
    HOUR_S,
    PIECE_BYTES,
    WALL_S,
    Clock,
    event_id,
    files,
    opened,
    record,
    tree,
    whole,
)

from edge_asd.errors import StorageError
from edge_asd.evidence import folders
from edge_asd.evidence.limits import EvidenceError
from edge_asd.evidence.records import Cause, Refusal


@pytest.fixture
def store(tmp_path):
    store = opened(tmp_path)
    yield store
    store.close()


def ids(store):
    return [kept.record.event_id for kept in store.kept()]


def kept_numbers(store):
    return [round((kept.record.started_at - WALL_S) / HOUR_S) for kept in store.kept()]


def fill(store, numbers=range(4), **fields):
    for number in numbers:
        store.write(record(number, **fields), files(number))


def on_disk(store):
    """Bytes that evidence takes, as ``du`` counts."""
    return sum(
        -(-path.stat().st_size // 4096) * 4096
        for path in store.root.glob("*/*/**/*")
        if path.exists()
    )


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
    assert kept.bytes == PIECE_BYTES == on_disk(store) == store.usage().used_bytes


def test_beyond_the_quota_the_oldest_goes_and_is_remembered_why(store):
    fill(store, range(6), score=float("nan"))
    assert kept_numbers(store) == [2, 3, 4, 5]
    usage = store.usage()
    assert usage.deleted == {Cause.QUOTA: 2}
    assert usage.used_bytes == 4 * PIECE_BYTES == on_disk(store)
    why = store._books.index.absence(event_id(0))
    assert "to keep all evidence within" in why.text
    assert store._books.index.absence(event_id(5)) is None


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
    assert store.usage().pinned == 1
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
    usage = store.usage()
    assert usage.refused == {Refusal.QUOTA: 1}
    assert "pinned" in usage.failure
    assert usage.pinned_bytes == usage.used_bytes == 4 * PIECE_BYTES
    folders.unpin(store.kept()[0].folder)
    store.write(record(4), files())
    assert store.usage().failure == ""


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
    assert store.usage().refused == {Refusal.TWICE: 1}


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
    store = opened(tmp_path, floor=8 * PIECE_BYTES, free=lambda _: free - on_disk(store))
    fill(store, range(2))
    assert store.usage().free_bytes == 8 * PIECE_BYTES
    fill(store, range(2, 5))
    assert kept_numbers(store) == [3, 4]
    assert store.usage().deleted == {Cause.FREE_SPACE: 3}
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
    assert store.usage().deleted == {Cause.AGE: 1}
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


# What a start finds -----------------------------------------------------------------------------


def test_a_lost_index_is_rebuilt_from_the_folders(store):
    fill(store, range(3), score=float("nan"))
    before = store.kept()
    store.close()
    for path in store.root.glob("index.db*"):
        path.unlink()
    assert store.kept() == before
    assert store.usage().used_bytes == 3 * PIECE_BYTES


def test_a_damaged_index_is_moved_aside_and_rebuilt(store, caplog):
    fill(store, range(3))
    before = store.kept()
    store.close()
    (store.root / "index.db").write_bytes(b"SQLite format 3\0" + bytes(8192))
    assert store.kept() == before
    assert [path.name for path in store.root.glob("index.db.corrupt-*")] != []
    assert "damaged" in caplog.text
    assert store.usage().foreign == 0


def test_an_index_that_is_damaged_while_it_is_in_use_is_rebuilt_at_once(tmp_path):
    store = opened(tmp_path)
    fill(store, range(4))
    # The connection has pages in its cache: overwrite what it will have to read again.
    store._books.index._database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._books.index._database._connection.execute("PRAGMA cache_size = 0")
    path = store.root / "index.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    store.write(record(4), files())
    assert len(store.kept()) == 4
    assert store.usage().used_bytes == 4 * PIECE_BYTES == on_disk(store)
    store.close()


def test_what_a_user_removed_by_hand_no_longer_counts(store):
    fill(store, range(4))
    kept = store.find(event_id(2))
    for path in kept.folder.iterdir():
        path.unlink()
    kept.folder.rmdir()
    assert kept_numbers(store) == [0, 1, 3]
    store.write(record(4), files())
    assert kept_numbers(store) == [0, 1, 3, 4]


def test_a_clip_that_a_user_removed_leaves_the_rest_to_retention(store):
    fill(store, range(4), score=float("nan"))
    store.kept()[0].path("clip.flac").unlink()
    store.close()
    assert store.usage().used_bytes == 4 * PIECE_BYTES - 5 * 4096
    fill(store, range(4, 6), score=float("nan"))
    assert kept_numbers(store) == [2, 3, 4, 5]


def test_a_reservation_of_a_dead_process_counts_no_more(store):
    fill(store, range(1))
    store._books.index.reserve(record(1), folders.folder_of(record(1)), 10 * PIECE_BYTES)
    assert store.usage().used_bytes == PIECE_BYTES
    store.close()
    fill(store, range(1, 4))
    assert kept_numbers(store) == [0, 1, 2, 3]


def foreign_things(root):
    """Names and things that nobody expects, some where evidence lies."""
    month = root / "pump-1" / "2026-09"
    month.mkdir(parents=True, exist_ok=True)
    names = [
        b"line\nbreak",
        b"half \xff\xfe a name",
        b"20260921T141320Z_not-an-id",
        f"20260921T141320Z_{event_id(99)} (copy)".encode(),
        "grün".encode(),
    ]
    made = [os.path.join(os.fsencode(folder), name) for folder in (root, month) for name in names]
    for path in made:
        with open(path, "wb") as file:
            file.write(b"theirs")
    odd = month / f"20260921T141320Z_{event_id(98)}"  # named as ours, but nothing says so
    odd.mkdir()
    (odd / "notes.txt").write_bytes(b"theirs")
    unparsable = month / f"20260921T141320Z_{event_id(97)}"
    unparsable.mkdir()
    (unparsable / "record.json").write_bytes(b'{"schema": 1, "half')
    pipe = month / f"20260921T141320Z_{event_id(96)}"
    pipe.mkdir()
    os.mkfifo(pipe / "record.json")
    (root / "link").symlink_to("/")
    (month / "loop").symlink_to(month)
    return [*made, *map(os.fsencode, (odd / "notes.txt", unparsable / "record.json", pipe))]


def test_foreign_things_are_left_alone_and_never_stop_anything(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    made = foreign_things(tmp_path / "evidence")
    store = opened(tmp_path)
    fill(store, range(9), score=float("nan"))
    assert kept_numbers(store) == [5, 6, 7, 8]
    assert store.prune() == 0
    store.close()
    assert kept_numbers(store) == [5, 6, 7, 8]
    assert all(map(os.path.exists, made))
    assert store.usage().foreign == 15
    assert store.usage().used_bytes == 4 * PIECE_BYTES
    said = [line for line in caplog.messages if "foreign" in line]
    assert len(said) == 2  # once a start
    assert all(line.isascii() and "\n" not in line for line in said)
    store.close()


def test_a_note_that_a_user_left_beside_a_clip_outlives_it(store):
    fill(store, range(4), score=float("nan"))
    folder = store.kept()[0].folder
    (folder / "bearing changed.txt").write_text("theirs")
    fill(store, range(4, 5), score=float("nan"))
    assert kept_numbers(store) == [1, 2, 3, 4]
    assert [path.name for path in folder.iterdir()] == ["bearing changed.txt"]
    store.close()
    assert kept_numbers(store) == [1, 2, 3, 4]
    assert store.usage().foreign == 1


def test_a_copied_folder_is_not_taken_for_evidence(store):
    kept = store.write(record(), files())
    copy = kept.folder.parent / kept.folder.name.replace(event_id(0), event_id(1))
    copy.mkdir()
    for path in kept.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    store.close()
    assert ids(store) == [event_id(0)]
    assert store.usage().foreign == 1


def test_a_name_in_the_record_cannot_reach_files_elsewhere(store, tmp_path):
    kept = store.write(record(), files())
    precious = tmp_path / "evidence" / "pump-1" / "precious.txt"
    precious.write_text("theirs")
    listed = json.loads(kept.path("record.json").read_bytes())
    listed["files"]["../../precious.txt"] = {"bytes": 6, "sha256": "0" * 64}
    kept.path("record.json").write_text(json.dumps(listed))
    store.close()
    fill(store, range(1, 9))
    assert precious.read_text() == "theirs"
    assert store.usage().foreign == 2


# What fails -------------------------------------------------------------------------------------

FUNCTIONS = ("mkdir", "open", "write", "fsync", "rename", "close")


class FailingOs:
    """The module ``os`` whose ``at``-th call of what changes a disk fails."""

    def __init__(self, at, code):
        self.at, self.code = at, code
        self.calls = 0

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in FUNCTIONS:
            return real

        def call(*arguments, **options):
            self.calls += 1
            if self.calls == self.at:
                if name == "close":
                    real(*arguments)
                raise OSError(self.code, os.strerror(self.code))
            return real(*arguments, **options)

        return call


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
def test_a_write_that_fails_anywhere_leaves_nothing_behind(tmp_path, monkeypatch, code):
    state = tmp_path / "state"
    store = opened(state, pieces=50)
    fill(store, range(1))
    before = tree(store.root)
    for at in range(1, 100):
        failing = FailingOs(at, code)
        with monkeypatch.context() as patch:
            patch.setattr(folders, "os", failing)
            patch.setattr("edge_asd.files.os", failing)
            try:
                store.write(record(1), files(1))
                break
            except EvidenceError as error:
                assert os.strerror(code) in str(error)
                assert error.refusal is Refusal.DISK
        assert tree(store.root) == before
        assert store.usage().used_bytes == PIECE_BYTES
        assert store.usage().refused == {Refusal.DISK: at}
        assert os.strerror(code) in store._books.index.absence(event_id(1)).text
    assert failing.calls < failing.at, "it was never written without a failure"
    assert at > 15
    assert kept_numbers(store) == [0, 1]
    assert store._books.index.absence(event_id(1)) is None
    store.close()


class FailingIndex:
    """A connection whose ``at``-th statement fails as on a full disk."""

    def __init__(self, connection, at):
        self.connection, self.left = connection, at

    def execute(self, statement, *rest):
        self.left -= 1
        if self.left == 0:
            raise sqlite3.OperationalError("database or disk is full")
        return self.connection.execute(statement, *rest)

    def __getattr__(self, name):
        return getattr(self.connection, name)


def test_an_index_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    store = opened(tmp_path, pieces=4)
    fill(store, range(4), score=float("nan"))
    database = store._books.index._database
    real = database._connection
    failed = set()
    for at in range(1, 200):
        failing = FailingIndex(real, at)
        database._connection = failing
        try:
            store.write(record(4 + at, score=float("nan")), files(1))
        except EvidenceError as error:
            failed.add(at)
            assert "disk is full: free space" in str(error)
            database._connection = real
            assert event_id(4 + at) not in " ".join(tree(store.root))
        database._connection = real
        assert store.usage().used_bytes == on_disk(store) <= 4 * PIECE_BYTES
        assert all(map(whole, store.kept()))
        if failing.left > 0:
            break
    assert failing.left > 0
    assert len(failed) > 5
    assert len(store.kept()) == 4
    store.close()


def test_a_folder_that_cannot_be_used_is_tried_again(tmp_path):
    blocked = tmp_path / "evidence"
    blocked.write_text("a file where the folder should be")
    store = opened(tmp_path)
    with pytest.raises(EvidenceError, match="evidence cannot be used"):
        store.write(record(), files())
    assert store.usage().refused == {Refusal.DISK: 1}
    assert "evidence cannot be used" in store.usage().failure
    store.look()  # does not raise
    blocked.unlink()
    store.write(record(), files())
    assert store.usage().failure == ""
    assert kept_numbers(store) == [0]
    store.close()


def test_a_refusal_is_no_longer_a_failure_once_there_is_room(tmp_path):
    free = 0
    store = opened(tmp_path, floor=PIECE_BYTES, free=lambda _: free)
    with pytest.raises(StorageError, match="free space on its file system"):
        store.write(record(), files())
    store.prune()
    assert "are to stay free" in store.usage().failure
    free = 10 * PIECE_BYTES
    store.prune()
    assert store.usage().failure == ""
    store.close()


def test_evidence_that_never_came_to_be_is_counted_and_remembered(store):
    store.open()
    store.refuse(event_id(7), Refusal.LOST, "too many alerts at once")
    assert store.usage().refused == {Refusal.LOST: 1}
    assert store._books.index.absence(event_id(7)).text == "too many alerts at once"


def test_threads_that_write_at_once_never_exceed_the_quota(tmp_path):
    store = opened(tmp_path, pieces=4)
    over, failed = [], []
    done = threading.Event()

    def write(part):
        for number in range(part, 40, 4):
            try:
                store.write(record(number, score=float(number % 7)), files(number))
            except EvidenceError as error:
                failed.append(error)

    def watch():
        while not done.is_set():
            usage = store.usage()
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
    usage = store.usage()
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
