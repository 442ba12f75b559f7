"""What TensorRT says, gathered for the errors we raise."""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import cast

from edge_asd.engine.tensorrt_api import Api, Flag, ILogger, IProgressMonitor

logger = logging.getLogger(__name__)

_KEPT = 16  # messages; the first ones name the cause
_SHOWN = 3


class Gathered:
    """TensorRT's errors since they were last taken; bounded, later ones are dropped."""

    def __init__(self, api: Api) -> None:
        severity = api.ILogger.Severity
        self._error, self._warning = int(severity.ERROR), int(severity.WARNING)
        self._errors: deque[str] = deque()
        self.listener = cast("ILogger", _subclass(api.ILogger, log=self._log))

    def _log(self, severity: Flag, message: str) -> None:
        if int(severity) <= self._error and len(self._errors) < _KEPT:
            self._errors.append(" ".join(message.split()))
        if int(severity) <= self._warning:
            logger.debug("tensorrt=%s", message)

    def take(self) -> str:
        """Return what went wrong, in one line, and forget it."""
        errors = [self._errors.popleft() for _ in range(len(self._errors))]
        return "; ".join(errors[:_SHOWN]) or "TensorRT gave no reason"


@functools.cache
def gathered(api: Api) -> Gathered:
    """The logger of this process: TensorRT keeps the first it was given, and for ever."""
    return Gathered(api)


class Progress:
    """How far a build is; TensorRT reports nested phases, from several threads.

    Args:
        api: TensorRT.
        report: Given the share done, 0 to 1, and the phase; returns False to stop the build.
    """

    def __init__(self, api: Api, report: Callable[[float, str], bool]) -> None:
        self._report, self._lock = report, threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._share, self.stopped = 0.0, False
        self.error: Exception | None = None
        self.monitor = cast(
            "IProgressMonitor",
            _subclass(
                api.IProgressMonitor,
                phase_start=self._start,
                step_complete=self._step,
                phase_finish=self._finish,
            ),
        )

    def _start(self, phase: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._phases[phase] = _Phase(self._phases.get(parent or ""), max(int(steps), 1))

    def _step(self, phase: str, step: int) -> bool:
        with self._lock:
            known = self._phases.get(phase)
            if known is not None:
                known.done = int(step) + 1
                self._share = max(self._share, min(known.share(), 1.0))
            try:
                self.stopped = self.stopped or not self._report(self._share, phase)
            except Exception as error:  # noqa: BLE001 - TensorRT's threads cannot carry it
                self.error, self.stopped = error, True
            return not self.stopped

    def _finish(self, phase: str) -> None:
        with self._lock:
            self._phases.pop(phase, None)


class _Phase:
    """A phase and where it lies within another."""

    def __init__(self, parent: _Phase | None, steps: int) -> None:
        self.steps, self.done = steps, 0
        self._from = parent.share() if parent else 0.0
        self._span = parent.span / parent.steps if parent else 1.0

    @property
    def span(self) -> float:
        """Share of the whole build that it takes."""
        return self._span

    def share(self) -> float:
        """Share of the whole build that is done."""
        return self._from + self._span * self.done / self.steps


def _subclass(base: object, **methods: Callable[..., object]) -> object:
    """An object of a class derived from one that exists only while TensorRT is imported."""

    def bound(method: Callable[..., object]) -> Callable[..., object]:
        return lambda _self, *arguments: method(*arguments)

    members = {name: bound(method) for name, method in methods.items()}
    return type("Derived", (cast("type", base),), members)()
