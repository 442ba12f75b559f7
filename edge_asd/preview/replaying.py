"""Stored scores once more through the state machine: which alerts would other thresholds give?

The machine is `edge_asd.decide.Decider` itself. Only where something may happen is it given the
scores (`edge_asd.preview.reached` knows where); what is left out would have changed nothing that
comes out here. Thresholds stay the same over all of the history, also where recalibration moved
them then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from edge_asd.books.history_file import Mark
from edge_asd.decide import Decider, Decision, Moment, Rules, Thresholds
from edge_asd.preview.reached import Reached
from edge_asd.preview.stretches import Stretch
from edge_asd.records import Event, EventType, Scored, Severity, State

Progress = Callable[[float], None]
"""Told the share that is done."""

_STATES = {Mark.IDLE: State.IDLE, Mark.UNKNOWN: State.UNKNOWN}
_TOLD_EVERY = 4096  # windows


@dataclass(frozen=True, slots=True)
class WouldBeAlert:
    """An alert that would have been raised."""

    started_at: float
    """Wall time, seconds since 1970 UTC."""
    ended_at: float | None
    """None where it was going on at the end of the history."""
    duration_s: float
    """While the daemon ran; an alert that went on over a restart is not timed in between."""
    severity: Severity
    """The worst it reached."""
    peak: float
    """The largest decision statistic."""


def replay(
    stretches: Sequence[Stretch],
    rules: Rules,
    thresholds: Thresholds,
    rate: int,
    progress: Progress = lambda _: None,
) -> list[WouldBeAlert]:
    """Find the alerts that these thresholds would have given, in the order of time.

    Args:
        stretches: From ``stretches_of``.
        rules: Persistence and repetition.
        thresholds: Of the decision statistic.
        rate: Of the stream indices, hertz.
        progress: Told how far it is, now and then.
    """
    alerts: list[WouldBeAlert] = []
    total = max(1, sum(len(stretch.ends) for stretch in stretches))
    done = 0
    left: _Open | None = None
    for stretch in stretches:
        if left is not None and not stretch.goes_on:
            alerts.append(left.alert(ended=True))
            left = None
        run = _Run(stretch, rules, thresholds, rate, left)
        left = run.replay(partial(_tell, progress, done, total))
        alerts += run.alerts
        done += len(stretch.ends)
        progress(done / total)
    if left is not None:
        alerts.append(left.alert(ended=False))
    return alerts


def _tell(progress: Progress, before: int, total: int, count: int) -> None:
    progress((before + count) / total)


@dataclass(frozen=True, slots=True)
class _Open:
    """An alert at the end of a stretch."""

    event: Event
    ended: Event
    """As it would be if it ended there."""
    peak: float

    def alert(self, *, ended: bool) -> WouldBeAlert:
        return WouldBeAlert(
            self.ended.started_at,
            self.ended.ended_at if ended else None,
            self.ended.duration_s,
            self.ended.severity,
            self.peak,
        )


class _Run:
    """One stretch through one state machine."""

    def __init__(
        self,
        stretch: Stretch,
        rules: Rules,
        thresholds: Thresholds,
        rate: int,
        left: _Open | None,
    ) -> None:
        self.alerts: list[WouldBeAlert] = []
        self._stretch, self._n, self._rate = stretch, rules.persistence.n, rate
        self._left = left
        self._decider = Decider(
            rules,
            thresholds,
            lambda _: float("nan"),  # neither percentiles nor ids are asked for
            lambda _: "",
            # What the restart took is not part of its duration.
            None if left is None else replace(left.event, duration_s=left.ended.duration_s),
        )
        resets = [mark.index for mark in stretch.marks if mark.mark is Mark.IDLE]
        self._reached = Reached(stretch.ends / rate, stretch.scores, stretch.hops, resets, rules)
        everything = slice(0, len(stretch.ends))
        self._warning = self._reached.level(thresholds.warning, everything)
        self._low = ~self._reached.level(thresholds.clear_below, everything)
        self._turns = self._low | self._reached.level(thresholds.alarm, everything)
        self._fed = 0  # windows before this one were given to the state machine, or need not be
        self._timed = left is None  # a restored alert is timed from the first statistic on
        self._from = 0  # window from which the open alert's peak is still to be found
        self._peak = float("-inf") if left is None else left.peak

    def replay(self, progress: Callable[[int], None]) -> _Open | None:
        """Go through all of it; the alert that is open at its end."""
        for mark in self._stretch.marks:
            self._until(mark.index, progress)
            moment = Moment(mark.end / self._rate, mark.wall_s)
            self._took(self._decider.set_state(_STATES[mark.mark], "", moment), mark.index)
            if mark.mark is Mark.IDLE:
                self._fed = mark.index
        count = len(self._stretch.ends)
        self._until(count, progress)
        event = self._decider.event
        if event is None or not count:
            return self._left if event is not None else None
        last = Moment(int(self._stretch.ends[-1]) / self._rate, float(self._stretch.wall_s[-1]))
        ended = self._decider.finish("", last).event
        if ended is None:
            raise RuntimeError("an open alert did not end")
        return _Open(event, ended, self._highest(count))

    def _until(self, end: int, progress: Callable[[int], None]) -> None:
        told = self._fed
        while (at := self._next(end)) < end:
            if at - self._fed >= 2 * self._n:
                # What the machine remembers is older than it looks back. It is given the n windows
                # before; they must not clear: their statistic is still made of too few scores.
                for window in range(at - self._n, at):
                    self._feed(window, may_clear=False)
                self._fed = at
            for window in range(self._fed, at + 1):
                self._feed(window, may_clear=True)
            self._fed = at + 1
            if at - told >= _TOLD_EVERY:
                told = at
                progress(at)

    def _next(self, end: int) -> int:
        """First window that may change something: raise, escalate, end an alert."""
        event = self._decider.event
        if event is None:
            mask = self._warning
        elif not self._timed:
            return self._fed
        else:
            mask = self._turns if event.severity is Severity.WARNING else self._low
        found = mask[self._fed : end]
        step = int(found.argmax()) if len(found) else 0
        return self._fed + step if len(found) and found[step] else end

    def _feed(self, window: int, *, may_clear: bool) -> None:
        end = int(self._stretch.ends[window])
        scored = Scored(  # of no length: its end is where it is
            start=end,
            end=end,
            captured_at=float(self._stretch.wall_s[window]),
            score=float(self._stretch.scores[window]),
            level_dbfs=0.0,
            nearest="",
        )
        hops = int(self._stretch.hops[window])
        decision = self._decider.scored(scored, self._rate, may_clear=may_clear, hops=hops)
        self._timed = self._timed or decision.statistic is not None
        self._took(decision, window)

    def _took(self, decision: Decision, window: int) -> None:
        event = decision.event
        if event is None:
            return
        if event.type is EventType.NEW:
            self._from, self._peak = window, float("-inf")
        elif event.type is EventType.END:
            self.alerts.append(
                WouldBeAlert(
                    event.started_at,
                    event.ended_at,
                    event.duration_s,
                    event.severity,
                    self._highest(window),
                )
            )
            self._timed = True

    def _highest(self, end: int) -> float:
        """Largest statistic of the open alert before a window."""
        return max(self._peak, self._reached.peak(slice(self._from, end)))
