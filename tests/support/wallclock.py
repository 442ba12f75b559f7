"""A wall clock that the test sets while processes run, as root or a time server would.

libfaketime stands between a process and the system's clock. ``FAKETIME_DONT_FAKE_MONOTONIC`` makes
it leave ``CLOCK_MONOTONIC`` and ``CLOCK_BOOTTIME`` as they are: without it libfaketime 0.9.10 sets
both along with the wall clock, which no kernel does.

That version also moves the end of ``clock_nanosleep`` on the monotonic clock, with which Python
sleeps from 3.11 on: sleeping would fail as soon as the clock was set back. Processes therefore
sleep with ``select``, as Python 3.10 does.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

_SLEEP = """
import select, time
def sleep(seconds): select.select((), (), (), seconds)
time.sleep = sleep
"""


def _library():
    for folder in ("/usr/lib", "/usr/local/lib"):
        yield from sorted(Path(folder).glob("**/faketime/libfaketime.so.1"))


class WallClock:
    """The clock of every process that is started with ``settings``.

    Args:
        folder: Where its file goes; made here.
        by_s: How far it is ahead of the real one.
    """

    def __init__(self, folder, by_s=0.0) -> None:
        library = next(_library(), None)
        if library is None:
            pytest.skip("libfaketime is not installed: apt-get install faketime")
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_SLEEP)  # Python runs it before anything else
        self._file = folder / "offset"
        root = str(Path(__file__).resolve().parents[2])
        self.settings = {
            "PYTHONPATH": os.pathsep.join([str(folder), root]),
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # reading the file for every look at a clock is dear
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # what is written on files is not set again with the clock
        }
        self.set(by_s)

    def set(self, by_s):
        """Set it to the real time and so many seconds more; seen within a second."""
        self.by_s = by_s
        new = self._file.with_suffix(".new")
        new.write_text(f"{by_s:+.0f}")
        new.replace(self._file)

    def set_to(self, wall_s):
        """Set it to a wall time, seconds since 1970 UTC."""
        self.set(round(wall_s - time.time()))

    @property
    def now_s(self):
        """What it shows."""
        return time.time() + self.by_s

    @staticmethod
    def forget(pid):
        """Remove what libfaketime leaves of a process that was killed: its number comes again."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            with suppress(FileNotFoundError):
                Path("/dev/shm", name).unlink()
