"""Real file systems that are full, read-only or gone: seconds wait, and are written afterwards."""

from __future__ import annotations

import pytest
from support.disks import fill, remount, small_disk
from support.ledger_board import Board, seconds

from edge_asd.books.ledger import Account

IDLE, GAPPED = Account.IDLE, Account.GAPPED


@pytest.fixture
def disk(tmp_path):
    """A file system of 1 MB."""
    with small_disk(tmp_path / "small", "1m") as folder:
        yield folder


@pytest.fixture
def board(disk):
    return Board(disk)


def flap(board, rounds):
    """Many short stretches, so that the file has to grow."""
    for _ in range(rounds):
        board.run(5, IDLE, step_s=5)
        board.run(5, GAPPED, step_s=5)


@pytest.mark.parametrize("full_at_start", [False, True])
def test_a_full_disk_loses_no_second(disk, board, full_at_start):
    if full_at_start:
        fill(disk / "ballast")
    ledger = board.start()
    flap(board, 20)
    fill(disk / "ballast")
    flap(board, 1500)
    assert "free space" in ledger.failure
    (disk / "ballast").unlink()
    flap(board, 5)
    assert ledger.failure == ""
    ledger.close()
    found = board.summary()
    assert seconds(found.seconds) == {IDLE: 1525 * 5, GAPPED: 1525 * 5}
    assert found.clock_steps_s == 0


def test_a_disk_that_is_read_only_at_the_start_loses_no_second(disk, board):
    remount(disk, "ro")
    ledger = board.start()
    flap(board, 20)
    assert ledger.failure
    remount(disk, "rw")
    flap(board, 5)
    assert ledger.failure == ""
    ledger.close()
    assert seconds(board.summary().seconds) == {IDLE: 125, GAPPED: 125}


def test_a_file_that_becomes_read_only_loses_no_second(tmp_path):
    board = Board(tmp_path)
    ledger = board.start()
    flap(board, 5)
    ledger._database._connection.execute("PRAGMA query_only = ON")
    flap(board, 20)
    assert "make it writable" in ledger.failure
    ledger._database._connection.execute("PRAGMA query_only = OFF")
    flap(board, 5)
    assert ledger.failure == ""
    ledger.close()
    assert seconds(board.summary().seconds) == {IDLE: 150, GAPPED: 150}


def test_a_kill_while_the_disk_is_full_is_down_time(disk, board):
    ledger = board.start(settle_s=0.0)
    board.run(60, IDLE)
    flap(board, 10)
    fill(disk / "ballast")
    flap(board, 200)
    assert ledger.failure
    board.kill()
    (disk / "ballast").unlink()
    written = sum(p.end_s - p.begin_s for p in board.read())
    board.start()
    board.run(30, GAPPED)
    board.ledger.close()
    found = board.summary()
    assert found.seconds[Account.DOWN] == 60 + 2100 - written
    assert found.accounted_s == 60 + 2100 + 30
    assert found.clock_steps_s == 0
