"""When a microphone that does not work deserves a notice, and when that notice ends.

Apart from what the machine does: nobody who waits for the machine's alerts has to read these, and
whoever keeps microphones alive gets them once, with an end. Pure, driven by steady time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_asd.records import EventType, MicrophoneNotice


@dataclass(frozen=True, slots=True)
class Outage:
    """What is wrong with a microphone right now."""

    fault: str
    """``no_audio``, or a flaw of the signal."""
    reason: str
    """For people."""
    since_s: float | None = None
    """Steady time of the first sound that is missing; None for the moment it is told of."""


class OutageNotices:
    """New and end of outages that last; not thread-safe.

    Args:
        notify_after_s: An outage this long is told; a shorter one is only a state.
        new_id: Makes an id from the steady time of its start.
        open_notice: The notice that was open when the daemon last stopped: it goes on.
    """

    def __init__(
        self,
        notify_after_s: float,
        new_id: Callable[[float], str],
        open_notice: MicrophoneNotice | None = None,
    ) -> None:
        self.notify_after_s = notify_after_s
        self._new_id = new_id
        self._open = open_notice
        self._since_s: float | None = None if open_notice is None else open_notice.started_at

    @property
    def open(self) -> MicrophoneNotice | None:
        """The notice that has not ended."""
        return self._open

    def update(self, outage: Outage | None, now_s: float) -> MicrophoneNotice | None:
        """Take in how the microphone is; what has to be told now, if anything.

        A fault that turns into another one is one outage: its notice names the first.
        """
        if outage is None:
            self._since_s = None
            return self._end(now_s)
        if self._since_s is None:
            self._since_s = now_s if outage.since_s is None else outage.since_s
        if self._open is not None or now_s - self._since_s < self.notify_after_s:
            return None
        self._open = MicrophoneNotice(
            id=self._new_id(self._since_s),
            type=EventType.NEW,
            fault=outage.fault,
            reason=outage.reason,
            started_at=self._since_s,
            updated_at=now_s,
            duration_s=max(0.0, now_s - self._since_s),
        )
        return self._open

    def _end(self, now_s: float) -> MicrophoneNotice | None:
        if self._open is None:
            return None
        ended = replace(
            self._open,
            type=EventType.END,
            updated_at=now_s,
            ended_at=now_s,
            duration_s=max(0.0, now_s - self._open.started_at),
        )
        self._open = None
        return ended
