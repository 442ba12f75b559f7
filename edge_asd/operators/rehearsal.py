"""Rehearsals of the operator's own alerting chain, on the running daemon: see `drills`.

One at a time, over the control socket only. It ends after its seconds, when the daemon stops, or at
once when the real thing happens; what a kill leaves open is ended at the next start.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from edge_asd.clock import uuid7
from edge_asd.errors import BusyError, StorageError, UsageError
from edge_asd.health import HealthBoard
from edge_asd.monitor.monitor import Monitor
from edge_asd.operators.control import Reply
from edge_asd.operators.drills import (
    MARK,
    AlarmDrill,
    BrokerDrill,
    DiskDrill,
    Drill,
    MicrophoneDrill,
)
from edge_asd.operators.orders import Wish
from edge_asd.publish.messages import EventMessage
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.store import FILE_NAME, EventStore
from edge_asd.records import EventType
from edge_asd.report.report import Reporter
from edge_asd.worker.worker import Worker

logger = logging.getLogger(__name__)

Result = Future[dict[str, Any]]


@dataclass(slots=True, eq=False)
class _Going:
    """The rehearsal that is going on."""

    wish: Wish
    drill: Drill
    began_s: float
    result: Result
    progress: Reply
    halved: bool = False


class Rehearsals:
    """See the module; used by the worker's thread only, but for its construction.

    Args:
        worker: Learns the verb ``rehearse``.
        report: The sinks.
        board: The checks.
        store: Knows what a killed daemon left open.
        mqtt: The broker's sink as it is now, None without MQTT.
        rng: Random bits of ids.
    """

    def __init__(
        self,
        worker: Worker,
        report: Reporter,
        board: HealthBoard,
        store: EventStore,
        *,
        mqtt: Callable[[], MqttSink | None],
        rng: random.Random | None = None,
    ) -> None:
        self._worker, self._report, self._board = worker, report, board
        self._mqtt, self._rng = mqtt, rng or random.SystemRandom()
        self._going: _Going | None = None
        self._end_what_was_left(store)
        worker.learn_verb("rehearse", self._begin)
        worker.each_look.append(self.look)
        worker.at_end.append(lambda: self._end("the daemon stops"))

    def look(self) -> None:
        """Go on with it, or end it."""
        going = self._going
        if going is None:
            return
        passed_s = self._report.clock.now() - going.began_s
        if going.drill.real():
            self._end("ended by a real alert or fault")
        elif passed_s >= going.wish.seconds:
            self._end("over")
        elif passed_s >= going.wish.seconds / 2 and not going.halved:
            going.halved = True
            going.drill.half(self._report.clock.now())
            going.progress(0.5, "half of it is over")

    def _begin(self, request: Mapping[str, Any], progress: Reply, result: Result) -> None:
        wish = Wish.parse(request)
        if self._going is not None:
            raise BusyError(f"a rehearsal is going on ({self._going.wish.fault}); wait for its end")
        drill = self._drill(wish)
        if drill.real():
            raise BusyError(
                f"{wish.fault}: this is happening for real just now; rehearse when it is over"
            )
        now_s = self._report.clock.now()
        self._going = _Going(wish, drill, now_s, result, progress)
        self._report.metrics.commands.rehearsal(wish.fault)
        logger.warning("rehearsal=%s by=%r seconds=%g", wish.fault, wish.by, wish.seconds)
        drill.begin(now_s)
        progress(0.0, f"{MARK} {wish.fault}")

    def _drill(self, wish: Wish) -> Drill:
        report, board = self._report, self._board
        if wish.fault == "broker":
            mqtt = self._mqtt()
            if mqtt is None:
                raise UsageError("broker: the configuration names none (mqtt.url)")
            return BrokerDrill(mqtt, board, self._worker.monitors, wish.seconds)
        if wish.fault == "disk":
            return DiskDrill(board, FILE_NAME)
        drill_id = uuid7(report.clock.wall(report.clock.now()), self._rng)
        monitor = self._monitor(wish.monitor)
        if wish.fault == "mic":
            return MicrophoneDrill(monitor, report, board, drill_id)
        return AlarmDrill(monitor, report, drill_id)

    def _monitor(self, name: str | None) -> Monitor:
        monitors = self._worker.monitors
        if name is not None:
            return self._worker.monitor(name)
        if len(monitors) != 1:
            names = ", ".join(monitor.name for monitor in monitors)
            raise UsageError(f"rehearse: name one of the monitors: {names}")
        return monitors[0]

    def _end(self, reason: str) -> None:
        going, self._going = self._going, None
        if going is None:
            return
        going.drill.end(self._report.clock.now(), reason)
        lasted_s = self._report.clock.now() - going.began_s
        logger.warning("rehearsal=%s ended reason=%r", going.wish.fault, reason)
        going.result.set_result(
            {"fault": going.wish.fault, "seconds": round(lasted_s, 3), "ended": reason}
        )

    def _end_what_was_left(self, store: EventStore) -> None:
        """Whoever was told of a rehearsal before a kill is told of its end."""
        try:
            left = store.open_rehearsals()
        except StorageError as error:
            logger.warning("rehearsals of before not ended error=%s", error)
            return
        now_s, reason = self._report.clock.now(), f"{MARK} cut short by a restart of the daemon"
        for message in left:
            if isinstance(message, EventMessage):
                event = replace(message.to_event(), type=EventType.END, reason=reason)
                ended = replace(event, updated_at=now_s, ended_at=now_s)
                self._report.rehearsed_event(message.source, ended)
            else:
                notice = replace(message.to_notice(), type=EventType.END, reason=reason)
                over = replace(notice, updated_at=now_s, ended_at=now_s)
                self._report.rehearsed_notice(message.source, over)
