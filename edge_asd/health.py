"""Named checks, the worst of them, and whether the workers still move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Health(str, Enum):
    """Result of a check."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    """It cannot be told; never to be read as healthy."""
    SKIPPED = "skipped"
    """Does not apply here."""


_RANK = {
    Health.SKIPPED: 0,
    Health.HEALTHY: 1,
    Health.UNKNOWN: 2,
    Health.WARNING: 3,
    Health.CRITICAL: 4,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One finding, with what to do about it in its text."""

    status: Health
    text: str
    rehearsal: bool = False
    """All is well: somebody tries the alerting chain."""


class HealthBoard:
    """Latest result of every check; safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}
        self._rehearsed: dict[str, Check] = {}

    def rehearse(self, name: str, status: Health, text: str) -> None:
        """Show a result that is not so, marked as such, unless the real one is critical."""
        with self._lock:
            self._rehearsed[name] = Check(status, text, rehearsal=True)

    def end_rehearsal(self, name: str) -> None:
        """Show the real result of a check again."""
        with self._lock:
            self._rehearsed.pop(name, None)

    def set(self, name: str, status: Health, text: str) -> None:
        """Post the latest result of the check ``name``."""
        with self._lock:
            self._checks[name] = Check(status, text)

    def remove(self, name: str) -> None:
        """Forget a check, as when its monitor is gone; an unknown name is fine."""
        with self._lock:
            self._checks.pop(name, None)

    def forget_monitor(self, monitor: str) -> None:
        """Forget every check of a monitor that is gone."""
        with self._lock:
            for name in [name for name in self._checks if name.endswith(f"/{monitor}")]:
                del self._checks[name]

    def snapshot(self) -> dict[str, Check]:
        """All checks, sorted by name."""
        with self._lock:
            shown = dict(self._checks)
            for name, rehearsed in self._rehearsed.items():
                if name not in shown or shown[name].status is not Health.CRITICAL:
                    shown[name] = rehearsed
            return dict(sorted(shown.items()))

    def worst(self) -> Health:
        """The worst of all checks; unknown while there is none that applies."""
        worst = max(
            (check.status for check in self.snapshot().values()),
            key=_RANK.__getitem__,
            default=Health.SKIPPED,
        )
        return Health.UNKNOWN if worst is Health.SKIPPED else worst


class ProgressWatch:
    """Tells which workers have stopped moving; safe to use from every thread.

    Args:
        patience_s: A worker whose counter rests longer than this is stalled.
        clock: Monotonic seconds.
    """

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.patience_s = patience_s
        self._clock = clock
        self._lock = threading.Lock()
        self._counters: dict[str, Callable[[], int]] = {}
        self._seen: dict[str, tuple[int, float]] = {}

    def watch(self, name: str, counter: Callable[[], int]) -> None:
        """Watch the worker ``name`` through a counter that grows while it works or waits."""
        with self._lock:
            self._counters[name] = counter
            self._seen[name] = (counter(), self._clock())

    def forget(self, name: str) -> None:
        """Watch a worker no more; an unknown name is fine."""
        with self._lock:
            self._counters.pop(name, None)
            self._seen.pop(name, None)

    def stalled(self) -> tuple[str, ...]:
        """Names of the workers that made no progress for longer than the patience."""
        with self._lock:
            now = self._clock()
            for name, counter in self._counters.items():
                count = counter()
                if count != self._seen[name][0]:
                    self._seen[name] = (count, now)
            return tuple(
                name for name, (_, since) in self._seen.items() if now - since > self.patience_s
            )
