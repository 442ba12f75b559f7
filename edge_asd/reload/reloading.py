"""The operator asks for the configuration to be read again: SIGHUP, or ``edge-asd reload``.

All or nothing: a file that cannot be used is refused, and why is said where somebody will look.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from edge_asd.clock import rfc3339
from edge_asd.config import Config
from edge_asd.doctor.configuration import examine, read_of
from edge_asd.doctor.findings import Finding, Status, refuse_failures
from edge_asd.enrolment.enrol import Progress
from edge_asd.errors import BusyError, EdgeAsdError
from edge_asd.health import Health
from edge_asd.metrics.reload import ReloadMetrics
from edge_asd.notify import Notifier
from edge_asd.parts import Parts
from edge_asd.publish.mqtt import MqttSink
from edge_asd.reload.changes import Changes
from edge_asd.reload.reload import Reload

logger = logging.getLogger(__name__)

CHECK = "configuration"

_AGAIN_S = 30.0


class Reloader:
    """Reloads one at a time; safe to use from every thread.

    Args:
        parts: Of the daemon.
        reread: The configuration as it is written now; raises an EdgeAsdError.
        notifier: The service manager.
        connected: Told of another connection to the broker.
    """

    def __init__(
        self,
        parts: Parts,
        reread: Callable[[], Config],
        *,
        notifier: Notifier,
        connected: Callable[[MqttSink | None], None],
    ) -> None:
        self.failure: EdgeAsdError | None = None
        """What left the daemon between two configurations: it must be started again."""
        self._parts, self._reread = parts, reread
        self._notifier, self._connected = notifier, connected
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._step = ""  # that was told last
        self._put_off_s: float | None = None
        common = parts.common
        self._metrics = ReloadMetrics(common.registry, common.started_at)
        self._healthy(common.started_at)

    def reload(self, progress: Progress = lambda _done, _text: None) -> dict[str, Any]:
        """Read the configuration and go on with it.

        Args:
            progress: Told how far it is, where another bundle has to be learned with.

        Returns:
            What is different now.

        Raises:
            BusyError: A reload is under way, or the daemon is ending.
            EdgeAsdError: It is refused, and nothing has changed.
        """
        if not self._lock.acquire(blocking=False):
            raise BusyError("a reload is under way; wait for its end")
        try:
            self._notifier.reloading()
            changes = self._reload(progress)
            return {"applied": changes.any, **asdict(changes)}
        except EdgeAsdError as error:
            self._put_off_s = time.monotonic() if isinstance(error, BusyError) else None
            self._refused(error)
            raise
        finally:
            self._notifier.ready()
            self._lock.release()

    def due_again(self) -> bool:
        """Whether what an alert or an enrolment kept from being changed may be tried once more."""
        return self._put_off_s is not None and time.monotonic() >= self._put_off_s + _AGAIN_S

    def close(self, timeout_s: float) -> None:
        """Reload no more, and wait for a reload that is under way."""
        self._stopping.set()
        self._lock.acquire(timeout=timeout_s)

    def _reload(self, progress: Progress) -> Changes:
        config = self._reread()
        exchange = Reload(self._parts, config)
        exchange.refuse_what_is_fixed()
        self._refuse_what_is_wrong(config)
        exchange.prepare(lambda done, text: self._tell(progress, done, text))
        before = self._parts.mqtt
        try:
            changes = exchange.carry_out()
        except EdgeAsdError:
            raise
        except Exception as error:
            logger.exception("reload stopped half way by an unexpected error")
            text = f"reload stopped half way: unexpected {type(error).__name__}; see the log"
            self.failure = EdgeAsdError(text)
            raise self.failure from error
        if self._parts.mqtt is not before:
            self._connected(self._parts.mqtt)
        self._took(changes)
        return changes

    def _refuse_what_is_wrong(self, config: Config) -> None:
        """Refuse what ``edge-asd check`` would, unless the configuration in force has it as well.

        Raises:
            EdgeAsdError: With everything that is wrong.
        """
        wrong = self._failures(config)
        known = set(self._failures(self._parts.config)) if wrong else set()
        refuse_failures([finding for finding in wrong if finding not in known])

    def _failures(self, config: Config) -> list[Finding]:
        common = self._parts.common
        now_s = common.clock.wall(common.clock.now())
        examined = examine(read_of(config, "reload"), common.state_dir, os.environ, now_s=now_s)
        return [finding for finding in examined.findings if finding.status is Status.FAILED]

    def _tell(self, progress: Progress, done: float, text: str) -> None:
        if self._stopping.is_set():
            raise BusyError("nothing was changed, the daemon is stopping; reload again")
        progress(done, text)
        if text != self._step:
            self._step = text
            logger.info("reload step=%r done=%.0f%%", text, 100 * done)

    def _took(self, changes: Changes) -> None:
        clock = self._parts.common.clock
        at = clock.wall(clock.now())
        self._metrics.took(changed=changes.any, at=at)
        self._healthy(at)
        if changes.serving:
            logger.info("reload serving=%r", changes.serving)
        logger.info(
            "reload result=%s added=%s removed=%s changed=%s kept=%s sections=%s",
            "applied" if changes.any else "unchanged",
            *(
                ",".join(names) or "-"
                for names in (
                    changes.added,
                    changes.removed,
                    changes.changed,
                    changes.kept,
                    changes.sections,
                )
            ),
        )

    def _healthy(self, at: float) -> None:
        self._parts.common.board.set(CHECK, Health.HEALTHY, f"in force since {rfc3339(at)}")

    def _refused(self, error: EdgeAsdError) -> None:
        self._metrics.refused()
        logger.error("reload result=refused reason=%s", error)
        text = f"reload refused, the daemon goes on with the configuration before: {error}"
        self._parts.common.board.set(CHECK, Health.WARNING, text)
