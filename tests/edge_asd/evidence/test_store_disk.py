"""Real file systems that are full, read-only or do not let go of a file."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress

import pytest
from support.evidence import (
    PIECE_BYTES,
    event_id,
    files,
    fill,
    kept_numbers,
    opened,
    record,
    tree,
    whole,
)

from edge_asd.evidence.limits import EvidenceError
from edge_asd.evidence.records import Cause, Refusal
from edge_asd.evidence.store import free_bytes

NONE = float("nan")


def mount(folder, *options):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", folder]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB: the index alone may grow to four before it is tidied."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount(folder, "-o", "size=8m")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill_up(folder, leave=0):
    """Write until nothing, or so much, is free."""
    with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
        while free_bytes(folder) > leave:
            file.write(bytes(min(65_536, free_bytes(folder) - leave)))


def write(store, number):
    """Why the evidence was not kept; None where it was."""
    try:
        store.write(record(number), files(number))
    except EvidenceError as error:
        return error
    return None


@pytest.mark.parametrize("leave", range(0, 12 * 4096, 4096))
def test_a_disk_that_fills_during_a_write_leaves_nothing_behind(small_disk, leave):
    # What the file system tells is too much, as where a user may not fill all of it.
    store = opened(small_disk, pieces=20, free=lambda _: 10**9)
    fill(store, range(2))
    before = tree(store.root)
    fill_up(small_disk, leave)
    error = write(store, 2)
    if error is None:
        assert leave >= PIECE_BYTES
    else:
        assert leave < PIECE_BYTES + 4 * 4096
        assert error.refusal is Refusal.DISK
        assert "free space" in str(error)
        assert tree(store.root) == before
        assert kept_numbers(store) == [0, 1]
        assert "free space" in store.measure().failure
    (small_disk / "ballast").unlink()
    store.write(record(3), files(3))
    assert store.measure().failure == ""
    store.close()
    assert kept_numbers(store)[-1] == 3
    assert all(map(whole, store.kept()))
    store.close()


LARGE = 500_000


def test_evidence_leaves_the_floor_free_on_a_small_disk(small_disk):
    store = opened(small_disk, pieces=10_000, floor=3_000_000, worst_per_monitor=3)
    for number in range(20):
        store.write(record(number), files(number, LARGE))
        assert free_bytes(small_disk) >= 3_000_000 - 5 * 4096  # but for the folders and the index
    assert kept_numbers(store)[-1] == 19
    assert store.measure().deleted[Cause.FREE_SPACE] > 5
    fill_up(small_disk)
    assert write(store, 20).refusal is Refusal.FREE_SPACE
    store.close()


def test_on_a_full_disk_pruning_still_makes_room(small_disk):
    store = opened(small_disk, pieces=10_000, floor=1_000_000, worst_per_monitor=2)
    for number in range(6):
        store.write(record(number), files(number, LARGE))
    fill_up(small_disk)
    assert store.prune() > 0
    assert free_bytes(small_disk) >= 1_000_000
    assert len(store.kept()) >= 2
    store.close()


def test_a_read_only_disk_costs_only_the_new_evidence(small_disk):
    store = opened(small_disk)
    fill(store, range(2))
    store.close()
    before = tree(store.root)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        error = write(store, 2)
        assert error.refusal is Refusal.DISK
        assert "its file system is read-only" in str(error)
        store.look()
        assert store.measure().refused == {Refusal.DISK: 1}
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert tree(store.root) == before
    assert write(store, 2) is None
    assert kept_numbers(store) == [0, 1, 2]
    assert store.measure().failure == ""
    store.close()


@pytest.fixture
def immutable():
    """Makes files that cannot be deleted, and lets go of them."""
    made = []

    def make(path):
        if shutil.which("chattr") is None or os.geteuid() != 0:
            pytest.skip("files cannot be made immutable here")
        if subprocess.run(["chattr", "+i", path], check=False, capture_output=True).returncode:
            pytest.skip("files cannot be made immutable on this file system")
        made.append(path)

    yield make
    for path in made:
        subprocess.run(["chattr", "-i", path], check=False)


@pytest.mark.parametrize("name", ["clip.flac", "record.json", ""])
def test_evidence_that_cannot_be_deleted_does_not_stop_the_rest(tmp_path, immutable, name, caplog):
    store = opened(tmp_path, worst_per_monitor=0)
    fill(store, range(4))
    stuck = store.kept()[0].folder / name
    immutable(stuck)
    fill(store, range(4, 8))
    assert kept_numbers(store)[-3:] == [5, 6, 7]
    usage = store.measure()
    assert usage.stuck == 1
    assert usage.used_bytes <= usage.quota_bytes
    assert store.prune() == 0
    store.close()
    assert kept_numbers(store)[-3:] == [5, 6, 7]  # it still counts after a restart
    fill(store, range(8, 9))
    said = [line for line in caplog.messages if "not finished" in line or "be deleted" in line]
    assert len(said) == 2, "once a start"
    subprocess.run(["chattr", "-i", stuck], check=True)
    store.prune()
    fill(store, range(9, 14))
    assert kept_numbers(store) == [10, 11, 12, 13]
    assert store.measure().stuck == 0
    assert event_id(0) not in " ".join(tree(store.root))
    store.close()


def test_a_mount_point_among_the_evidence_does_not_stop_the_rest(tmp_path):
    store = opened(tmp_path, worst_per_monitor=0)
    fill(store, range(4))
    busy = store.kept()[0].path("clip.flac")
    busy.unlink()
    busy.mkdir()
    mount(busy)
    try:
        fill(store, range(4, 8))
        assert kept_numbers(store)[-3:] == [5, 6, 7]
        assert store.measure().used_bytes <= store.measure().quota_bytes
    finally:
        subprocess.run(["umount", "--lazy", busy], check=True)
    store.close()


def test_a_draft_that_cannot_be_removed_counts_until_it_can(tmp_path, immutable):
    store = opened(tmp_path)
    fill(store, range(1))
    store.close()
    kept = store.kept()[0]
    store.close()
    draft = kept.folder.with_name(f".writing-{kept.folder.name.replace(event_id(0), event_id(9))}")
    draft.mkdir()
    (draft / "clip.flac").write_bytes(bytes(10_000))
    immutable(draft / "clip.flac")
    assert store.measure().used_bytes == PIECE_BYTES + 4 * 4096
    assert store.measure().stuck == 1
    subprocess.run(["chattr", "-i", draft / "clip.flac"], check=True)
    store.prune()
    assert store.measure().used_bytes == PIECE_BYTES
    assert not draft.exists()
    store.close()
