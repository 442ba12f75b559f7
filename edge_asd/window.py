"""Cut a stream into overlapping windows that are contiguous in time."""

from __future__ import annotations

import numpy as np

from edge_asd.records import Block, FloatArray, Window


class Windower:
    """Re-block mono audio at the bundle's rate into windows.

    The result depends on the samples alone, never on how the driver happened to cut them. A jump
    in ``Block.start`` discards the partial window and starts a new run: a window that spans lost
    audio would score high for the wrong reason.

    Args:
        length: Window in samples.
        hop: Stride in samples, at most ``length``.
        sample_rate: Rate in hertz, to time-stamp windows.
        gain: Factor applied to every sample (the monitor's fixed gain).
    """

    def __init__(self, length: int, hop: int, sample_rate: int, gain: float = 1.0) -> None:
        if not 0 < hop <= length:
            raise ValueError(f"need 0 < hop <= length, got hop={hop}, length={length}")
        self.length = length
        self.hop = hop
        self.sample_rate = sample_rate
        self.gain = np.float32(gain)
        self.run = -1
        self._parts: list[FloatArray] = []  # pending audio, (n,) each
        self._pending = 0  # samples in _parts
        self._begun = 0  # stream index at which the run began
        self._start = 0  # stream index of the first pending sample
        self._captured_at = 0.0  # steady time of the first pending sample

    @property
    def end(self) -> int:
        """Stream index after the newest sample received."""
        return self._start + self._pending

    @property
    def done(self) -> int:
        """Stream index after the newest window of this run; its beginning before the first one."""
        return self._start - self.hop + self.length if self._start > self._begun else self._begun

    @property
    def due(self) -> int:
        """Stream index after the next window, if audio goes on without a gap."""
        return self._start + self.length

    @property
    def end_captured_at(self) -> float:
        """Steady time of that sample, seconds since 1970."""
        return self._captured_at + self._pending / self.sample_rate

    def push(self, block: Block) -> list[Window]:
        """Return every window that ``block`` completes, oldest first.

        Args:
            block: Mono audio, samples (n, 1), at the bundle's rate.
        """
        if self.run < 0 or block.start != self.end:
            self._begin(block)
        self._parts.append(block.samples[:, 0] * self.gain)  # (n, 1) -> (n,)
        self._pending += len(block.samples)
        # The newest block's clock is the best there is: it does not accumulate rounding.
        newest = block.captured_at - (block.start - self._start) / self.sample_rate
        self._captured_at = newest
        windows = []
        if self._pending >= self.length:
            # Nobody writes to it: windows are views. It is joined anew every hop on purpose: what
            # the stream before has just given back is still in the cache. A buffer of its own for
            # every stream made three hundred of them twice as slow.
            tail = np.concatenate(self._parts)
            tail.setflags(write=False)
            while len(tail) >= self.length:
                samples = tail[: self.length]
                windows.append(Window(samples, self._start, self.run, self._captured_at))
                tail = tail[self.hop :]
                self._start += self.hop
                self._captured_at += self.hop / self.sample_rate
            self._parts, self._pending = [tail], len(tail)
        return windows

    def _begin(self, block: Block) -> None:
        self.run += 1
        self._parts, self._pending = [], 0
        self._start, self._captured_at = block.start, block.captured_at
        self._begun = block.start


def clip_windows(samples: FloatArray, length: int, hop: int) -> tuple[list[int], FloatArray, bool]:
    """Windows of one clip: hop windows, the last one right-aligned; a short clip is tiled.

    Args:
        samples: The whole clip at the bundle's rate, shape (n,), n > 0.
        length: Window in samples.
        hop: Stride in samples.

    Returns:
        The windows' first samples, the windows (W, length) float32, and whether the clip was
        shorter than a window and therefore repeated to fill it.
    """
    if len(samples) < length:
        repeats = -(-length // len(samples))
        return [0], np.tile(samples, repeats)[None, :length], True
    starts = list(range(0, len(samples) - length + 1, hop))
    if starts[-1] + length < len(samples):
        starts.append(len(samples) - length)
    return starts, np.stack([samples[start : start + length] for start in starts]), False
