"""Real file systems that are full, read-only or gone: seconds wait, and are written afterwards."""

from __future__ import annotations

import os
import subprocess

import pytest
from support.ledger_board import Board, seconds

from edge_asd.ledger import Account

IDLE, GAPPED = Account.IDLE, Account.GAPPED


def mount(*arguments):
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    if not mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", folder):
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def board(disk):
    return Board(disk)


def fill(folder):
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def flap(board, rounds):
    """Many short stretches, so that the file has to grow."""
    for _ in range(rounds):
        board.run(5, IDLE, step_s=5)
        board.run(5, GAPPED, step_s=5)


@pytest.mark.parametrize("full_at_start", [False, True])
def test_a_full_disk_loses_no_second(disk, board, full_at_start):
    if full_at_start:
        fill(disk)
    ledger = board.start()
    flap(board, 20)
    fill(disk)
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
    assert mount("-o", "remount,ro", disk)
    ledger = board.start()
    flap(board, 20)
    assert ledger.failure
    assert mount("-o", "remount,rw", disk)
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
    fill(disk)
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
