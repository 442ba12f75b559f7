"""One source and the monitors that listen to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_asd.capture import CaptureThread
from edge_asd.monitor.monitor import Monitor


@dataclass(slots=True, eq=False)
class Feed:
    """One source and the monitors that listen to it."""

    capture: CaptureThread
    monitors: Sequence[Monitor]
    live: bool
    """It does not wait for us."""
    done: bool = False
    """Spent, and every monitor has heard its end."""
    down: str = ""
    """Why it does not deliver, as told to the monitors."""
    dropped_blocks: int = 0
    """Of the capture thread, as last seen."""
    channels: int = 1
    """That a microphone was opened with."""

    @property
    def source(self) -> str:
        """What it reads."""
        return self.monitors[0].config.source

    def expect(self) -> None:
        """Tell the source which sample the monitors wait for."""
        dues = [due for monitor in self.monitors if (due := monitor.due()) is not None]
        if dues:
            self.capture.expect(min(dues))

    def was_dropped(self) -> bool:
        """Whether blocks were dropped since the last call."""
        seen, self.dropped_blocks = self.dropped_blocks, self.capture.status().dropped_blocks
        return self.dropped_blocks > seen
