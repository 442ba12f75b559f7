"""Tests of promises in seconds: tried again where they failed on a machine that was kept busy.

A sound server that is not let to a processor loses sound, and nothing that is tested here can help
it. A promise that fails while the processors were free is broken, the first time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from _pytest.runner import runtestprotocol

ATTEMPTS = 3
_PRESSURE = Path("/proc/pressure/cpu")
_BUSY = 0.1
"""Share of the time in which something waited for a processor."""


class _Pressure:
    """How busy the processors have been since it was made."""

    def __init__(self):
        self._began_s, self._waited_s = time.monotonic(), _waited_s()

    @property
    def busy(self):
        """Whether something had to wait for a processor in a good part of the time."""
        if self._waited_s is None:
            return os.getloadavg()[0] > (os.cpu_count() or 1)
        return _waited_s() - self._waited_s > _BUSY * (time.monotonic() - self._began_s)


def _waited_s():
    """Seconds since boot in which something waited for a processor; None if nobody knows."""
    try:
        some = _PRESSURE.read_text().splitlines()[0]
    except OSError:  # an old kernel, or one that does not tell
        return None
    return int(some.rpartition("total=")[2]) / 1e6


def run(item, nextitem):
    """Run a test, with fresh fixtures each time, until it passes, or fails in peace."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports, attempt = _attempt(item, nextitem), 1
    while reports is None:
        attempt += 1
        reports = _attempt(item, nextitem, last=attempt == ATTEMPTS)
    for report in reports:
        if attempt > 1:
            report.sections.append(("attempts on a busy machine", str(attempt)))
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _attempt(item, nextitem, *, last=False):
    """What to report of a test; None where it is worth another attempt."""
    pressure = _Pressure()
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    failed = any(report.failed for report in reports)
    return None if failed and not last and pressure.busy else reports
