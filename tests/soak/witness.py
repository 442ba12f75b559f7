"""What the daemon said while it ran, apart from what it wrote down: alerts, notices, mishaps."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

EXPECTED = ("a bug in a source",)
"""Exceptions that the soak raises itself."""


@dataclass(frozen=True, slots=True)
class Said:
    """One step in the life of an alert or of a notice."""

    monitor: str
    kind: str
    """``event`` or ``microphone``."""
    id: str
    type: str


class Witness(logging.Handler):
    """Listens to the log; what it heard goes to a file, so that it takes no memory.

    Args:
        path: That file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(logging.DEBUG)
        self.levels: Counter[str] = Counter()
        """Messages of the level warning and above, by their wording."""
        self.unexpected: list[str] = []
        self.unstored: set[Said] = set()
        """What the disk refused to the last, and is in the log only."""
        self._path = path
        self._heard: list[Said] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.levels[f"{record.levelname.lower()} {record.name}: {record.msg}"] += 1
        for kind in ("event", "microphone"):
            if record.msg.startswith(f"monitor=%s {kind}=%s type=%s"):
                self._heard.append(Said(record.args[0], kind, record.args[1], record.args[2]))
        if record.msg.startswith("monitor=%s event not stored"):
            message = json.loads(record.args[1])
            kind = "microphone" if "fault" in message else "event"
            said = Said(record.args[0], kind, message["id"], message["type"])
            self.unstored.add(said)
        if record.exc_info and not any(text in str(record.exc_info[1]) for text in EXPECTED):
            self.unexpected.append(f"{record.name}: {record.getMessage()}: {record.exc_info[1]!r}")

    def flush(self) -> None:
        """Write down what was heard; not to be called while the disk refuses."""
        self.acquire()
        try:
            heard, self._heard = self._heard, []
        finally:
            self.release()
        if heard:
            with self._path.open("a") as file:
                file.writelines(f"{s.monitor} {s.kind} {s.id} {s.type}\n" for s in heard)

    def said(self) -> Iterator[Said]:
        """Everything, in order."""
        self.flush()
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                yield Said(*line.split())

    def count(self, kind: str, type_: str) -> int:
        """How many steps of one kind there were."""
        return sum(one.kind == kind and one.type == type_ for one in self.said())

    def __enter__(self):
        logger = logging.getLogger("edge_asd")
        self._before = logger.level, logger.propagate
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # a disk that refuses refuses the log as well
        return self

    def __exit__(self, *_):
        logger = logging.getLogger("edge_asd")
        logger.removeHandler(self)
        logger.setLevel(self._before[0])
        logger.propagate = self._before[1]
