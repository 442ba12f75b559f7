"""One thread a source: opened, read, watched, opened again for ever."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from typing_extensions import Self

from edge_asd.capture.backoff import Backoff
from edge_asd.capture.blockqueue import BlockQueue
from edge_asd.capture.status import CaptureStatus
from edge_asd.errors import CaptureError, EdgeAsdError, StallError
from edge_asd.protocols import AudioSource
from edge_asd.records import Block

QUEUE_S = 20.0
"""Audio held for the worker: more than any model needs to catch up after a hiccup."""

_CLOSE_S = 1.8  # close promises 2 s
_STEADY_S = 10.0  # audio after which a source counts as recovered and delays begin anew

logger = logging.getLogger(__name__)


class CaptureThread:
    """Reads a source into a bounded queue and never gives up on a live one.

    A failure is a state, not an exit: the source is opened again after 0.5 s to 30 s, for ever.
    Only what trying again cannot mend (a broken file, a wrong option) ends it. After a restart the
    stream continues at an index later by at least the time that passed: a restart always is a gap.

    Args:
        name: Names the thread (``capture-<name>``) and log lines.
        open_source: Opens the source; called in the thread, again after every failure.
        live: Drop the oldest audio when the worker is late; otherwise wait for the worker.
        finite: The end of the source is the end; otherwise a source that ends is opened again.
        queue_s: Audio held for the worker, seconds.
        backoff: Delays between attempts.
        rng: Jitter.
        clock: Monotonic seconds.
        sleep: Waits that long; for tests. The default also ends with `close`.
    """

    def __init__(
        self,
        name: str,
        open_source: Callable[[], AudioSource],
        *,
        live: bool,
        finite: bool,
        queue_s: float = QUEUE_S,
        backoff: Backoff | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.name = name
        self._open_source = open_source
        self._live = live
        self._finite = finite
        self._backoff = backoff or Backoff()
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._clock = clock
        self._stop = threading.Event()
        self._sleep = sleep or self._stop.wait
        self._queue = BlockQueue(queue_s)
        self._lock = threading.Lock()  # guards _status, _progress, _source and _rate
        self._status = CaptureStatus()
        self._progress = 0
        self._source: AudioSource | None = None
        self._rate: int | None = None
        self._delivered = False  # a block came since the source was last opened
        self._end: int | None = None  # stream index after the newest block, None before the first
        self._thread = threading.Thread(target=self._run, name=f"capture-{name}", daemon=True)

    def start(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sample_rate(self) -> int | None:
        """Rate of the blocks, None until the source was opened once; it never changes."""
        with self._lock:
            return self._rate

    @property
    def progress(self) -> int:
        """Grows while the thread is alive, also while it waits to try again; for the watchdog."""
        with self._lock:
            return self._progress

    @property
    def live(self) -> bool:
        """It does not wait for the worker: what is not taken in time is dropped."""
        return self._live

    @property
    def spent(self) -> bool:
        """Finished, and every block was taken."""
        return self._queue.spent

    @property
    def held_s(self) -> float:
        """Seconds of audio that wait for the worker."""
        return self._queue.held_s

    def status(self) -> CaptureStatus:
        """How the source is doing right now."""
        with self._lock:
            return self._status

    def get(self, timeout_s: float) -> Block | None:
        """Take the oldest block; None if none came in time or none will ever come."""
        return self._queue.get(timeout_s)

    def close(self) -> None:
        """End the thread and the source; returns within 2 s even if both hang."""
        self._stop.set()
        self._queue.end()
        until = self._clock() + _CLOSE_S
        if self._thread.is_alive():
            with self._lock:
                source = self._source
            if source is not None:
                # The source itself may hang, so it is not closed from here.
                closer = threading.Thread(
                    target=self._close_source,
                    args=(source,),
                    name=f"close-{self.name}",
                    daemon=True,
                )
                closer.start()
                closer.join(max(0.0, until - self._clock()))
            self._thread.join(max(0.0, until - self._clock()))
        if self._thread.is_alive():
            logger.warning("source=%s event=left_hanging", self.name)
        self._update(up=False, finished=True)

    def _run(self) -> None:
        failures = 0
        error: EdgeAsdError | None = None
        while not self._stop.is_set():
            began = self._clock()
            try:
                self._read_source()
                if self._finite or self._stop.is_set():
                    break
                failed = CaptureError("the source ended")
            except CaptureError as caught:
                failed = caught
            except EdgeAsdError as caught:
                error = caught
                break
            except Exception as caught:
                # A source must not take its thread along silently, whatever it raises.
                logger.exception("source=%s event=unexpected_error", self.name)
                failed = CaptureError(f"unexpected {type(caught).__name__}: {caught}")
            failures = 1 if self._clock() - began > _STEADY_S else failures + 1
            self._went_down(str(failed))
            self._wait(self._backoff.delay_s(failures, self._rng))
            if not self._stop.is_set():
                self._count_restart(failed)
        self._finish(error)

    def _count_restart(self, failed: CaptureError) -> None:
        status = self.status()
        if not self._delivered:
            self._update(open_failed=status.open_failed + 1)
        elif isinstance(failed, StallError):
            self._update(stalled=status.stalled + 1)
        else:
            self._update(exited=status.exited + 1)

    def _finish(self, error: EdgeAsdError | None) -> None:
        reason = str(error) if error else "closed" if self._stop.is_set() else "finished"
        logger.log(
            logging.ERROR if error else logging.INFO, "source=%s state=%s", self.name, reason
        )
        self._update(up=False, finished=True, reason=reason, error=error)
        self._queue.end()

    def _read_source(self) -> None:
        self._delivered = False
        source = self._open_source()
        with self._lock:
            self._source = source
        try:
            if self._stop.is_set():  # closed while it was being opened
                return
            self._check_rate(source.sample_rate)
            offset: int | None = None
            for block in source.blocks():
                if self._stop.is_set():
                    return
                if offset is None:
                    offset = self._offset(block)
                    self._delivered = True
                    self._went_up(source.sample_rate)
                self._take(replace(block, start=block.start + offset), source.sample_rate)
        finally:
            with self._lock:
                self._source = None
            self._close_source(source)

    def _check_rate(self, rate: int) -> None:
        with self._lock:
            if self._rate is None:
                self._rate = rate
            elif self._rate != rate:
                raise CaptureError(
                    f"came back at {rate} Hz, was {self._rate} Hz; add rate={self._rate} to the "
                    f"source, or restart to accept the new device"
                )

    def _offset(self, block: Block) -> int:
        """What to add to the indices of a freshly opened source."""
        last = self.status().last_block_monotonic
        if self._end is None or last is None or self._rate is None:
            return 0
        passed = max(1, math.ceil((self._clock() - last) * self._rate))
        return self._end + passed - block.start

    def _take(self, block: Block, rate: int) -> None:
        n = len(block.samples)
        lost = max(0, block.start - self._end) if self._end is not None else 0
        self._end = block.start + n
        with self._lock:
            status = self._status
            self._progress += 1
            self._status = replace(
                status,
                frames=status.frames + n,
                overflows=status.overflows + block.overflowed,
                lost_s=status.lost_s + lost / rate,
                last_block_monotonic=self._clock(),
            )
        if self._live:
            self._count_dropped(self._queue.put_dropping(block, n / rate), rate)
        else:
            self._queue.put_waiting(block, n / rate, self._alive)

    def _count_dropped(self, dropped: list[Block], rate: int) -> None:
        if not dropped:
            return
        status = self.status()
        if status.dropped_blocks == 0:
            logger.warning("source=%s event=dropping reason=worker_late", self.name)
        lost_s = sum(len(block.samples) for block in dropped) / rate
        self._update(
            dropped_blocks=status.dropped_blocks + len(dropped), lost_s=status.lost_s + lost_s
        )

    def _alive(self) -> bool:
        with self._lock:
            self._progress += 1
        return not self._stop.is_set()

    def _wait(self, delay_s: float) -> None:
        """Sleep in slices of a second, so that waiting is seen as progress."""
        left = delay_s
        while left > 0.0 and self._alive():
            self._sleep(min(1.0, left))
            left -= 1.0

    def _went_up(self, rate: int) -> None:
        logger.info("source=%s state=up rate=%d", self.name, rate)
        self._update(up=True, reason="")

    def _went_down(self, reason: str) -> None:
        status = self.status()
        # Once a change, not once an attempt: a microphone may be missing for weeks.
        changed = status.up or status.restarts == 0
        logger.log(
            logging.WARNING if changed else logging.DEBUG,
            "source=%s state=down reason=%r",
            self.name,
            reason,
        )
        self._update(up=False, reason=reason)

    def _update(self, **changes: object) -> None:
        with self._lock:
            self._status = replace(self._status, **changes)  # type: ignore[arg-type]

    def _close_source(self, source: AudioSource) -> None:
        try:
            source.close()
        except (EdgeAsdError, OSError) as error:
            logger.debug("source=%s event=close_failed error=%r", self.name, str(error))
