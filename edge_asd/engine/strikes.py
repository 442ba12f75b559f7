"""Why a plan, or the GPU, is left alone for a while; remembered across the end of the process.

A runtime that crashes or hangs in native code takes the process along, and so may a build that
fills the memory: what starts again would run into it again, for ever. So whoever builds or uses a
plan says so in a file (`Inside`): what is found there at the next start died in it. Twice within a
day, and the plan rests for as long; one that could not be built or proven rests at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_asd.errors import EngineError, StorageError
from edge_asd.files import replace_file

logger = logging.getLogger(__name__)

DAY_S = 86400.0
LIMIT = 2
"""So many within a day: once may be a power cut, or an operator who ended it."""

_KEPT = 10


@dataclass(frozen=True, slots=True)
class Strike:
    """Something that went wrong with a plan."""

    at: float
    """Wall time."""
    reason: str
    final: bool
    """Enough by itself."""


class Strikes:
    """What is remembered of one thing; a file that cannot be read or written remembers nothing.

    Args:
        path: The file.
        what: Of what, as shown to people.
        wall: Wall time; where a clock was set since, at worst a strike is forgotten early.
    """

    def __init__(self, path: Path, what: str, wall: Callable[[], float] = time.time) -> None:
        self.path, self.what = path, what
        self._wall = wall

    def add(self, reason: str, *, final: bool = False) -> None:
        """Remember a failure.

        Args:
            reason: For people.
            final: It is not to be tried again today.
        """
        strikes = [*self._recent(), Strike(self._wall(), reason, final)][-_KEPT:]
        text = json.dumps([asdict(strike) for strike in strikes])
        try:
            replace_file(self.path, text.encode())
        except StorageError as error:
            logger.warning("engine failure is not remembered reason=%s", error)

    def barred(self) -> str:
        """Why it must not be used now; empty if it may."""
        recent = self._recent()
        final = next((strike.reason for strike in reversed(recent) if strike.final), "")
        if not final and len(recent) < LIMIT:
            return ""
        why = final or f"{recent[-1].reason}, {len(recent)} times within a day"
        return f"{why}; tried again after a day, or once {self.path} is removed"

    def inside(self) -> Inside:
        """Have it noticed if this process dies in it.

        Raises:
            EngineError: It must not be used now.
        """
        inside = Inside(self.path.with_suffix(".inside"), self)
        if reason := self.barred():
            inside.close()
            raise EngineError(reason)
        return inside

    def _recent(self) -> list[Strike]:
        """Those of the last day."""
        now = self._wall()
        try:
            strikes = [Strike(**fields) for fields in json.loads(self.path.read_bytes())]
            return [strike for strike in strikes if abs(now - strike.at) < DAY_S]
        except (OSError, ValueError, TypeError):
            return []


class Inside:
    """Says in a file whether this process is in something that may end it.

    The kernel keeps what is written whatever becomes of the process; a write costs a microsecond.
    A file is one process's at a time; another one that does the same meanwhile leaves no trace.

    Args:
        path: The file, one byte.
        strikes: Gets a strike if the process that had it before died inside.
    """

    def __init__(self, path: Path, strikes: Strikes) -> None:
        self._file: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            died = os.pread(file, 1, 0) == b"1"
            os.pwrite(file, b"0", 0)
        except OSError:
            os.close(file)
            return
        self._file = file
        if died:
            reason = f"the process died in {strikes.what}"
            logger.warning("engine strike=%s reason=%s", strikes.path, reason)
            strikes.add(reason)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Be inside for the length of a ``with``."""
        self._write(b"1")
        try:
            yield
        finally:
            self._write(b"0")

    def close(self) -> None:
        """Leave the file to others."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, flag: bytes) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._file, flag, 0)
