"""Normal sound on its way to a profile: recorded piece by piece, with progress."""

from __future__ import annotations

from pathlib import Path

from edge_asd.enrolment.enrol import MIN_AUDIO_S
from edge_asd.errors import ConfigError
from edge_asd.profile.reservoir import PieceWriter
from edge_asd.records import Block

PROGRESS_EVERY = 0.05
"""Progress is told in steps of this share."""


class Recorder:
    """Records one channel until enough was heard; not thread-safe.

    Args:
        folder: Where the pieces go; what an earlier recording left there is removed.
        rate: Rate of the source in hertz.
        channel: Which of its channels, from 0.
        wanted_s: How much is wanted, seconds.

    Raises:
        StorageError: The audio cannot be written.
    """

    def __init__(self, folder: Path, rate: int, channel: int, wanted_s: float) -> None:
        self.wanted_s = wanted_s
        self._channel = channel
        self._writer = PieceWriter(folder, rate, channel)
        self._told = 0.0

    @property
    def heard_s(self) -> float:
        """Audio recorded so far, seconds."""
        return self._writer.written_s

    @property
    def left_s(self) -> float:
        """Audio still wanted, seconds."""
        return max(0.0, self.wanted_s - self.heard_s)

    @property
    def done(self) -> float:
        """Share of what is wanted, 0 to 1."""
        return min(1.0, self.heard_s / self.wanted_s)

    @property
    def enough(self) -> bool:
        """Whether a profile can be learned from what is there, although more was wanted."""
        return self.heard_s >= MIN_AUDIO_S

    def push(self, block: Block) -> bool:
        """Record a block; True when it is time to tell of the progress.

        Raises:
            ConfigError: The source does not have the channel.
            StorageError: The disk is full or not writable.
        """
        channels = block.samples.shape[1]
        if self._channel >= channels:
            raise ConfigError(
                f"channel {self._channel} is asked for, but the source has {channels} (counted "
                "from 0); choose one of them, or open the source with channels="
            )
        self._writer.push(block)
        if self.done - self._told < PROGRESS_EVERY:
            return False
        self._told = self.done
        return True

    def finish(self) -> Path:
        """End the recording and return its folder.

        Raises:
            StorageError: The last of it cannot be written.
        """
        self._writer.close()
        return self._writer.folder
