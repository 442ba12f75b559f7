"""Where blocks should end: with the sample that completes a window, not up to a block behind it.

A block goes on its way once it is complete. Short ones would be early and cost their handling fifty
times a second; so blocks stay long, and only the cut is moved to where somebody waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_asd.records import FloatArray


class Due:
    """Cuts a stream into blocks. One thread cuts, any other may say where.

    When samples are handed on depends on it, never which.
    """

    def __init__(self) -> None:
        self.index = 0
        """Stream index after the sample that is waited for; nothing once that has passed."""

    def length(self, start: int, usual: int) -> int:
        """Length of the block that begins at a stream index.

        The usual one, or at most half as much again, so that no block before it need be short.
        """
        left = self.index - start
        return left if 0 < left <= usual + usual // 2 else usual

    def parts(self, samples: FloatArray, start: int) -> list[FloatArray]:
        """A block (n, C) that begins at a stream index, in two where it is due inside of it."""
        left = self.index - start
        return [samples[:left], samples[left:]] if 0 < left < len(samples) else [samples]
