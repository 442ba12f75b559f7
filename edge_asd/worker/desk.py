"""What other threads want from the worker: it is carried out between two rounds.

So nobody but the worker ever touches a monitor, and monitors have no locks.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from edge_asd.errors import EdgeAsdError, UsageError
from edge_asd.operators.audit import Audit
from edge_asd.operators.control import Reply

logger = logging.getLogger(__name__)

T = TypeVar("T")

Task = Callable[[], None]
Verb = Callable[[Mapping[str, Any], Reply, Future[dict[str, Any]]], None]
"""A command, in the worker's thread: the request, whom to tell about progress, and what takes the
result, now or later."""


class Desk:
    """Takes tasks from every thread; one thread carries them out.

    Args:
        audit: Writes down who asked for what.
        wake: Called when there is a task.
    """

    def __init__(self, audit: Audit, wake: Callable[[], None] = lambda: None) -> None:
        self._audit, self._wake = audit, wake
        self._verbs: dict[str, Verb] = {}
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()

    def learn(self, name: str, verb: Verb) -> None:
        """Add a command; before the worker runs, or in its own thread."""
        self._verbs[name] = verb

    def post(self, task: Task) -> None:
        """Have something done that tells nobody of its end."""
        self._tasks.put(task)
        self._wake()

    def have_done(self, action: Callable[[], T]) -> Future[T]:
        """Have something done."""
        result: Future[T] = Future()

        def carry_out() -> None:
            try:
                result.set_result(action())
            except EdgeAsdError as error:
                result.set_exception(error)

        self.post(carry_out)
        return result

    def submit(self, request: Mapping[str, Any], progress: Reply) -> Future[dict[str, Any]]:
        """Have a command carried out."""
        result: Future[dict[str, Any]] = Future()
        self._audit.follow(request, result)
        self.post(lambda: self._command(request, progress, result))
        return result

    def carry_out(self) -> None:
        """Do everything that waits."""
        while not self._tasks.empty():  # nobody else takes from it
            self._tasks.get_nowait()()

    def _command(
        self, request: Mapping[str, Any], progress: Reply, result: Future[dict[str, Any]]
    ) -> None:
        try:
            self._verb(request.get("command"))(request, progress, result)
        except EdgeAsdError as error:
            _fail(result, error)
        except Exception as error:
            # Whatever somebody may ask for, the machines are listened to.
            logger.exception("command failed event=unexpected_error")
            text = f"unexpected {type(error).__name__}: {error}; see the log"
            _fail(result, EdgeAsdError(text))

    def _verb(self, name: object) -> Verb:
        verb = self._verbs.get(name) if isinstance(name, str) else None
        if verb is None:
            known = ", ".join(sorted(self._verbs))
            raise UsageError(f"unknown command {name!r:.60}; this daemon knows: {known}")
        return verb


def _fail(result: Future[dict[str, Any]], error: EdgeAsdError) -> None:
    if not result.done():
        result.set_exception(error)
