"""What a start finds: lost and damaged indexes, what users did, what others put there."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.evidence import (
    PIECE_BYTES,
    disk_usage,
    event_id,
    files,
    fill,
    kept_numbers,
    opened,
    record,
)

from edge_asd.evidence import folders


@pytest.fixture
def store(tmp_path):
    store = opened(tmp_path)
    yield store
    store.close()


def test_a_lost_index_is_rebuilt_from_the_folders(store):
    fill(store, range(3), score=float("nan"))
    before = store.kept()
    store.close()
    for path in store.root.glob("index.db*"):
        path.unlink()
    assert store.kept() == before
    assert store.measure().used_bytes == 3 * PIECE_BYTES


@settings(max_examples=20, deadline=None)
@example(0.9997, 4)
@given(st.floats(0.0, 1.0), st.integers(0, 10**6))
def test_evidence_is_recognised_whatever_fraction_of_a_second_it_began_at(fraction, number):
    began = 1_790_000_000.0 + number + fraction
    with tempfile.TemporaryDirectory() as state:
        store = opened(Path(state))
        store.write(replace(record(), started_at=began), files())
        store.close()
        (store.root / "index.db").unlink()
        assert store.measure().foreign == 0
        assert [kept.record.event_id for kept in store.kept()] == [event_id(0)]
        store.close()


def test_a_damaged_index_is_moved_aside_and_rebuilt(store, caplog):
    fill(store, range(3))
    before = store.kept()
    store.close()
    (store.root / "index.db").write_bytes(b"SQLite format 3\0" + bytes(8192))
    assert store.kept() == before
    assert [path.name for path in store.root.glob("index.db.corrupt-*")] != []
    assert "damaged" in caplog.text
    assert store.measure().foreign == 0


def test_an_index_that_is_damaged_while_it_is_in_use_is_rebuilt_at_once(tmp_path):
    store = opened(tmp_path)
    fill(store, range(4))
    # The connection has pages in its cache: overwrite what it will have to read again.
    store._stock.index._database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._stock.index._database._connection.execute("PRAGMA cache_size = 0")
    path = store.root / "index.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    store.write(record(4), files())
    assert len(store.kept()) == 4
    assert store.measure().used_bytes == 4 * PIECE_BYTES == disk_usage(store)
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
    assert store.measure().used_bytes == 4 * PIECE_BYTES - 5 * 4096
    fill(store, range(4, 6), score=float("nan"))
    assert kept_numbers(store) == [2, 3, 4, 5]


def test_a_reservation_of_a_dead_process_counts_no_more(store):
    fill(store, range(1))
    store._stock.index.reserve(record(1), folders.folder_of(record(1)), 10 * PIECE_BYTES)
    assert store.measure().used_bytes == PIECE_BYTES
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
    made = [folder / os.fsdecode(name) for folder in (root, month) for name in names]
    for path in made:
        path.write_bytes(b"theirs")
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
    return [*made, odd / "notes.txt", unparsable / "record.json", pipe]


def test_foreign_things_are_left_alone_and_never_stop_anything(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    made = foreign_things(tmp_path / "evidence")
    store = opened(tmp_path)
    fill(store, range(9), score=float("nan"))
    assert kept_numbers(store) == [5, 6, 7, 8]
    assert store.prune() == 0
    store.close()
    assert kept_numbers(store) == [5, 6, 7, 8]
    assert all(map(Path.exists, made))
    assert store.measure().foreign == 15
    assert store.measure().used_bytes == 4 * PIECE_BYTES
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
    assert store.measure().foreign == 1


def test_a_copied_folder_is_not_taken_for_evidence(store):
    kept = store.write(record(), files())
    copy = kept.folder.parent / kept.folder.name.replace(event_id(0), event_id(1))
    copy.mkdir()
    for path in kept.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    store.close()
    assert kept_numbers(store) == [0]
    assert store.measure().foreign == 1


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
    assert store.measure().foreign == 2
