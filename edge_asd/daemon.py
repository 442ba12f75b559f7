"""The daemon: wiring, threads, signals, drain.

Threads: one ``capture-…`` a source, ``worker`` (the pipeline of all monitors), ``mqtt-pump``,
``http``, ``control``, ``enrol-…`` while a profile is computed, ``engine-build`` while TensorRT's
plans are. The main thread watches them and feeds systemd's watchdog only while all of them make
progress.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from edge_asd import __version__
from edge_asd.common import Common
from edge_asd.config import Config
from edge_asd.errors import EdgeAsdError
from edge_asd.health import HealthBoard, ProgressWatch
from edge_asd.memory import give_back, keep_modules
from edge_asd.metrics.metrics import Metrics
from edge_asd.metrics.registry import Registry
from edge_asd.notify import Notifier
from edge_asd.observe import Observer
from edge_asd.operators.control import ControlServer, Reply
from edge_asd.parts import Parts, spawn
from edge_asd.reload.reloading import Reloader
from edge_asd.state_dir import StateLock, socket_path
from edge_asd.steady import SteadyClock
from edge_asd.swap.engine_keeper import EngineKeeper

logger = logging.getLogger(__name__)

_TICK_S = 1.0
_PATIENCE_S = 30.0
"""A worker that does not move for so long is stuck."""
_START_S = 300.0
"""A large database that has to be checked, or a network that is compiled, on a slow board."""
_RELOAD_S = 1.0
"""For a reload that is under way at the end."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run, beside the operator's file."""

    state_dir: Path
    once: bool = False
    """Leave when finite sources are spent and everything is delivered."""
    reread: Callable[[], Config] | None = None
    """The configuration as it is written now; None where it cannot be read again."""


class _StoppedEarlyError(Exception):
    """The daemon was told to end before it had started; the next start does it all."""


class Daemon:
    """One run of the daemon; see the module.

    Args:
        config: The operator's file.
        options: How to run.
        notifier: The service manager.
    """

    def __init__(self, config: Config, options: RunOptions, notifier: Notifier) -> None:
        self.config, self.options, self.notifier = config, options, notifier
        self.ready = False
        self._stopping = self._reload_wanted = False
        # Not an Event: a signal that came while one is about to wait would wait for it, for ever.
        self._wake_read, self._wake_write = socket.socketpair()
        self._step = ""  # of the start, that was told last
        registry, clock = Registry(), SteadyClock()
        self._common = Common(
            options.state_dir,
            once=options.once,
            board=HealthBoard(),
            registry=registry,
            metrics=Metrics(registry, version=__version__),
            watch=ProgressWatch(_PATIENCE_S),
            clock=clock,
            started_at=clock.now(),
            ready=lambda: self.ready,
        )

    def run(self) -> int:
        """Run until a signal, or with ``once`` until everything is done.

        Returns:
            The exit code.

        Raises:
            EdgeAsdError: It cannot start.
        """
        keep_modules()
        with (
            self._wake_read,
            self._wake_write,
            StateLock(self.options.state_dir),
            ExitStack() as closers,
        ):
            self._install_signals()
            try:
                self.notifier.extend_timeout(_START_S)
                parts = Parts(self.config, self._common, closers, self._learning)
                observer = self._observer(parts)
                reloader = Reloader(
                    parts,
                    self.options.reread or (lambda: parts.config),
                    notifier=self.notifier,
                    connected=observer.connect,
                )
                closers.callback(reloader.close, _RELOAD_S)
                keeper = self._keeper(parts)
                closers.callback(keeper.close)
                self._take_commands(parts, reloader, closers)
                return self._supervise(parts, observer, reloader, keeper)
            except _StoppedEarlyError:
                return 0
            finally:
                self.notifier.stopping()

    def _learning(self, done: float, text: str) -> None:
        """How far monitors are that have to learn before they listen."""
        if self._stopping:
            raise _StoppedEarlyError
        self.notifier.extend_timeout(_START_S)
        if text != self._step:
            self._step = text
            logger.info("start step=%r done=%.0f%%", text, 100 * done)

    def _install_signals(self) -> None:
        self._wake_read.settimeout(0)
        self._wake_write.settimeout(0)

        def wake() -> None:
            with contextlib.suppress(OSError):  # it is full, so it wakes up; or it has ended
                self._wake_write.send(b"\0")

        def stop(number: int, _frame: FrameType | None) -> None:
            logger.info("signal=%s stopping", signal.Signals(number).name)
            self._stopping = True
            wake()

        def reload(_number: int, _frame: FrameType | None) -> None:
            self._reload_wanted = True
            wake()

        signal.signal(signal.SIGHUP, reload)
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def _take_commands(self, parts: Parts, reloader: Reloader, closers: ExitStack) -> None:
        """Listen on the control socket."""

        def carry_out(request: dict[str, Any], progress: Reply) -> dict[str, Any]:
            """Have the worker do it and wait; called in a thread of the control socket."""
            if request.get("command") == "reload":
                return reloader.reload(progress)
            return parts.worker.submit(request, progress).result()

        server = ControlServer(socket_path(self.options.state_dir, os.environ), carry_out)
        spawn("control", server.serve_forever)
        closers.callback(server.close)

    def _observer(self, parts: Parts) -> Observer:
        common = self._common
        return Observer(
            self.config.device,
            parts.worker,
            parts.mqtt,
            metrics=common.metrics,
            board=common.board,
            watch=common.watch,
            notifier=self.notifier,
            clock=common.clock,
        )

    def _keeper(self, parts: Parts) -> EngineKeeper:
        common = self._common
        return EngineKeeper(
            parts.serving,
            lambda: parts.engine,
            board=common.board,
            metrics=common.metrics,
            spawn=spawn,
            builds=not self.options.once,
        )

    def _supervise(
        self, parts: Parts, observer: Observer, reloader: Reloader, keeper: EngineKeeper
    ) -> int:
        common, worker = self._common, parts.worker
        while not self._stopping:
            failure = worker.failure or reloader.failure
            if failure is not None:
                raise failure
            observer.look()
            if not self.ready:
                # A missing microphone is a state, not a reason to hold up the boot.
                self.ready = True
                common.metrics.set_ready(True, started_at=common.started_at)
                self.notifier.ready()
                give_back()
                logger.info("ready monitors=%d device=%s", len(worker.monitors), self.config.device)
                if parts.behind:  # it listens with what it has learned, and learns the other one
                    self._reload_wanted = True
            keeper.look()
            if parts.behind and reloader.due_again():  # nobody waits for it who could ask again
                self._reload_wanted = True
            if self._done(parts):
                if worker.errors:
                    raise worker.errors[0]
                return 0
            if self._reload_wanted:
                self._reload_wanted = False
                spawn("reload", lambda: _reload_quietly(reloader))
            self._rest()
        return 0

    def _rest(self) -> None:
        """Until it is time to look again, or a signal has come."""
        if select.select([self._wake_read], [], [], _TICK_S)[0]:
            self._wake_read.recv(4096)

    def _done(self, parts: Parts) -> bool:
        """Whether nothing is left to do: with ``once``, or because no source can be used."""
        if not parts.worker.finished:
            return False
        if self.options.once:
            return parts.mqtt is None or parts.mqtt.idle
        return all(feed.capture.status().error is not None for feed in parts.worker.feeds)


def _reload_quietly(reloader: Reloader) -> None:
    """For a signal, which nobody waits for: the log, the checks and the metrics have said it."""
    with contextlib.suppress(EdgeAsdError):
        reloader.reload()
