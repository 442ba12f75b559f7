"""Who asked for what, and what became of it: one line in the log and one count for each command."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from edge_asd.errors import BusyError, EdgeAsdError, UsageError
from edge_asd.metrics.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_NAME = 64
ANYBODY = "an operator"
_QUESTIONS = ("status",)
"""They change nothing and come every second."""
_DETAILS = ("minutes", "on", "event", "seconds", "fault", "days", "force")


def name_of(value: object, default: str = ANYBODY) -> str:
    """Who somebody says to be, fit for a line of a log: printable and short.

    >>> name_of("  anna  of maintenance ")
    'anna of maintenance'
    """
    if not isinstance(value, str):
        return default
    printable = "".join(c if c.isprintable() else " " for c in value[: 4 * MAX_NAME])
    return " ".join(printable.split())[:MAX_NAME].strip() or default


class Audit:
    """See the module; safe to use from every thread.

    Args:
        metrics: Prometheus.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def follow(self, request: Mapping[str, Any], result: Future[dict[str, Any]]) -> None:
        """Tell what becomes of a command, once that is known."""
        if request.get("command") not in _QUESTIONS:
            result.add_done_callback(lambda done: self._done(request, done))

    def refused(self, request: Mapping[str, Any], reason: str) -> None:
        """A command that nobody carried out."""
        self._tell(request, "refused", reason)

    def overrun(self, via: str, reason: str) -> None:
        """Commands that nobody looked at: a line of its own kind, not held back with others."""
        self._metrics.commands.command("unknown", "refused")
        logger.warning("command=unknown via=%s result=refused reason=%r", via, reason)

    def _done(self, request: Mapping[str, Any], done: Future[dict[str, Any]]) -> None:
        if done.cancelled():
            self._tell(request, "failed", "given up")
            return
        error = done.exception()
        if error is None:
            self._tell(request, "accepted", "")
        elif isinstance(error, (UsageError, BusyError)):
            self._tell(request, "refused", str(error))
        else:
            known = isinstance(error, EdgeAsdError)
            self._tell(request, "failed", str(error) if known else type(error).__name__)

    def _tell(self, request: Mapping[str, Any], result: str, reason: str) -> None:
        verb = name_of(request.get("command"), "none")
        self._metrics.commands.command(verb, result)
        details = " ".join(f"{key}={request[key]!r:.80}" for key in _DETAILS if key in request)
        logger.log(
            logging.INFO if result == "accepted" else logging.WARNING,
            "command=%s monitor=%s by=%r via=%s result=%s%s%s",
            verb,
            name_of(request.get("monitor"), "-"),
            name_of(request.get("by")),
            name_of(request.get("via"), "control"),
            result,
            f" {details}" if details else "",
            f" reason={reason!r}" if reason else "",
        )
