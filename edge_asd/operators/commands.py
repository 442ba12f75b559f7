"""What operators may ask of the daemon: the same over the control socket and over MQTT.

``enabled``
    ``on: false`` switches a monitor off until it is switched on again, over restarts.
``inhibit``
    Maintenance: for ``minutes``, or with ``on: true`` until ``on: false``. As when it is off,
    nothing is scored or learned, and an alert that is open ends with the reason, so that nobody
    waits for it. What was wrong before is found again afterwards, as an alert of its own: listening
    begins anew with audio from after the maintenance, once the machine has settled.
``snooze``
    For ``minutes``; ``on: false`` ends it. Scoring and evidence go on, and alerts are recorded, but
    none is raised: ``alarm`` stays ``OFF``. An alert that is still high when the snooze ends is
    raised then; one that has ended by then stays in the history only. An open alert is silenced,
    too, and whoever knows of it is told until when; it is told of to its end.
``ack``
    Somebody has taken note of the open alert. The first one counts; asking again changes nothing.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from edge_asd.errors import UsageError
from edge_asd.monitor.monitor import Monitor
from edge_asd.operators.answers import alert_answer
from edge_asd.operators.audit import name_of
from edge_asd.operators.control import Reply
from edge_asd.operators.orders import CHANGES, Change, Order, Request, switches_answer
from edge_asd.operators.switches import Switchboard
from edge_asd.report.report import Reporter
from edge_asd.worker.worker import Worker

Result = Future[dict[str, Any]]


class Commands:
    """Teaches the worker the verbs of the module; used by the worker's thread only.

    Args:
        worker: Carries them out.
        switchboard: Remembers what is switched.
        report: The sinks, and what time it is.
    """

    def __init__(self, worker: Worker, switchboard: Switchboard, report: Reporter) -> None:
        self._worker, self._switchboard, self._report = worker, switchboard, report
        for verb, change in CHANGES.items():
            self._learn(verb, change)
        worker.learn_verb("ack", self._ack)
        worker.each_look.append(self.look)

    def look(self) -> None:
        """End what ends by itself; most calls do nothing."""
        self._switchboard.look()
        for monitor in self._worker.monitors:
            switches = self._switchboard.of(monitor.name)
            if switches != monitor.switches:
                monitor.switch(switches)

    def _learn(self, verb: str, change: Change) -> None:
        def carry_out(request: Request, _progress: Reply, result: Result) -> None:
            result.set_result(self._switch(Order.parse(verb, request), change))

        self._worker.learn_verb(verb, carry_out)

    def _switch(self, order: Order, change: Change) -> dict[str, Any]:
        """Carry out an order, first on disk.

        Raises:
            UsageError: There is no such monitor, or that switch has no such position.
            StorageError: It was not stored; nothing is changed.
        """
        monitor, clock = self._worker.monitor(order.monitor), self._report.clock
        switches = change(self._switchboard.of(monitor.name), order, order.span(clock.now()))
        self._switchboard.set(monitor.name, switches)
        monitor.switch(switches)
        return {"monitor": monitor.name, **switches_answer(switches, clock)}

    def _ack(self, request: Request, _progress: Reply, result: Result) -> None:
        monitor = self._acknowledged(request)
        event = monitor.acknowledge(name_of(request.get("by")))
        if event is None:
            raise UsageError(f"{monitor.name}: no alert is open")
        result.set_result(alert_answer(monitor.name, event, self._report.clock))

    def _acknowledged(self, request: Request) -> Monitor:
        """The monitor whose alert is meant: by its name, by the alert's id, or the only one.

        Raises:
            UsageError: There is none, or more than one.
        """
        name, event_id = request.get("monitor"), request.get("event")
        for value, key in ((name, "monitor"), (event_id, "event")):
            if value is not None and not isinstance(value, str):
                raise UsageError(f"ack: {key!r} must be text")
        if name is not None:
            monitor = self._worker.monitor(name)
            if event_id and (monitor.alert is None or not _fits(monitor.alert.id, event_id)):
                raise UsageError(f"{name}: alert {event_id!r:.60} is not open")
            return monitor
        alerting = [m for m in self._worker.monitors if m.alert and not m.alert.held]
        if event_id:
            alerting = [m for m in alerting if m.alert and _fits(m.alert.id, event_id)]
            if not alerting:
                raise UsageError(f"alert {event_id!r:.60} is not open")
        if not alerting:
            raise UsageError("no alert is open")
        if len(alerting) > 1:
            names = ", ".join(monitor.name for monitor in alerting)
            raise UsageError(f"more than one alert is open; name one of: {names}")
        return alerting[0]


def _fits(full: str, given: str) -> bool:
    wanted = given.strip().lower()
    return bool(wanted) and (full.startswith(wanted) or full.endswith(wanted))
