"""The thread that turns clips into evidence on the disk, apart from the worker and behind it.

At most four clips wait and one is in work: a fifth is refused and counted. Nothing here ever raises
into the worker, and a full disk is a text for the health board.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edge_asd.errors import EdgeAsdError
from edge_asd.evidence.compose import SPECTROGRAM, Composed, Request
from edge_asd.evidence.records import EvidenceRecord, Kept, Refusal

logger = logging.getLogger(__name__)

QUEUE_CLIPS = 4
HANG_S = 60.0
"""Evidence in work for longer is a fault of the disk."""

_NICER = 5  # the worker comes first; not 19, because both need the interpreter
_LOOK_S = 2.0
_MISSED = 64


class Store(Protocol):
    """Where evidence is kept."""

    def write(self, record: EvidenceRecord, files: Mapping[str, bytes]) -> Kept:
        """Keep the files of an alert, all of them or none."""

    def refuse(self, event_id: str, refusal: Refusal, text: str) -> None:
        """Remember that an alert has no evidence, and why."""

    def look(self) -> None:
        """Delete what is due, and measure; never raises."""


class Maker(Protocol):
    """Who makes the files."""

    def compose(self, request: Request) -> Composed:
        """Make the files of an alert."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the evidence of an alert."""

    event_id: str
    monitor: str
    kept: Kept | None
    reason: str = ""
    """Why nothing was kept."""
    picture: bytes | None = None
    """The spectrogram as it was written; None where there is none."""


class Keeper:
    """See the module; ``submit`` may be called by any thread.

    Args:
        composer: Makes the files.
        store: Keeps them.
        written: Told what became of every clip that was taken, by the keeper's thread, or by that
            of ``close`` for those given up.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        composer: Maker,
        store: Store,
        written: Callable[[Outcome], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kept = 0
        self.refused = 0
        """Clips that were not taken because too many waited."""
        self.failed = 0
        """Clips of which nothing was kept."""
        self._composer, self._store, self._written = composer, store, written
        self._clock = clock
        self._queue: queue.Queue[Request] = queue.Queue(QUEUE_CLIPS)
        self._due = threading.Event()  # there is something to do, or to end
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._missed: deque[str] = deque(maxlen=_MISSED)  # ids of alerts that were refused
        self._busy_since: float | None = None
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, request: Request) -> bool:
        """Hand over a clip; never waits.

        Returns:
            Whether it was taken.
        """
        if not self._closing.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(request)
                self._due.set()
                return True
        event_id, monitor = request.clip.event.id, request.profile.monitor
        self.miss(event_id)
        logger.warning(
            "monitor=%s event=%s no evidence: too many clips wait refused=%d",
            monitor,
            event_id,
            self.refused,
        )
        return False

    def miss(self, event_id: str) -> None:
        """Count an alert of which there is no clip; it is written down later, by the thread."""
        self.refused += 1
        self._missed.append(event_id)
        self._due.set()

    @property
    def waiting(self) -> int:
        """Clips that wait, the one in work left out."""
        return self._queue.qsize()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in work."""
        return self._queue.unfinished_tasks == 0

    @property
    def failure(self) -> str:
        """Why the last clip was not kept, or that the disk hangs; empty when well."""
        since = self._busy_since
        if since is not None and self._clock() - since > HANG_S:
            return (
                f"evidence has been under way for {self._clock() - since:.0f} s; look at the disk"
            )
        return self._failure

    def close(self, within_s: float) -> bool:
        """Keep what waits as long as there is time, then give the rest up.

        Args:
            within_s: So long this may take.

        Returns:
            Whether everything was kept that could be.
        """
        self._closing.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(within_s)
        self._given_up.set()
        lost = self._waiting_ones()
        for request in lost:
            self._lose(request, "the daemon stopped before it was written")
        if self._thread.is_alive():
            logger.warning("evidence under way is left behind")
        return not lost and not self._thread.is_alive()

    def _waiting_ones(self) -> list[Request]:
        taken = []
        with contextlib.suppress(queue.Empty):
            while True:
                taken.append(self._queue.get_nowait())
                self._queue.task_done()
        return taken

    def _run(self) -> None:
        _step_back()
        while not self._given_up.is_set():
            while self._missed:
                self._refuse(self._missed.popleft(), "too many alerts at once")
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                if self._closing.is_set():
                    return
                self._store.look()
                self._due.wait(_LOOK_S)
                self._due.clear()
                continue
            self._busy_since = self._clock()
            self._keep(request)
            self._busy_since = None
            self._queue.task_done()

    def _keep(self, request: Request) -> None:
        event_id, monitor = request.clip.event.id, request.profile.monitor
        try:
            composed = self._composed(request)
            kept = self._store.write(composed.record, composed.files)  # notes itself why not
        except EdgeAsdError as error:
            self._lose(request, str(error))
        except Exception as error:  # nothing that is wrong with evidence may end this thread
            logger.exception("monitor=%s event=%s evidence", monitor, event_id)
            self._lose(request, f"evidence cannot be made: {error!r}")
        else:
            self.kept += 1
            self._failure = ""
            logger.info("monitor=%s event=%s evidence=%s", monitor, event_id, kept.folder)
            picture = composed.files.get(SPECTROGRAM)
            self._tell(Outcome(event_id, monitor, kept, picture=picture))

    def _composed(self, request: Request) -> Composed:
        try:
            return self._composer.compose(request)
        except Exception as error:
            self._refuse(request.clip.event.id, f"evidence cannot be made: {error}")
            raise

    def _refuse(self, event_id: str, text: str) -> None:
        try:
            self._store.refuse(event_id, Refusal.LOST, text)
        except Exception:  # it is only a note
            logger.exception("event=%s", event_id)

    def _lose(self, request: Request, reason: str) -> None:
        self.failed += 1
        self._failure = reason
        event_id, monitor = request.clip.event.id, request.profile.monitor
        logger.warning("monitor=%s event=%s no evidence: %s", monitor, event_id, reason)
        self._tell(Outcome(event_id, monitor, None, reason))

    def _tell(self, outcome: Outcome) -> None:
        try:
            self._written(outcome)
        except Exception:  # whoever is told must not end this thread either
            logger.exception("event=%s outcome of evidence not taken", outcome.event_id)


def _step_back() -> None:
    """Let this thread have what the others leave; on Linux a thread has a priority of its own."""
    thread = threading.get_native_id()
    with contextlib.suppress(OSError):  # a container may forbid it
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICER)
