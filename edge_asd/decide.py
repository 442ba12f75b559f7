"""When a run of scores becomes an alert: a pure state machine driven by stream time.

Scores at or above the threshold for ``above_s`` within ``within_s`` raise; that is the same as the
k-th largest of the last n scores reaching the threshold, the statistic that was calibrated. An
alert ends once the statistic has stayed below ``clear_below`` for ``clear_s``. Thresholds come from
calibration; nothing is estimated here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge_asd.records import Event, EventType, Scored, Severity, State, Transition
from edge_asd.score.calibrate import Persistence


@dataclass(frozen=True, slots=True)
class Rules:
    """How persistence, hysteresis and repetition are handled."""

    persistence: Persistence
    hop_s: float
    clear_s: float
    """So long the statistic must stay low before an alert ends."""
    cooldown_s: float
    """After an alert has ended, no new one for so long."""
    update_s: float
    """An open alert is reported again after so long."""

    @property
    def within_s(self) -> float:
        """Span of the scores that count, seconds."""
        return self.persistence.n * self.hop_s


@dataclass(frozen=True, slots=True)
class Thresholds:
    """On the decision statistic."""

    warning: float
    alarm: float
    clear_below: float


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of the stream."""

    at_s: float
    """Stream time, seconds."""
    captured_at: float
    """Wall time, seconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What followed from one observation, in order."""

    transition: Transition | None = None
    event: Event | None = None
    statistic: float | None = None
    """k-th largest of the last n scores; None while fewer than k are there."""
    suppressed: bool = False
    """An alert was due but fell into the cool-down."""


