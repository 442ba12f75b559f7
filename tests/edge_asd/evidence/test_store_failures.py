"""Every step of a write may fail: nothing is left behind, it is said why, and it goes on."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest
from support.evidence import (
    PIECE_BYTES,
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

from edge_asd.errors import StorageError
from edge_asd.evidence import folders
from edge_asd.evidence.limits import EvidenceError
from edge_asd.evidence.records import Refusal

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
            error = refused(store, record(1))
        if error is None:
            break
        assert os.strerror(code) in str(error)
        assert error.refusal is Refusal.DISK
        assert tree(store.root) == before
        assert store.measure().used_bytes == PIECE_BYTES
        assert store.measure().refused == {Refusal.DISK: at}
        assert os.strerror(code) in store._stock.index.absence(event_id(1)).text
    assert failing.calls < failing.at, "it was never written without a failure"
    assert at > 15
    assert kept_numbers(store) == [0, 1]
    assert store._stock.index.absence(event_id(1)) is None
    store.close()


def refused(store, alert):
    """Why the evidence of an alert was not kept; None where it was."""
    try:
        store.write(alert, files(1))
    except EvidenceError as error:
        return error
    return None


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
    database = store._stock.index._database
    real = database._connection
    failed = set()
    for at in range(1, 200):
        failing = FailingIndex(real, at)
        database._connection = failing
        error = refused(store, record(4 + at, score=float("nan")))
        database._connection = real
        if error is not None:
            failed.add(at)
            assert "disk is full: free space" in str(error)
            assert event_id(4 + at) not in " ".join(tree(store.root))
        assert store.measure().used_bytes == disk_usage(store) <= 4 * PIECE_BYTES
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
    assert store.measure().refused == {Refusal.DISK: 1}
    assert "evidence cannot be used" in store.measure().failure
    store.look()  # does not raise
    blocked.unlink()
    store.write(record(), files())
    assert store.measure().failure == ""
    assert kept_numbers(store) == [0]
    store.close()


def test_a_refusal_is_no_longer_a_failure_once_there_is_room(tmp_path):
    free = 0
    store = opened(tmp_path, floor=PIECE_BYTES, free=lambda _: free)
    with pytest.raises(StorageError, match="free space on its file system"):
        store.write(record(), files())
    store.prune()
    assert "are to stay free" in store.measure().failure
    free = 10 * PIECE_BYTES
    store.prune()
    assert store.measure().failure == ""
    store.close()
