"""One thread a source: opened, read, watched, opened again for ever."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from typing_extensions import Self

from edge_asd.capture.backoff import Backoff
from edge_asd.capture.blockqueue import BlockQueue
from edge_asd.capture.statelog import StateLog
from edge_asd.capture.status import CaptureStatus
from edge_asd.capture.tally import Tally
from edge_asd.capture.timeline import Timeline
from edge_asd.errors import CaptureError, EdgeAsdError
from edge_asd.protocols import AudioSource, PunctualSource
from edge_asd.records import Block

QUEUE_S = 20.0
"""Audio held for the worker: more than any model needs to catch up after a hiccup."""

_CLOSE_S = 1.8  # close promises 2 s
_STEADY_S = 10.0  # audio after which a source counts as recovered and delays begin anew
_SETTLE_S = 0.5  # a sound card is listed before it may be opened

logger = logging.getLogger(__name__)


class CaptureThread:
    """Reads a source into a bounded queue and never gives up on a live one.

    A failure is a state, not an exit: the source is opened again after the back-off's delay, for
    ever. Only what trying again cannot mend (a broken file, a wrong option) ends it. After a
    restart the stream continues at an index later by the audio that was missed, by boot time: a
    restart always is a gap.

    Args:
        name: Names the thread (``capture-<name>``) and log lines.
        open_source: Opens the source; called in the thread, again after every failure.
        live: Drop the oldest audio when the worker is late, and compare the audio with time;
            otherwise wait for the worker.
        finite: The end of the source is the end; otherwise a source that ends is opened again.
        queue_s: Audio held for the worker, seconds.
        backoff: Delays between attempts.
        surroundings: What the next attempt depends on, such as the list of sound cards: a change
            of it ends a delay.
        forget: Lets the next attempt open another microphone than the one before.
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
        surroundings: Callable[[], object] = lambda: None,
        forget: Callable[[], object] = lambda: None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.name = name
        self._open_source = open_source
        self._live = live
        self._finite = finite
        self._backoff = backoff or Backoff()
        self._surroundings = surroundings
        self._forget = forget
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._clock = clock
        self._stop = threading.Event()
        self._sleep = sleep or self._stop.wait
        self._queue = BlockQueue(queue_s)
        self._timeline = Timeline(name, live=live)
        self._tally = Tally(live=live, clock=clock)
        self._log = StateLog(name, clock)
        self._lock = threading.Lock()  # guards both
        self._source: AudioSource | None = None
        self._punctual: PunctualSource | None = None  # the same, if it is one
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
        return self._timeline.rate

    @property
    def progress(self) -> int:
        """Grows while the thread is alive, also while it waits to try again; for the watchdog."""
        return self._tally.progress

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
        return self._tally.status

    def accept_another_microphone(self) -> None:
        """Take whichever is there now, for good, if the one it knows is not being heard."""
        if not self.status().up:
            self._forget()

    def tell(self, announce: Callable[[], None]) -> None:
        """Have this called when audio is due, or the end: whoever reads may wait elsewhere."""
        self._queue.tell(announce)

    def expect(self, index: int) -> None:
        """Have audio announced once it has come up to this stream index: somebody waits for it.

        A block ends there, if the source can. It changes when audio comes, and nothing else.
        """
        self._queue.expect(index)
        with self._lock:
            source = self._punctual
        at = self._timeline.source_index(index)
        if source is not None and at is not None and at > 0:
            source.expect(at)

    @property
    def due(self) -> bool:
        """Whether it is time to take what there is."""
        return self._queue.due

    def take(self) -> Block | None:
        """Take what is there, up to half a second and a block of it; None if there is nothing."""
        return self._queue.take()

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
        self._tally.finished()

    def _run(self) -> None:
        failures = 0
        error: EdgeAsdError | None = None
        while not self._stop.is_set():
            around = self._surroundings()
            try:
                failed = self._attempt()
            except EdgeAsdError as caught:
                error = caught
                break
            if failed is None or self._stop.is_set():
                break
            failures = 1 if self._tally.heard_s > _STEADY_S else failures + 1
            if self._wait(self._backoff.delay_s(failures, self._rng), around):
                failures = 0
            if not self._stop.is_set():
                self._tally.again(failed)
        reason = str(error) if error else "closed" if self._stop.is_set() else "finished"
        logger.log(
            logging.ERROR if error else logging.INFO, "source=%s state=%s", self.name, reason
        )
        self._tally.finished(reason, error)
        self._queue.end()

    def _attempt(self) -> CaptureError | None:
        """Open the source and read it for as long as that goes well.

        Returns:
            Why it must be opened again; None at its end.

        Raises:
            EdgeAsdError: What opening it again cannot mend.
        """
        source: AudioSource | None = None
        failed: CaptureError | None = None
        self._tally.opening()
        try:
            source = self._open_source()
            self._read(source)
            failed = None if self._finite else CaptureError("the source ended")
        except CaptureError as caught:
            failed = caught
        except EdgeAsdError:
            raise
        except Exception as caught:
            # A source must not take its thread along silently, whatever it raises.
            logger.exception("source=%s event=unexpected_error", self.name)
            failed = CaptureError(f"unexpected {type(caught).__name__}: {caught}")
        finally:
            if failed is not None and not self._stop.is_set():
                # Before it is closed: a source that is wedged takes its time.
                self._tally.down(failed)
                self._log.down(str(failed))
            with self._lock:
                self._source = self._punctual = None
            if source is not None:
                self._close_source(source)
        return failed

    def _read(self, source: AudioSource) -> None:
        punctual = source if isinstance(source, PunctualSource) else None  # takes its time
        with self._lock:
            self._source, self._punctual = source, punctual
        if self._stop.is_set():  # closed while it was being opened
            return
        self._timeline.open(source.sample_rate)
        self._tally.opened(getattr(source, "device", ""), getattr(source, "identity", ""))
        try:
            for block in source.blocks():
                if self._stop.is_set():
                    return
                if self._tally.came(block, source.sample_rate):
                    device = self._tally.status.device
                    what = f" device={device!r}" if device else ""
                    self._log.up(f"rate={source.sample_rate}{what}")
                self._log.look()
                self._queue_all(self._timeline.push(block))
        finally:
            self._queue_all(self._timeline.close())

    def _queue_all(self, blocks: list[Block]) -> None:
        rate = self._timeline.rate or 1
        for block in blocks:
            self._tally.placed(
                block,
                rate,
                surplus_s=self._timeline.surplus_s,
                drift_ppm=self._timeline.drift_ppm,
            )
            duration_s = len(block.samples) / rate
            if not self._live:
                self._queue.put_waiting(block, duration_s, self._alive)
            elif self._tally.dropped(self._queue.put_dropping(block, duration_s), rate):
                logger.warning("source=%s event=dropping reason=worker_late", self.name)

    def _alive(self) -> bool:
        self._tally.alive()
        return not self._stop.is_set()

    def _wait(self, delay_s: float, around: object) -> bool:
        """Sleep in slices of a second, which count as progress; True if something has changed."""
        left = delay_s
        while left > 0.0 and self._alive():
            if self._surroundings() != around:
                self._sleep(_SETTLE_S)
                return True
            self._sleep(min(1.0, left))
            left -= 1.0
        return False

    def _close_source(self, source: AudioSource) -> None:
        try:
            source.close()
        except (EdgeAsdError, OSError) as error:
            logger.debug("source=%s event=close_failed error=%r", self.name, str(error))
