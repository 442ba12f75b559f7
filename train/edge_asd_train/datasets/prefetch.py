"""Batches made ahead by background threads, so that the device never waits for them."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from edge_asd_train.augment import Draws
from edge_asd_train.datasets.batches import Batches

_THREADS, _AHEAD = 4, 8
"""With an accelerator: threads that make batches, and how many steps they are ahead at most."""


class Prefetch:
    """Batches on the device, made ahead while it computes the one before.

    A batch is a pure function of its step, so that being ahead changes nothing. The queue holds a
    fixed number of steps; nothing is ever dropped from it: a thread that is ahead waits. Asking
    for another step than the next one empties it.

    Args:
        batches: Where batches come from.
        device: Where to.
    """

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self._batches = batches
        self._device = device
        accelerated = device.type != "cpu"
        # The processor's own training needs the cores itself: one batch ahead is enough there.
        self._ahead = _AHEAD if accelerated else 1
        self._queue: deque[tuple[int, Future[_Moved]]] = deque()
        self._pool = ThreadPoolExecutor(_THREADS if accelerated else 1, "batches")
        self._copies: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step on the device; see ``Batches.at``."""
        if self._queue and self._queue[0][0] != step:
            self._empty()
        first = self._queue[-1][0] + 1 if self._queue else step
        for coming in range(first, step + self._ahead + 1):
            self._queue.append((coming, self._pool.submit(self._make, coming)))
        _, future = self._queue.popleft()
        return future.result().received()

    def draws(self, step: int) -> Draws:
        """Random numbers for the step's augmentations, on the device; see ``Batches.draws``."""
        draws = self._batches.draws(step)
        return Draws(draws.generator, draws.rows, draws.batch, self._device)

    def close(self) -> None:
        """End the threads."""
        self._empty()
        self._pool.shutdown()

    def _empty(self) -> None:
        for _, future in self._queue:
            future.cancel()
        self._queue.clear()

    def _make(self, step: int) -> _Moved:
        waveforms, labels = self._batches.at(step)
        if self._copies is None:
            return _Moved(waveforms.to(self._device), labels.to(self._device))
        # Only from pinned memory does a copy run beside the computation, on a stream of its own.
        with torch.cuda.stream(self._copies):
            return _Moved(
                waveforms.pin_memory().to(self._device, non_blocking=True),
                labels.pin_memory().to(self._device, non_blocking=True),
                self._copies.record_event(),
            )


class _Moved:
    """A batch on its way to the device."""

    def __init__(
        self, waveforms: Tensor, labels: Tensor, copied: torch.cuda.Event | None = None
    ) -> None:
        self._tensors = (waveforms, labels)
        self._copied = copied

    def received(self) -> tuple[Tensor, Tensor]:
        """The tensors, safe to use in the current stream."""
        if self._copied is not None:
            stream = torch.cuda.current_stream(self._tensors[0].device)
            stream.wait_event(self._copied)
            for tensor in self._tensors:
                # Allocated by the stream of copies: not to be reused before this one is done.
                tensor.record_stream(stream)
        return self._tensors
