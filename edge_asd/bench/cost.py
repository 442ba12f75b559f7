"""What a whole daemon takes: processor time, memory, its start, power."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from edge_asd.bench.accounting import Usage, usage_of
from edge_asd.bench.energy import Meter, PowerLog
from edge_asd.bench.result import DaemonCost
from edge_asd.bench.running import RunningDaemon
from edge_asd.bench.site import Setting, Site, Wanted
from edge_asd.enrolment.enrol import Progress

_POLL_S = 0.2
_SETTLE_S = 2.0
"""What only happens with the first window has happened."""


def cost_of(before: Usage, after: Usage, start_s: Sequence[float], *, alerting: bool) -> DaemonCost:
    """Between two looks at a daemon."""
    return DaemonCost(
        after.share_since(before),
        after.at_s - before.at_s,
        after.pss_mb,
        after.rss_mb,
        tuple(start_s),
        alerting,
    )


def measure_cost(
    folder: Path,
    setting: Setting,
    wanted: Wanted,
    progress: Progress,
    *,
    starts: int = 1,
    meter: Meter | None = None,
) -> tuple[DaemonCost, float | None]:
    """Start a daemon, and look at it while it listens.

    Args:
        folder: Not there yet.
        setting: Of all daemons.
        wanted: Of this one.
        progress: Told how far it is.
        starts: It is started so often; before that once more, which fills all caches.
        meter: Of the board's power.

    Returns:
        What it takes, and the mean power of the board in watts, where it has a meter.

    Raises:
        EdgeAsdError: It does not start, or ends by itself.
    """
    site = Site(folder, setting, wanted)
    start_s = []
    for number in range(starts):
        progress(0.0, f"start {number + 1} of {starts + 1}")
        with RunningDaemon(site) as daemon:
            start_s.append(daemon.start_s)
    with RunningDaemon(site) as daemon:
        start_s.append(daemon.start_s)
        _rest(daemon, setting.subject.window_s + _SETTLE_S, progress, "until the first window")
        before = usage_of(daemon.pid)
        with PowerLog(meter) as power:
            _rest(daemon, wanted.seconds, progress, "listening")
        after = usage_of(daemon.pid)
    return cost_of(before, after, start_s[1:] or start_s, alerting=False), power.watts


def _rest(daemon: RunningDaemon, seconds: float, progress: Progress, what: str) -> None:
    begun_s = time.monotonic()
    while (passed_s := time.monotonic() - begun_s) < seconds:
        progress(passed_s / seconds, what)
        daemon.check()
        time.sleep(min(_POLL_S, seconds - passed_s))
