"""The command that has stored events delivered once more, as the daemon carries it out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

from edge_asd.errors import UsageError
from edge_asd.operators.control import Reply
from edge_asd.publish.replay import Span
from edge_asd.publish.store import EventStore
from edge_asd.publish.topics import Topics

logger = logging.getLogger(__name__)

COMMAND = "replay"


def replay_verb(
    store: EventStore, topics: Callable[[], Topics | None]
) -> Callable[[Mapping[str, Any], Reply, Future[dict[str, Any]]], None]:
    """The verb ``replay`` of the worker.

    Args:
        store: What was stored.
        topics: Where it is published; None without a broker.
    """

    def carry_out(
        request: Mapping[str, Any], _progress: Reply, result: Future[dict[str, Any]]
    ) -> None:
        present = topics()
        if present is None:
            raise UsageError("no broker is configured, so nothing would be delivered: set mqtt.url")
        dry_run = bool(request.get("dry_run"))
        again = store.replay(_span(request), present, dry_run=dry_run)
        if not dry_run:
            logger.info("events sent again messages=%d alerts=%d", again.messages, again.alerts)
        result.set_result(asdict(again))

    return carry_out


def _span(request: Mapping[str, Any]) -> Span:
    since, until, event = (request.get(key) for key in ("since", "until", "event"))
    for time in (since, until):
        if time is not None and not (isinstance(time, (int, float)) and 0 <= time < 1e11):
            raise UsageError(f"{time!r} is no time in seconds since 1970")
    if event is not None and not isinstance(event, str):
        raise UsageError(f"{event!r} is no id of an event")
    return Span(since, until, event)