class Decider:
    """One monitor's state; not thread-safe.

    Args:
        rules: Persistence and repetition.
        thresholds: From the profile's calibration.
        percentile: Share of held-out normal scores below a score, 0 to 100.
        new_id: Makes an event id from the wall time of its start.
        open_event: The alert that was open when the daemon last stopped: it goes on under its id.
    """

    def __init__(
        self,
        rules: Rules,
        thresholds: Thresholds,
        percentile: Callable[[float], float],
        new_id: Callable[[float], str],
        open_event: Event | None = None,
    ) -> None:
        self.rules = rules
        self.thresholds = thresholds
        self.state = State.UNKNOWN
        self.reason = "starting"
        self.event = open_event
        self.snoozed = False
        """An alert that begins is held back; see `release`."""
        self._percentile = percentile
        self._new_id = new_id
        self._recent: deque[tuple[float, float]] = deque(maxlen=rules.persistence.n)
        self._low_since_s: float | None = None
        self._ended_at_s: float | None = None
        self._event_from_s: float | None = None  # stream time at which its duration was zero
        self._reported_at_s = 0.0

    def scored(
        self, scored: Scored, sample_rate: int, *, may_clear: bool = True, hops: int = 1
    ) -> Decision:
        """Take in the score of one window.

        Args:
            scored: The window's score.
            sample_rate: Rate of its positions, hertz.
            may_clear: Whether a low score speaks for the machine; audio that is louder or more
                clipped than enrolled may raise an alert and never ends one.
            hops: Hops since the window scored before: under overload a score stands for the
                windows that were not scored, so that persistence keeps its meaning in seconds.
        """
        length_s = (scored.end - scored.start) / sample_rate
        now = Moment(scored.end / sample_rate, scored.captured_at + length_s)
        for back in range(hops - 1, -1, -1):
            self._recent.append((now.at_s - back * self.rules.hop_s, scored.score))
        oldest = now.at_s - (self.rules.persistence.n - 0.5) * self.rules.hop_s
        while self._recent[0][0] < oldest:
            self._recent.popleft()
        k = self.rules.persistence.k
        if len(self._recent) < k:
            return Decision()
        statistic = float(np.partition([score for _, score in self._recent], -k)[-k])
        if self.event is not None:
            self.event = replace(self.event, windows_scored=self.event.windows_scored + 1)
            return self._during_alert(now, statistic, scored, may_clear=may_clear)
        return self._while_quiet(now, statistic, scored)

    def set_state(self, state: State, reason: str, now: Moment) -> Decision:
        """Enter a state that does not come from scores: idle, unknown, baselining.

        Idle ends an open alert and forgets recent scores: what follows is another operation. An
        alert stays open while it is unknown how the machine sounds.
        """
        event = None
        self._low_since_s = None  # how low the score was meanwhile is not known
        if state is State.IDLE:
            self._recent.clear()
            event = self._end(now, "machine idle", state) if self.event else None
        return Decision(self._enter(state, reason, now), event)

    def forget(self) -> None:
        """Recent scores were made with other references: what follows counts from here."""
        self._recent.clear()
        self._low_since_s = None

    def go_by(
        self, rules: Rules, thresholds: Thresholds, percentile: Callable[[float], float]
    ) -> None:
        """Go on with scores of another kind, while no alert is open."""
        self.rules, self.thresholds, self._percentile = rules, thresholds, percentile
        self._recent = deque(maxlen=rules.persistence.n)
        self._low_since_s = None

    def gap(self, windows: int) -> None:
        """Windows were lost while an alert was open."""
        if self.event is not None:
            self.event = replace(self.event, windows_gapped=self.event.windows_gapped + windows)

    def finish(self, reason: str, now: Moment, state: State = State.UNKNOWN) -> Decision:
        """The stream is over, or not listened to any more: an open alert ends.

        Args:
            reason: Why.
            now: When.
            state: What is said from now on; as a rule that nothing is known any more.
        """
        event = self._end(now, reason, state) if self.event else None
        return Decision(self._enter(state, reason, now), event)

    # What operators say

    def acknowledge(self, by: str, now: Moment) -> Decision:
        """Somebody has taken note of the open alert; the first one counts."""
        if self.event is None or self.event.acked_by is not None:
            return Decision()
        self.event = replace(self.event, acked_by=by, acked_at=now.captured_at)
        return self.tell(now)

    def tell(self, now: Moment) -> Decision:
        """Report the open alert once more, because something about it changed."""
        if self.event is None:
            return Decision()
        self.event = replace(self._timed(self.event, now), type=EventType.UPDATE)
        return Decision(event=self.event)

    def release(self, now: Moment) -> Decision:
        """Raise the alert that was held back, if it is still known to be one."""
        alerting = self.state in (State.WARNING, State.ALARM)
        if self.event is None or not self.event.held or self.snoozed or not alerting:
            return Decision()
        self.event = replace(self._timed(self.event, now), type=EventType.NEW, held=False)
        return Decision(event=self.event)

    def _while_quiet(self, now: Moment, statistic: float, scored: Scored) -> Decision:
        if statistic < self.thresholds.warning:
            return Decision(self._enter(State.NORMAL, "", now), statistic=statistic)
        if self._ended_at_s is not None and now.at_s - self._ended_at_s < self.rules.cooldown_s:
            return Decision(statistic=statistic, suppressed=True)
        severity = self._severity(statistic)
        # The first of the k windows that were high began about here.
        above_s = self.rules.persistence.k * self.rules.hop_s
        started_at = now.captured_at - above_s
        self._event_from_s = now.at_s - above_s
        self.event = Event(
            id=self._new_id(started_at),
            type=EventType.NEW,
            severity=severity,
            state=State(severity.value),
            score=statistic,
            threshold=self.thresholds.warning,
            percentile=self._percentile(statistic),
            started_at=started_at,
            updated_at=now.captured_at,
            duration_s=above_s,
            windows_scored=len(self._recent),
            windows_gapped=0,
            nearest=scored.nearest,
            level_dbfs=scored.level_dbfs,
            held=self.snoozed,
        )
        self._low_since_s, self._reported_at_s = None, now.at_s
        transition = self._enter(self.event.state, f"score {statistic:.2f}", now)
        return Decision(transition, self.event, statistic)

    def _during_alert(
        self, now: Moment, statistic: float, scored: Scored, *, may_clear: bool
    ) -> Decision:
        if self.event is None:
            raise RuntimeError("no alert is open")
        if statistic >= self.thresholds.clear_below or not may_clear:
            self._low_since_s = None
        elif self._low_since_s is None:
            self._low_since_s = now.at_s
        if self._low_since_s is not None and now.at_s - self._low_since_s >= self.rules.clear_s:
            event = self._end(now, "score back to normal", State.NORMAL, statistic)
            return Decision(self._enter(State.NORMAL, "", now), event, statistic)
        severity = self.event.severity
        if self._severity(statistic) is Severity.ALARM:
            severity = Severity.ALARM  # an alert never grows milder while it lasts
        escalated = severity is not self.event.severity
        transition = self._enter(State(severity.value), f"score {statistic:.2f}", now)
        due = now.at_s - self._reported_at_s >= self.rules.update_s
        self.event = replace(self.event, severity=severity, state=State(severity.value))
        if not (escalated or due or transition):
            return Decision(statistic=statistic)
        self._reported_at_s = now.at_s
        self.event = replace(
            self._timed(self.event, now),
            type=EventType.UPDATE,
            score=statistic,
            percentile=self._percentile(statistic),
            nearest=scored.nearest,
            level_dbfs=scored.level_dbfs,
        )
        return Decision(transition, self.event, statistic)

    def _severity(self, statistic: float) -> Severity:
        return Severity.ALARM if statistic >= self.thresholds.alarm else Severity.WARNING

    def _timed(self, event: Event, now: Moment) -> Event:
        if self._event_from_s is None:  # restored: time while the daemon was away does not count
            self._event_from_s = now.at_s - event.duration_s
        return replace(event, updated_at=now.captured_at, duration_s=now.at_s - self._event_from_s)

    def _end(self, now: Moment, reason: str, state: State, statistic: float | None = None) -> Event:
        if self.event is None:
            raise RuntimeError("no alert is open")
        ended = replace(
            self._timed(self.event, now),
            type=EventType.END,
            state=state,
            score=self.event.score if statistic is None else statistic,
            ended_at=now.captured_at,
            reason=reason,
        )
        self.event, self._event_from_s, self._low_since_s = None, None, None
        self._ended_at_s = now.at_s
        return ended

    def _enter(self, state: State, reason: str, now: Moment) -> Transition | None:
        changed = state is not self.state or (state is State.UNKNOWN and reason != self.reason)
        previous, self.state, self.reason = self.state, state, reason
        if not changed:
            return None
        return Transition(state, previous, now.at_s, now.captured_at, reason)
