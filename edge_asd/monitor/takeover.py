"""A pipeline that takes the place of another one in the middle of a stream.

It hears the newest sound once more, as far back as it needs, so that the next window is scored as
if it had listened from the beginning: on the same grid, with every sample that belongs to it. What
the other one has judged is not judged again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from edge_asd.capture import Resampler
from edge_asd.records import Block

SETTLE_S = 0.1
"""A resampler that begins in the middle of a stretch sounds like one that did not, so soon."""
_SPARE_S = 1.0


class Retained:
    """The newest uninterrupted sound of a stream; not thread-safe.

    Args:
        seconds: So much is wanted; a little more is kept.
    """

    def __init__(self, seconds: float) -> None:
        self.rate = 0
        """Hertz."""
        self._wanted_s = seconds
        self._blocks: deque[Block] = deque()
        self._samples = 0

    def push(self, block: Block, rate: int) -> None:
        """Take in a block, which must not change; after lost audio this begins anew."""
        if rate != self.rate or block.overflowed or block.start != self.end:
            self._blocks.clear()
            self.rate, self._samples = rate, 0
        self._blocks.append(replace(block, overflowed=False))
        self._samples += len(block.samples)
        wanted = math.ceil((self._wanted_s + _SPARE_S) * rate)
        while self._samples - len(self._blocks[0].samples) >= wanted:
            self._samples -= len(self._blocks.popleft().samples)

    @property
    def start(self) -> int | None:
        """Stream index of the oldest sample; None where there is none."""
        return self._blocks[0].start if self._blocks else None

    @property
    def end(self) -> int | None:
        """Stream index after the newest sample; None where there is none."""
        return None if self.start is None else self.start + self._samples

    def reaches(self, begun: int) -> bool:
        """Whether all that is wanted is there, or all there is since a stream index."""
        if self.start is None:
            return False
        return self.start <= begun or self._samples >= self._wanted_s * self.rate

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The sound from a stream index on, as the source gave it."""
        for block in self._blocks:
            skipped = max(0, start - block.start)
            if skipped < len(block.samples):
                yield _without(block, skipped, self.rate)


def heard_again(retained: Retained, resampler: Resampler, begun: int, hop: int) -> Iterator[Block]:
    """The retained sound at another rate, from the first whole hop on.

    Args:
        retained: The sound.
        resampler: A fresh one; what follows continues in it.
        begun: Index of the source at which the uninterrupted sound began, and with it the grid of
            the windows.
        hop: Of the windows, in samples at the new rate.
    """
    source, target = resampler.source_rate, resampler.target_rate
    # Only where both rates share a sample may it begin: else the grid would move.
    step = source // math.gcd(source, target)
    skipped = step * -(-max(0, (retained.start or 0) - begun) // step)
    settling = round(SETTLE_S * target) if skipped and source != target else 0
    hops = -(-(skipped * target // source + settling) // hop)
    first = (2 * begun * target + source) // (2 * source) + hops * hop  # rounded as there
    for block in retained.blocks(begun + skipped):
        out = resampler.push(block)
        resampler.join(begun)
        for made in out:
            if made.start + len(made.samples) > first:
                yield _without(made, max(0, first - made.start), target)


def _without(block: Block, skipped: int, rate: int) -> Block:
    """A block less its first samples."""
    if not skipped:
        return block
    return replace(
        block,
        samples=block.samples[skipped:],
        start=block.start + skipped,
        captured_at=block.captured_at + skipped / rate,
    )
