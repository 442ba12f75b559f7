"""A monitor's way to a profile: normal sound is recorded, then learned from elsewhere.

A profile is computed in a thread of its own, while no audio is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from edge_asd.errors import StorageError
from edge_asd.hearing.signal_health import SignalFault
from edge_asd.monitor.recorder import Recorder
from edge_asd.records import Block, State
from edge_asd.report.standing import Standing


class Baselining:
    """See the module; not thread-safe.

    Args:
        folder: Where the audio is recorded.
        channel: Which channel of the source, from 0.
        show: Told how it stands.
    """

    def __init__(self, folder: Path, channel: int, show: Callable[[Standing], None]) -> None:
        self.learning = False
        """Audio is not needed while a profile is computed."""
        self.given_up = False
        """It failed, and is not begun again by itself."""
        self._folder, self._channel, self._show = folder, channel, show
        self._recorder: Recorder | None = None
        self._reason = ""

    @property
    def recording(self) -> bool:
        """Whether normal sound is being recorded."""
        return self._recorder is not None

    @property
    def under_way(self) -> bool:
        """Whether sound is recorded or learned from."""
        return self.recording or self.learning

    @property
    def heard_s(self) -> float:
        """Normal sound recorded so far, seconds."""
        return 0.0 if self._recorder is None else self._recorder.heard_s

    @property
    def enough(self) -> bool:
        """Whether a profile can be learned from what was recorded, although more was wanted."""
        return self._recorder is not None and self._recorder.enough

    def start(self, rate: int, wanted_s: float) -> None:
        """Record so many seconds; what was recorded before is dropped.

        Raises:
            StorageError: The audio cannot be written.
        """
        self._recorder = Recorder(self._folder, rate, self._channel, wanted_s)
        self._tell(f"listening for {wanted_s:.0f} s")

    def push(self, block: Block, fault: SignalFault | None, *, usable: bool) -> bool:
        """Record a block.

        Args:
            block: As the source gave it.
            fault: What is wrong with the microphone.
            usable: Nothing may be learned from a microphone that does not work.

        Returns:
            True when all that is wanted was heard.

        Raises:
            ConfigError: The source does not have the channel.
            StorageError: The disk is full or not writable.
        """
        if self._recorder is None:
            return False
        if fault is not None and fault.reason != self._reason:
            self._tell(fault.reason)
        if not usable:
            return False
        if self._recorder.push(block):
            self._tell(f"{self._recorder.left_s:.0f} s to go")
        return self._recorder.done >= 1.0

    def lost(self, reason: str) -> None:
        """The source does not deliver; what was recorded is kept."""
        self._tell(reason)

    def learn(self) -> Path:
        """Finish the recording and return its folder; a profile is learned from it now.

        Raises:
            StorageError: The last of it cannot be written.
        """
        if self._recorder is None:
            raise RuntimeError("nothing is being recorded")
        folder = self._recorder.finish()
        self._recorder, self.learning = None, True
        self._show(Standing(State.BASELINING, "learning", progress=1.0))
        return folder

    def await_profile(self) -> None:
        """A profile is learned from other sound: what is being recorded is dropped."""
        self._recorder, self.learning = None, True
        self._show(Standing(State.BASELINING, "learning", progress=0.0))

    def end(self) -> None:
        """There is a profile, or there will be none: what is being recorded is dropped."""
        self._recorder, self.learning = None, False

    def stop(self) -> None:
        """The daemon ends: the recording is begun anew at the next start."""
        if self._recorder is not None:
            with contextlib.suppress(StorageError):
                self._recorder.finish()
            self._recorder = None

    def _tell(self, reason: str) -> None:
        if self._recorder is not None:
            self._reason = reason
            self._show(Standing(State.BASELINING, reason, progress=self._recorder.done))
