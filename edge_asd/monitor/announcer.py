"""What was decided about a machine, told: its standing, changes of state, and steps of an alert."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge_asd.decide import Decider, Decision, Moment
from edge_asd.profile import Profile
from edge_asd.records import Scored, State
from edge_asd.report.report import Reporter
from edge_asd.report.standing import Standing

logger = logging.getLogger(__name__)


class Announcer:
    """See the module; not thread-safe.

    Args:
        name: The monitor.
        decider: Whose decisions these are.
        profile: The one in force.
        report: The sinks.
    """

    def __init__(
        self, name: str, decider: Decider, profile: Callable[[], Profile], report: Reporter
    ) -> None:
        self.standing = Standing(State.UNKNOWN, "starting", event=decider.event)
        self._name, self._decider = name, decider
        self._profile, self._report = profile, report
        self._held_back = False  # an alert was due but fell into the cool-down

    def publish(self) -> None:
        """Show how it stands."""
        self._report.state(self._name, self.standing, self._profile())

    def tell(self, decision: Decision, scored: Scored | None = None) -> None:
        """Tell what was decided; ``scored``: the window it was decided on, if it was one."""
        if decision.suppressed and not self._held_back:
            self._report.metrics.alert_suppressed(self._name, "cooldown")
        if scored is not None:  # an alert that is held back is one, however many windows it lasts
            self._held_back = decision.suppressed
        if decision.event is not None:
            self._report.event(
                self._name,
                decision.event,
                self._profile(),
                self.standing.event,
                of_window=scored is not None,
            )
        self._stand(scored)
        if decision.transition is not None:
            logger.info(
                "monitor=%s state=%s previous=%s reason=%r",
                self._name,
                self.standing.state.value,
                decision.transition.previous.value,
                decision.transition.reason,
            )
        if decision.transition is not None or decision.event is not None:
            self.publish()

    def acknowledge(self, by: str, now: Moment) -> None:
        """Somebody has taken note of the alert."""
        self.tell(self._decider.acknowledge(by, now))

    def snooze(self, now: Moment, *, snoozed: bool) -> None:
        """A snooze begins, ends, or ends later: whoever knows of an open alert is told."""
        self._decider.snoozed = snoozed
        event = self._decider.event
        if event is not None and not event.held:
            self.tell(self._decider.tell(now))
        self.release(now)

    def release(self, now: Moment) -> None:
        """Raise an alert that a snooze held back, once it is over."""
        decision = self._decider.release(now)
        if decision.event is not None:
            self.tell(decision)

    def _stand(self, scored: Scored | None) -> None:
        decider, before = self._decider, self.standing
        score, percentile = before.score, before.percentile
        if scored is not None:
            score, percentile = scored.score, self._profile().percentile(scored.score)
        self.standing = Standing(
            decider.state, decider.reason, score, percentile, event=decider.event
        )
