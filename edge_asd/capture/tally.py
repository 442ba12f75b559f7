"""What a capture thread has counted, for all who ask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from edge_asd.capture.status import CaptureStatus
from edge_asd.errors import CaptureError, EdgeAsdError, StallError
from edge_asd.records import Block

SILENT_S = 2.0
"""A live source that delivers nothing for so long is down, whatever it is waiting for."""


class Tally:
    """Status and counters of a source; written by its thread, read by any.

    Args:
        live: Silence is a fault; otherwise the source may be waiting for its reader.
        clock: Monotonic seconds.
    """

    def __init__(self, *, live: bool, clock: Callable[[], float]) -> None:
        self._live, self._clock = live, clock
        self._lock = threading.Lock()
        self._status = CaptureStatus()
        self._progress = 0
        self._end: int | None = None  # stream index after the newest block, None before the first
        self._heard_s = 0.0

    @property
    def heard_s(self) -> float:
        """Audio since the source was last opened."""
        return self._heard_s

    @property
    def progress(self) -> int:
        """Grows with every sign of life."""
        with self._lock:
            return self._progress

    @property
    def status(self) -> CaptureStatus:
        """How the source is doing right now."""
        with self._lock:
            status = self._status
        last_s = status.last_block_monotonic
        if self._live and status.up and last_s is not None and self._clock() - last_s > SILENT_S:
            return replace(status, up=False, reason=f"silent for more than {SILENT_S:g} s")
        return status

    def alive(self) -> None:
        """The thread waits, and is well."""
        with self._lock:
            self._progress += 1

    def opening(self) -> None:
        """The source is about to be opened."""
        self._heard_s = 0.0

    def opened(self, device: str, identity: str) -> None:
        """It is open; whether it delivers is not known yet."""
        self._update(device=device, identity=identity)

    def came(self, block: Block, rate: int) -> bool:
        """Count a block as the source gave it; True for the first since the opening."""
        first = self._heard_s == 0.0
        self._heard_s += len(block.samples) / rate
        with self._lock:
            self._progress += 1
            self._status = replace(
                self._status,
                up=True,
                reason="",
                overflows=self._status.overflows + block.overflowed,
                last_block_monotonic=self._clock(),
            )
        return first

    def placed(self, block: Block, rate: int, *, surplus_s: float, drift_ppm: float | None) -> None:
        """Count a block whose place in the stream is known, and what is missing before it."""
        lost = 0 if self._end is None else max(0, block.start - self._end)
        self._end = block.start + len(block.samples)
        with self._lock:
            self._status = replace(
                self._status,
                frames=self._status.frames + len(block.samples),
                lost_s=self._status.lost_s + lost / rate,
                surplus_s=surplus_s,
                drift_ppm=drift_ppm,
            )

    def dropped(self, blocks: list[Block], rate: int) -> bool:
        """Count blocks that the worker did not take in time; True for the first ones."""
        lost_s = sum(len(block.samples) for block in blocks) / rate
        with self._lock:
            before = self._status
            self._status = replace(
                before,
                dropped_blocks=before.dropped_blocks + len(blocks),
                lost_s=before.lost_s + lost_s,
            )
        return bool(blocks) and not before.dropped_blocks

    def down(self, failed: CaptureError) -> None:
        """It does not deliver, for now."""
        self._update(up=False, reason=str(failed))

    def again(self, failed: CaptureError) -> None:
        """It is opened again."""
        if not self._heard_s:
            self._count("open_failed")
        elif isinstance(failed, StallError):
            self._count("stalled")
        else:
            self._count("exited")

    def finished(self, reason: str | None = None, error: EdgeAsdError | None = None) -> None:
        """Nothing more will come; without a reason, the one that there is stays."""
        changes: dict[str, object] = {} if reason is None else {"reason": reason, "error": error}
        self._update(up=False, finished=True, **changes)

    def _count(self, counter: str) -> None:
        with self._lock:
            count = getattr(self._status, counter) + 1
            self._status = replace(self._status, **{counter: count})

    def _update(self, **changes: object) -> None:
        with self._lock:
            self._status = replace(self._status, **changes)  # type: ignore[arg-type]
