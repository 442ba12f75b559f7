"""Log lines that say the same over and over: written once, then counted."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

INTERVAL_S = 300.0
"""The same line is written once in so long, with how often it was held back."""

LINES = 20
"""Lines of one template in that time, whatever they say; errors are exempt."""

_TABLE = 512  # lines remembered; the one that was heard of longest ago is forgotten first


@dataclass(slots=True)
class _Heard:
    """What happened to one line since it was last written."""

    record: logging.LogRecord
    since_s: float
    written: int = 0
    held_back: int = 0


class Repeats:
    """Decides what is written; used under the lock of a handler.

    Two lines say the same if they have the same logger, template and words: numbers may differ.

    Args:
        exempt: Whether a line is always written.
        change: Whether a line tells of a change, which may go back and forth: then only the number
            of lines is limited, so that the last of a few is never missing.
        clock: Monotonic seconds.
        interval_s: How long a line is held back.
    """

    def __init__(
        self,
        exempt: Callable[[logging.LogRecord], bool] = lambda _: False,
        change: Callable[[logging.LogRecord], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._exempt, self._change = exempt, change
        self._clock, self._interval_s = clock, interval_s
        self._heard: OrderedDict[Hashable, _Heard] = OrderedDict()

    def take(self, record: logging.LogRecord) -> list[logging.LogRecord]:
        """What to write now: perhaps the line, and before it what was held back too long."""
        now_s = self._clock()
        due = self._due(now_s)
        if record.levelno < logging.INFO or self._exempt(record):
            return [*due, record]
        same = self._look_up((record.name, str(record.msg), _words(record)), record, now_s)
        kind = self._look_up((record.name, str(record.msg)), record, now_s)
        repeated = same.written and not self._change(record)
        if repeated or (kind.written >= LINES and record.levelno < logging.ERROR):
            # Counted once: with the line if that was written before, else with its kind.
            (same if repeated else kind).held_back += 1
            return due
        same.written += 1
        kind.written += 1
        return [*due, record]

    def flush(self) -> list[logging.LogRecord]:
        """What was held back and not told, at the end."""
        heard, self._heard = self._heard, OrderedDict()
        return [_summary(one) for one in heard.values() if one.held_back]

    @property
    def remembered(self) -> int:
        """Entries of the table."""
        return len(self._heard)

    def _look_up(self, key: Hashable, record: logging.LogRecord, now_s: float) -> _Heard:
        if key not in self._heard:
            self._heard[key] = _Heard(record, now_s)
        self._heard.move_to_end(key)
        return self._heard[key]

    def _due(self, now_s: float) -> list[logging.LogRecord]:
        """Forget what is old, and say how often it was held back."""
        old = [k for k, one in self._heard.items() if now_s - one.since_s >= self._interval_s]
        surplus = list(self._heard)[: max(0, len(self._heard) - len(old) - _TABLE)]
        gone = [self._heard.pop(key) for key in dict.fromkeys([*old, *surplus])]
        return [_summary(one) for one in gone if one.held_back]


class QuietHandler(logging.Handler):
    """Hands lines on to another handler, without those that only repeat.

    Args:
        inner: What writes.
        repeats: What decides.
    """

    def __init__(self, inner: logging.Handler, repeats: Repeats) -> None:
        super().__init__()
        self._inner, self._repeats = inner, repeats

    def emit(self, record: logging.LogRecord) -> None:
        """Write what is due."""
        for line in self._repeats.take(record):
            self._inner.handle(line)

    def flush(self) -> None:
        """Write what the other handler holds."""
        self._inner.flush()

    def close(self) -> None:
        """Say what was held back, and close the other handler too."""
        self.acquire()
        try:
            for line in self._repeats.flush():
                self._inner.handle(line)
        finally:
            self.release()
        self._inner.close()
        super().close()


def _words(record: logging.LogRecord) -> Hashable:
    """What a line says, without its numbers."""
    arguments: Any = record.args or ()
    values = arguments.values() if isinstance(arguments, dict) else arguments
    return tuple(str(v) for v in values if not isinstance(v, int | float) or isinstance(v, bool))


def _summary(heard: _Heard) -> logging.LogRecord:
    """A line that says how often another one was held back, with the logger's own level."""
    first = heard.record
    return logging.LogRecord(
        __name__,
        first.levelno,
        first.pathname,
        first.lineno,
        "unlogged=%d more like: %s",
        (heard.held_back, first.getMessage()),
        None,
        first.funcName,
    )
