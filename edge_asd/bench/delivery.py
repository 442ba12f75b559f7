"""From the last sample to the broker's PUBACK, with a real daemon and a real broker."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

from edge_asd.bench.accounting import usage_of
from edge_asd.bench.cost import cost_of
from edge_asd.bench.result import DaemonCost, Delivery, Quantiles
from edge_asd.bench.running import ReceiptLog, RunningDaemon
from edge_asd.bench.site import Setting, Site, Wanted
from edge_asd.enrolment.enrol import Progress
from edge_asd.errors import EngineError

_FIRST_S = 60.0
"""Beyond a window: for the first event to arrive, on a slow board."""
_POLL_S = 0.2


def measure_delivery(
    folder: Path,
    setting: Setting,
    wanted: Wanted,
    progress: Progress,
    *,
    cores: Collection[int] | None = None,
) -> tuple[Delivery, DaemonCost]:
    """Run a daemon whose open alerts send an event with every window.

    Args:
        folder: Not there yet.
        setting: Of all daemons.
        wanted: Of this one; it has a broker, and monitors that are alerting.
        progress: Told how far it is.
        cores: The whole daemon keeps to these; None for any.

    Returns:
        How long events took, and what the daemon cost meanwhile.

    Raises:
        EdgeAsdError: It does not start, or no event arrives.
    """
    site = Site(folder, setting, wanted)
    subject = setting.subject
    with RunningDaemon(site, verbose=True, cores=cores) as daemon:
        receipts = ReceiptLog(site.log)
        progress(0.0, "waiting for the first window")
        _wait_for_all(daemon, receipts, wanted.alerting, subject.window_s + _FIRST_S)
        before, heard = usage_of(daemon.pid), []
        begun_s = time.monotonic()
        while (passed_s := time.monotonic() - begun_s) < wanted.seconds:
            progress(passed_s / wanted.seconds, "events to the broker")
            daemon.check()
            time.sleep(_POLL_S)
            heard += [seconds for _, seconds in receipts.take()]
        cost = cost_of(before, usage_of(daemon.pid), [daemon.start_s], alerting=True)
    if not heard:
        raise EngineError(f"no event arrived within {wanted.seconds:.0f} s of listening")
    delivery = Delivery(
        wanted.monitors,
        wanted.alerting,
        None,
        Quantiles.of_seconds(heard),
        tuple(1e3 * seconds for seconds in heard),
        cost.cpu_share,
    )
    return delivery, cost


def _wait_for_all(
    daemon: RunningDaemon, receipts: ReceiptLog, alerting: int, patience_s: float
) -> None:
    """Until every alert was told once."""
    told: set[str] = set()
    until_s = time.monotonic() + patience_s
    while len(told) < alerting:
        daemon.check()
        if time.monotonic() > until_s:
            raise EngineError(
                f"{alerting - len(told)} of {alerting} monitors sent no event within "
                f"{patience_s:.0f} s: is there sound, and can the daemon keep up?"
            )
        time.sleep(_POLL_S)
        told |= {name for name, _ in receipts.take()}
