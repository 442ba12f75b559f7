"""Commands over MQTT: who may ask is the broker's affair, what may be asked the operator's file's.

Only what ``mqtt.commands`` names is subscribed to at all. A message that the broker kept is
refused: it would act again at every connection. More commands than people give are refused as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from edge_asd.config import Config
from edge_asd.errors import EdgeAsdError, UsageError
from edge_asd.operators.audit import Audit
from edge_asd.operators.control import Reply
from edge_asd.publish.asking import request_id_of, request_of_command, request_of_set
from edge_asd.publish.incoming import Incoming
from edge_asd.publish.mqtt import MqttSink
from edge_asd.publish.replies import ReplyMessage
from edge_asd.publish.topics import THINGS, Topics

logger = logging.getLogger(__name__)

BURST = 20
PER_S = 2.0
"""Commands at once, and in the long run."""
MAX_PENDING = 16
"""Commands under way; an enrolment takes minutes."""
_TELL_EVERY_S = 10.0

Submit = Callable[[Mapping[str, Any], Reply], "Future[dict[str, Any]]"]


def settable(config: Config) -> tuple[str, ...]:
    """Switches that the operator allows to be set over MQTT."""
    return tuple(verb for verb in (config.mqtt.commands if config.mqtt else ()) if verb in THINGS)


class Allowance:
    """How many commands may come: ``BURST`` at once, ``PER_S`` in the long run.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left, self._at_s = float(BURST), clock()

    def take(self) -> bool:
        """Whether one more may come."""
        now_s = self._clock()
        self._left = min(BURST, self._left + (now_s - self._at_s) * PER_S)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True, slots=True)
class _Asked:
    """A message that is a command, and where its answer goes."""

    verb: str
    monitor: str | None
    """Of the topic."""
    message: Incoming
    answer_to: str | None
    """None where nobody waits for one."""


class RemoteCommands:
    """Hears commands on one connection; handlers run in the pump's thread, answers in the worker's.

    Args:
        device: Name of this device.
        mqtt: The broker's sink, not yet started.
        submit: Has the worker carry a request out.
        audit: Writes down who asked for what.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        device: str,
        mqtt: MqttSink,
        submit: Submit,
        audit: Audit,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._device, self._topics = device, Topics(device)
        self._mqtt, self._submit, self._audit = mqtt, submit, audit
        self._clock, self._allowance = clock, Allowance(clock)
        self._lock = threading.Lock()
        self._pending = 0
        self._unheard, self._told_s = 0, -_TELL_EVERY_S

    def listen(self, config: Config) -> None:
        """Subscribe to what the operator allows; before the sink is started."""
        for verb in config.mqtt.commands if config.mqtt else ():
            self._mqtt.subscribe(self._topics.command(verb), self._handler(verb))
            if verb in THINGS:
                self._mqtt.subscribe(self._topics.every_set(verb), self._handler(verb))

    # Pump thread

    def _handler(self, verb: str) -> Callable[[Incoming], None]:
        return lambda message: self._heard(verb, message)

    def _heard(self, verb: str, message: Incoming) -> None:
        settable = message.topic.endswith("/set")
        monitor = message.topic.split("/")[-3] if settable else None
        answer_to = message.response_topic or (None if settable else self._topics.reply(verb))
        asked = _Asked(verb, monitor, message, answer_to)
        if message.retain:
            if message.payload:  # an empty one only makes the broker forget
                self._refuse(asked, "a retained message would act again at every connection")
        elif not self._allowance.take():
            self._overrun()
        elif not self._may_answer(answer_to):
            self._audit.refused(self._about(asked), f"no answer is given to {answer_to!r:.80}")
        else:
            self._carry_out(asked)

    def _carry_out(self, asked: _Asked) -> None:
        try:
            request = self._parsed(asked)
            self._begin()
        except UsageError as error:
            self._refuse(asked, str(error))
            return
        name = request.get("monitor")
        result = self._submit(request, lambda _done, _text: None)
        result.add_done_callback(lambda done: self._done(asked, name, done))

    @staticmethod
    def _parsed(asked: _Asked) -> dict[str, Any]:
        payload = asked.message.payload
        if asked.monitor is None:
            return request_of_command(asked.verb, payload)
        return request_of_set(asked.verb, asked.monitor, payload)

    def _begin(self) -> None:
        with self._lock:
            if self._pending >= MAX_PENDING:
                raise UsageError(f"{MAX_PENDING} commands are under way; wait for their answers")
            self._pending += 1

    def _may_answer(self, topic: str | None) -> bool:
        """Nobody may have us speak on our own topics, or on those of the broker."""
        if topic is None:
            return True
        ours = topic == self._topics.base or topic.startswith(f"{self._topics.base}/")
        reply = topic.startswith(f"{self._topics.base}/cmd/") and "/reply" in topic
        return not topic.startswith("$") and (reply or not ours)

    def _overrun(self) -> None:
        """Say now and then how many were not looked at; saying it each time would be a flood."""
        self._unheard += 1
        now_s = self._clock()
        if now_s - self._told_s >= _TELL_EVERY_S:
            self._audit.overrun("mqtt", self._too_many())
            self._unheard, self._told_s = 0, now_s

    def _too_many(self) -> str:
        return f"{self._unheard} commands came too fast: more than {PER_S:g} a second"

    def _about(self, asked: _Asked) -> dict[str, Any]:
        return {"command": asked.verb, "monitor": asked.monitor, "via": "mqtt"}

    def _refuse(self, asked: _Asked, reason: str) -> None:
        self._audit.refused(self._about(asked), reason)
        self._answer(asked, asked.monitor, error=reason)

    # Worker's thread

    def _done(self, asked: _Asked, monitor: object, done: Future[dict[str, Any]]) -> None:
        with self._lock:
            self._pending -= 1
        name = monitor if isinstance(monitor, str) else None
        error = done.exception()
        if error is None:
            result = done.result()
            self._answer(asked, name or result.get("monitor"), result=result)
        else:
            known = isinstance(error, EdgeAsdError)
            self._answer(asked, name, error=str(error) if known else "failed; see the log")

    def _answer(
        self,
        asked: _Asked,
        monitor: str | None,
        *,
        result: dict[str, Any] | None = None,
        error: str = "",
    ) -> None:
        if asked.answer_to is None:
            return
        reply = ReplyMessage(
            device=self._device,
            verb=asked.verb,
            monitor=monitor,
            request_id=request_id_of(asked.message.payload),
            ok=not error,
            error=error,
            result=result,
        )
        self._mqtt.reply(asked.answer_to, reply.to_json(), asked.message.correlation)
