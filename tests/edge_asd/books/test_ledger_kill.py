"""Killed at any moment, the ledger is readable, consistent, and short of a few seconds at most."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import ledger_process
from support.ledger_board import WALL_S, Board, quick_folder, seconds

import edge_asd
from edge_asd.books.ledger import Account

TESTS = Path(__file__).parents[2]
MONITORS = ("fan-1", "pump-1")
STARTED_S = WALL_S + ledger_process.STARTED_S


@pytest.fixture
def folder():
    with quick_folder() as path:
        yield path


def killed(folder, mode, points):
    """Exit code at every point; the folder of each begins with what an earlier run left."""
    before = Board(folder / "before")
    before.folder.mkdir(parents=True)
    before.start(*MONITORS)
    for monitor in MONITORS:
        before.run(50, Account.IDLE, monitor=monitor)
    before.kill()
    for point in points:
        shutil.copytree(before.folder, folder / str(point))
    paths = (str(Path(edge_asd.__file__).parents[1]), str(TESTS))
    script = Path(ledger_process.__file__)
    answer = subprocess.run(
        [sys.executable, script, folder, mode, *map(str, points)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {int(line.split()[0]): int(line.split()[1]) for line in answer.stdout.splitlines()}


def check(folder):
    """What was written is what was said, nothing is missing that was due, down time fills it."""
    spent, covered, due_s = {}, set(), STARTED_S
    edge_s = written_s = STARTED_S
    for line in folder.with_name(f"{folder.name}.log").read_text().splitlines():
        if line == "looked":
            # Rounds last four seconds here: this one wrote unless one of the last two did.
            due_s = max(due_s, written_s - ledger_process.SETTLE_S)
            written_s = edge_s - 8
            continue
        _, until, account, scored = line.split()
        until_s = int(until)
        spent.update(dict.fromkeys(range(edge_s, until_s), account))
        if scored == "1":
            covered.update(range(until_s - 5, until_s))
        edge_s = until_s
    board = Board(folder, WALL_S + 100_000)
    for monitor in MONITORS:
        live = [p for p in board.read(monitor) if p.begin_s >= STARTED_S]
        assert [p.begin_s for p in live[1:]] == [p.end_s for p in live[:-1]]
        found = {s: p.account.value for p in live for s in range(p.begin_s, p.end_s)}
        wanted = {s: "scored" if s in covered else a for s, a in spent.items()}
        assert found.items() <= wanted.items()
        assert (live[-1].end_s if live else STARTED_S) >= due_s
        assert not live or live[0].begin_s == STARTED_S
    again = board.start(*MONITORS)
    for monitor in MONITORS:
        board.run(20, Account.STARTING, monitor=monitor)
    assert again.failure == ""
    assert again.moved_aside is None
    again.close()
    for monitor in MONITORS:
        summary = board.summary(monitor)
        assert summary.clock_steps_s == 0
        assert summary.accounted_s == board.read(monitor)[-1].end_s - WALL_S
        scored = summary.seconds[Account.SCORED]
        assert scored <= len(covered)
        assert summary.seconds[Account.DOWN] >= WALL_S + 100_000 - edge_s


def test_a_kill_before_any_statement_is_survived(folder):
    points = range(1, 110)
    codes = killed(folder, "statement", points)
    assert codes[1] == -signal.SIGKILL
    assert codes[109] == 0, "the last points must be beyond the end, or some are not tried"
    last = max(point for point, code in codes.items() if code)
    for point in range(1, last + 1):
        check(folder / str(point))


@pytest.mark.parametrize(
    ("mode", "points", "code"),
    [
        # All steps inside SQLite of the first rounds, and some of those that follow.
        ("opcode", [*range(1, 600, 7), *range(600, 3000, 97)], signal.SIGKILL),
        # The log of SQLite cannot grow beyond this: writes are torn at odd places.
        ("bytes", [*range(33_000, 50_000, 487)], signal.SIGXFSZ),
    ],
)
def test_a_kill_inside_sqlite_is_survived(folder, mode, points, code):
    codes = killed(folder, mode, points)
    died = [point for point in points if codes[point] == -code]
    assert set(codes.values()) <= {0, -code}
    assert len(died) > len(points) / 2
    for point in died:
        check(folder / str(point))


def test_a_kill_at_any_time_is_survived(folder):
    rng = random.Random(4)
    points = [rng.randrange(2_000, 200_000) for _ in range(15)]
    codes = killed(folder, "microseconds", points)
    assert set(codes.values()) == {-signal.SIGALRM}
    for point in points:
        check(folder / str(point))


def test_no_second_is_lost_where_nobody_was_killed(folder):
    assert killed(folder, "statement", [10**6]) == {10**6: 0}
    check(folder / str(10**6))
    found = seconds(Board(folder / str(10**6)).summary().seconds)
    assert found[Account.SCORED] >= 20
