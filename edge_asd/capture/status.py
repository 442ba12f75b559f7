"""How a source is doing."""

from __future__ import annotations

from dataclasses import dataclass

from edge_asd.capture.drift import PLAUSIBLE_PPM
from edge_asd.errors import EdgeAsdError

STARTING = "starting"


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """How a source is doing; counters run from the start of the thread."""

    up: bool = False
    reason: str = STARTING
    """Why it is not up; empty when it is."""
    open_failed: int = 0
    """Times it was opened again because it had not delivered anything."""
    stalled: int = 0
    """Times it was opened again because no block came in time."""
    exited: int = 0
    """Times it was opened again because it ended or failed."""
    frames: int = 0
    """Samples a channel received, dropped ones included."""
    overflows: int = 0
    """Blocks before which the driver lost audio."""
    lost_s: float = 0.0
    """Audio that never reached the worker: driver losses, restarts and dropped blocks."""
    surplus_s: float = 0.0
    """Audio that came although there was no time for it to be captured in."""
    drift_ppm: float | None = None
    """How much faster than it claims the source delivers, in millionths; None until known."""
    device: str = ""
    """What was opened last, as its driver calls it."""
    identity: str = ""
    """Which microphone that is, the same whenever it is opened; empty where sources have none."""
    dropped_blocks: int = 0
    """Blocks thrown away because the worker did not take them in time."""
    last_block_monotonic: float | None = None
    """When the newest block came, on the monotonic clock."""
    finished: bool = False
    """Nothing more will come."""
    error: EdgeAsdError | None = None
    """Why it finished, if that was a failure."""

    @property
    def starting(self) -> bool:
        """Being opened for the first time: neither well nor failed."""
        return not self.up and self.reason == STARTING

    @property
    def restarts(self) -> int:
        """Times it was opened again, for whatever reason."""
        return self.open_failed + self.stalled + self.exited

    @property
    def warning(self) -> str:
        """What is wrong although it delivers; empty when nothing is."""
        if self.drift_ppm is None or abs(self.drift_ppm) <= PLAUSIBLE_PPM:
            return ""
        percent, what = abs(self.drift_ppm) / 1e4, "more" if self.drift_ppm > 0 else "less"
        return f"delivers {percent:.2g} % {what} audio than its rate says; check rate="
