"""Tests of promises in seconds: tried again where they failed on a machine that was kept busy.

A sound server that is not let to a processor loses sound, and nothing that is tested here can help
it. A promise that fails while the processors were free is broken, the first time. What passed later
only is named at the end of a run, with what failed before.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from _pytest.runner import runtestprotocol

ATTEMPTS = 3
EARLIER = "an earlier attempt, on a busy machine"
_SHOWN = 2000  # characters of a failure
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
    failures = []
    while True:
        pressure = _Pressure()
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        failed = [report.longreprtext for report in reports if report.failed]
        if not failed or len(failures) + 1 == ATTEMPTS or not pressure.busy:
            break
        failures += failed[:1]
    for report in reports:
        report.sections += [(EARLIER, text) for text in failures]
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def summarise(reporter):
    """Name, at the end of a run, what passed at a later attempt only."""
    late = {
        report.nodeid: [text for title, text in report.sections if title == EARLIER]
        for report in reporter.stats.get("passed", [])
    }
    late = {name: failures for name, failures in late.items() if failures}
    if not late:
        return
    reporter.section("passed at a later attempt only, on a busy machine")
    for name, failures in late.items():
        reporter.line(name)
        for text in failures:
            reporter.line(text[-_SHOWN:])
