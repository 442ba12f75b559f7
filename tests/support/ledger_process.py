"""Keeps a ledger and dies at a given point; one child after another, each in a folder of its own.

Usage: ledger_process.py FOLDER MODE POINT...

The child of a point works on FOLDER/POINT and notes in FOLDER/POINT.log what it spends, before it
does, and when a round is over. MODE says what a point is: ``statement`` and ``opcode`` count what
SQLite is asked to do and does, ``bytes`` is the size at which a file cannot grow any more, and
``microseconds`` a time.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import sys
from pathlib import Path

from edge_asd.books.ledger import Account
from support.ledger_board import WALL_S, Board

SETTLE_S = 6.0
STARTED_S = 1000
ROUNDS = 14
CYCLE = (Account.IDLE, Account.GAPPED, Account.GAPPED, Account.MICROPHONE_FAULT)


class Fuse:
    """Ends the process when it has been asked so many times."""

    def __init__(self, left):
        self.left = left

    def __call__(self):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(mode, point):
    """Prepare the end."""
    if mode == "bytes":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (point, point))
    elif mode == "microseconds":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, point / 1e6)
    else:
        arm_sqlite(mode, Fuse(point))


def arm_sqlite(mode, fuse):
    """Let every statement, or every step of one, burn the fuse down."""

    class Connection(sqlite3.Connection):
        def execute(self, *arguments):
            if mode == "statement":
                fuse()
            return super().execute(*arguments)

        def executemany(self, *arguments):
            if mode == "statement":
                fuse()
            return super().executemany(*arguments)

    def connect(*arguments, **options):
        connection = real(*arguments, factory=Connection, **options)
        if mode == "opcode":
            connection.set_progress_handler(fuse, 1)
        return connection

    real, sqlite3.connect = sqlite3.connect, connect


def keep(folder, log, rounds):
    """What a daemon does, fast forward."""
    board = Board(folder, WALL_S + STARTED_S)
    board.start("pump-1", "fan-1", settle_s=SETTLE_S)
    for number in range(rounds):
        now_s = board.clock.now() + 4.0
        account, scored = CYCLE[number % len(CYCLE)], number % 3 == 0
        os.write(log, f"spend {now_s:.0f} {account.value} {int(scored)}\n".encode())
        for monitor in ("fan-1", "pump-1"):
            board.counter_s = now_s - board.ahead_s
            board.ledger.spend(monitor, now_s, account)
            if scored:
                board.ledger.scored(monitor, now_s - 5.0, now_s)
        board.look()
        os.write(log, b"looked\n")


def main(folder, mode, points):
    for point in points:
        log = os.open(folder / f"{point}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        child = os.fork()
        if not child:
            arm(mode, point)
            keep(folder / str(point), log, 10**6 if mode == "microseconds" else ROUNDS)
            os._exit(0)
        os.close(log)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{point} {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(text) for text in sys.argv[3:]])
