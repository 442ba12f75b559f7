"""A board without a daemon around the ledger: its time passes, its clock is set, it is killed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_asd.books.ledger import Account, Ledger
from edge_asd.books.ledger_file import ANY_RUN, FILE_NAME, SCHEMA
from edge_asd.books.ledger_view import passages, summarise
from edge_asd.database import Database
from edge_asd.steady import SteadyClock

WALL_S = 1_790_000_000
WINDOW_S = 4.0


class Board:
    """See the module.

    Args:
        folder: The state directory.
        wall_s: What its clock shows at first.
    """

    def __init__(self, folder, wall_s=WALL_S):
        self.folder = folder
        self.counter_s = 50.0
        self.ahead_s = wall_s - self.counter_s  # of the boot-time counter
        self.clock = None
        self.ledger = None

    @property
    def wall_s(self):
        return self.counter_s + self.ahead_s

    def start(self, *monitors, settle_s=12.0, **bounds):
        """Start a daemon and its first round."""
        self.clock = SteadyClock(lambda: self.wall_s, lambda: self.counter_s)
        self.ledger = Ledger(self.folder, self.clock, **bounds)
        for monitor in monitors or ("pump-1",):
            self.ledger.open(monitor, settle_s)
        self.look()
        return self.ledger

    def kill(self):
        """What is in memory is gone; what was committed is on the disk."""
        if self.ledger._database is not None:
            self.ledger._database.close()
        self.ledger = None

    def look(self):
        self.clock.look()
        self.ledger.look()

    def run(self, seconds, account=Account.IDLE, *, scored=False, monitor="pump-1", step_s=1.0):
        """Spend time as the worker does, with a window at the end of every step if it is scored."""
        until_s = self.counter_s + seconds
        while self.counter_s < until_s:
            self.counter_s = min(until_s, self.counter_s + step_s)
            now_s = self.clock.now()
            self.ledger.spend(monitor, now_s, account)
            if scored:
                self.ledger.scored(monitor, now_s - WINDOW_S, now_s)
            self.look()

    def read(self, monitor="pump-1", begin_s=-(2**50), end_s=2**50):
        """What another process sees in the file."""
        database = Database(self.folder / FILE_NAME, SCHEMA, read_only=True)
        every = database.read(lambda c: list(passages(c, monitor, begin_s, end_s, ANY_RUN)))
        database.close()
        return every

    def summary(self, monitor="pump-1"):
        return summarise(self.read(monitor))


def seconds(sums):
    """Without the accounts that have none."""
    return {account: number for account, number in sums.items() if number}


@contextmanager
def quick_folder():
    """A folder in memory, if there is such a place: these tests write a lot."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)
