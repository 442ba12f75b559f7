"""The four rehearsals: what each one says that is not so, and how it takes it back.

Nothing of it enters history, ledger, calibration or the counters of alerts, and everything says
``rehearsal: true`` and a reason that begins with ``rehearsal:``. Only the one-word topics cannot
say so: ``alarm`` and, while the daemon stays away from the broker, ``status``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace

from edge_asd.health import Health, HealthBoard
from edge_asd.hearing.hearing import NO_AUDIO
from edge_asd.monitor.monitor import Monitor
from edge_asd.publish.mqtt import MqttSink
from edge_asd.records import Event, EventType, MicrophoneNotice, Severity, State
from edge_asd.report.report import Reporter
from edge_asd.report.standing import Standing

MARK = "rehearsal:"


class Drill(ABC):
    """One rehearsal; used by the worker's thread."""

    @abstractmethod
    def begin(self, now_s: float) -> None:
        """Say what is not so; steady time."""

    def half(self, now_s: float) -> None:  # noqa: B027 - most have no middle
        """Half of the time is over."""

    @abstractmethod
    def end(self, now_s: float, reason: str) -> None:
        """Take it back."""

    @abstractmethod
    def real(self) -> bool:
        """Whether the real thing is happening; then it is taken back at once."""


class AlarmDrill(Drill):
    """A whole alert: a warning, which becomes an alarm, and its end."""

    def __init__(self, monitor: Monitor, report: Reporter, event_id: str) -> None:
        self._monitor, self._report, self._id = monitor, report, event_id
        self._event: Event | None = None

    def begin(self, now_s: float) -> None:
        """Raise a warning."""
        profile = self._monitor.profile
        threshold = profile.calibration.threshold if profile else math.nan
        self._event = Event(
            id=self._id,
            type=EventType.NEW,
            severity=Severity.WARNING,
            state=State.WARNING,
            score=threshold,
            threshold=threshold,
            percentile=100.0,
            started_at=now_s,
            updated_at=now_s,
            duration_s=0.0,
            windows_scored=0,
            windows_gapped=0,
            nearest="",
            level_dbfs=math.nan,
            reason=f"{MARK} an alert",
        )
        self._say(self._event)

    def half(self, now_s: float) -> None:
        """Make it an alarm."""
        event, profile = self._timed(now_s), self._monitor.profile
        self._event = replace(
            event,
            type=EventType.UPDATE,
            severity=Severity.ALARM,
            state=State.ALARM,
            score=profile.calibration.alarm_threshold if profile else math.nan,
            reason=f"{MARK} the alert becomes worse",
        )
        self._say(self._event)

    def end(self, now_s: float, reason: str) -> None:
        """End the alert."""
        ended = replace(
            self._timed(now_s),
            type=EventType.END,
            state=self._monitor.standing.state,
            ended_at=now_s,
            reason=f"{MARK} {reason}",
        )
        self._report.states.rehearse(self._monitor.name, None)
        self._report.rehearsed_event(self._monitor.name, ended)

    def real(self) -> bool:
        """Whether there is an alert."""
        alert = self._monitor.alert
        return alert is not None and not alert.held

    def _timed(self, now_s: float) -> Event:
        if self._event is None:
            raise RuntimeError("not begun")
        return replace(
            self._event, updated_at=now_s, duration_s=max(0.0, now_s - self._event.started_at)
        )

    def _say(self, event: Event) -> None:
        standing = Standing(event.state, event.reason, score=event.score, event=event)
        self._report.rehearsed_event(self._monitor.name, event)
        self._report.states.rehearse(self._monitor.name, standing)


class MicrophoneDrill(Drill):
    """A microphone that is gone: its notice, its check, and state unknown."""

    def __init__(
        self, monitor: Monitor, report: Reporter, board: HealthBoard, notice_id: str
    ) -> None:
        self._monitor, self._report, self._board = monitor, report, board
        self._id, self._check = notice_id, f"microphone/{monitor.name}"
        self._notice: MicrophoneNotice | None = None

    def begin(self, now_s: float) -> None:
        """Tell that nothing is heard."""
        reason = f"{MARK} no audio: the microphone is unplugged"
        self._notice = MicrophoneNotice(
            self._id, EventType.NEW, NO_AUDIO, reason, now_s, now_s, duration_s=0.0
        )
        self._report.rehearsed_notice(self._monitor.name, self._notice)
        self._report.states.rehearse(self._monitor.name, Standing(State.UNKNOWN, reason))
        self._board.rehearse(self._check, Health.CRITICAL, reason)

    def end(self, now_s: float, reason: str) -> None:
        """Tell that all is well."""
        if self._notice is None:
            raise RuntimeError("not begun")
        ended = replace(
            self._notice,
            type=EventType.END,
            reason=f"{MARK} {reason}",
            updated_at=now_s,
            ended_at=now_s,
            duration_s=max(0.0, now_s - self._notice.started_at),
        )
        self._board.end_rehearsal(self._check)
        self._report.states.rehearse(self._monitor.name, None)
        self._report.rehearsed_notice(self._monitor.name, ended)

    def real(self) -> bool:
        """Whether the microphone is gone, or there is an alert."""
        alert = self._monitor.alert
        return self._monitor.hearing.open_notice is not None or (
            alert is not None and not alert.held
        )


class BrokerDrill(Drill):
    """The daemon leaves the broker without goodbye, so that the last will is told."""

    def __init__(
        self, mqtt: MqttSink, board: HealthBoard, monitors: list[Monitor], seconds: float
    ) -> None:
        self._mqtt, self._board, self._monitors = mqtt, board, monitors
        self._seconds = seconds
        self._known = _alerts(monitors)

    def begin(self, now_s: float) -> None:  # noqa: ARG002
        """Leave."""
        self._mqtt.leave(self._seconds)
        self._board.rehearse("mqtt", Health.WARNING, f"{MARK} the broker cannot be reached")

    def end(self, now_s: float, reason: str) -> None:  # noqa: ARG002
        """Come back; what was kept meanwhile is delivered."""
        self._board.end_rehearsal("mqtt")
        self._mqtt.come_back()

    def real(self) -> bool:
        """Whether there is an alert that must get through."""
        return bool(_alerts(self._monitors) - self._known)


class DiskDrill(Drill):
    """A full disk, as the checks tell of it; every event is stored all the same."""

    def __init__(self, board: HealthBoard, file: str) -> None:
        self._board, self._file = board, file

    def begin(self, now_s: float) -> None:  # noqa: ARG002
        """Say that the disk is full."""
        text = f"{MARK} {self._file}: database or disk is full: free space on its file system"
        self._board.rehearse("events", Health.CRITICAL, text)

    def end(self, now_s: float, reason: str) -> None:  # noqa: ARG002
        """Say how the disk really is."""
        self._board.end_rehearsal("events")

    def real(self) -> bool:
        """The board itself shows a real failure first."""
        return False


def _alerts(monitors: list[Monitor]) -> set[str]:
    found = [monitor.alert for monitor in monitors]
    return {alert.id for alert in found if alert is not None and not alert.held}
