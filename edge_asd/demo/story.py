"""What should happen, what did happen, and whether the two agree.

The times of the fault come from the plan, which the daemon does not know; everything else comes
from messages of the broker.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from edge_asd.demo.plan import FAULT_TEXT, Plan
from edge_asd.demo.subscriber import Message


class Step(Enum):
    """Where the story is."""

    STARTING = "starting"
    ENROLLING = "enrolling"
    LEARNING = "learning"
    NORMAL = "normal"
    FAULT = "fault"
    REPAIRED = "repaired"


@dataclass(slots=True)
class Alert:
    """One alert as the subscriber saw it; times are stream time on arrival."""

    id: str
    raised_s: float
    first: str
    """Severity when it was raised."""
    severity: str
    score: float
    threshold: float
    highest: float
    alarm_s: float | None = None
    """When it became, or began as, an alarm."""
    ended_s: float | None = None


class Story:
    """Follows the messages; see the module.

    Args:
        plan: What the simulation does.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state = "unknown"
        self.reason = "starting"
        self.progress = 0.0
        self.alerts: list[Alert] = []
        self.messages = 0
        self.listening_s: float | None = None
        """When the first score arrived: the profile was learned."""
        self._enrolled = False
        self._failure = ""

    def take(self, message: Message, at_s: float) -> None:
        """Take in a message.

        Args:
            message: As it arrived.
            at_s: Stream time of its arrival.
        """
        self.messages += 1
        fields = message.fields
        if message.leaf == "state":
            self._state(fields)
        elif message.leaf == "score":
            self._listening(at_s)
        elif message.leaf == "event":
            self._event(fields, at_s)

    def step(self, at_s: float) -> Step:
        """Where the story is at a stream time."""
        if self.listening_s is None and self.state != "baselining":
            return Step.LEARNING if self._enrolled else Step.STARTING
        if self.state == "baselining":
            return Step.LEARNING if self.progress >= 1.0 else Step.ENROLLING
        if at_s < self.plan.onset_s:
            return Step.NORMAL
        return Step.FAULT if at_s < self.plan.clear_s else Step.REPAIRED

    def describe(self, at_s: float) -> str:
        """The step in a few words."""
        plan = self.plan
        severity = plan.severity_at(at_s)
        return {
            Step.STARTING: "the daemon starts",
            Step.ENROLLING: f"enrolling: {self.progress:.0%} of {plan.enrol_s:.0f} s normal sound",
            Step.LEARNING: "enrolling: computing the profile",
            Step.NORMAL: "normal: the pump is healthy",
            Step.FAULT: (
                f"fault creeping in ({FAULT_TEXT}): severity {severity:.0%}"
                if severity < 1.0
                else f"fault ({FAULT_TEXT}): full severity"
            ),
            Step.REPAIRED: "repaired: the pump is healthy again",
        }[self.step(at_s)]

    @property
    def alert(self) -> Alert | None:
        """The first alert raised while the fault could be heard."""
        return next((a for a in self.alerts if self._deserved(a)), None)

    @property
    def false_alarms(self) -> list[Alert]:
        """Alerts raised while the pump was healthy."""
        return [a for a in self.alerts if not self._deserved(a)]

    def over(self, at_s: float) -> bool:
        """Whether nothing more is expected: the all-clear came and stayed, or time is up."""
        alert = self.alert
        if self._failure or at_s >= self.plan.end_s:
            return True
        if alert is None or alert.ended_s is None:
            return False
        settled_s = max(alert.ended_s, self.plan.clear_s) + self.plan.window_s
        return at_s >= settled_s and self.state == "normal"

    def problems(self) -> list[str]:
        """What did not come out, in the order it should have; empty when all is well."""
        if self._failure:
            return [self._failure]
        plan, alert = self.plan, self.alert
        ready_s = plan.onset_s - plan.window_s - plan.alert.within_s
        if self.listening_s is None or self.listening_s > ready_s:
            late = (
                "learning took too long for this computer, the fault began before enough normal "
                f"sound was heard; try again with --speed {plan.speed / 2:g}"
            )
            return [late]
        found = [f"false alarm at {clock(a.raised_s)}" for a in self.false_alarms]
        if alert is None:
            found.append(f"no alert, although the fault began at {clock(plan.onset_s)}")
        elif alert.ended_s is None:
            found.append(f"no all-clear, although the repair was at {clock(plan.clear_s)}")
        elif alert.ended_s < plan.clear_s:
            found.append(f"the alert ended at {clock(alert.ended_s)}, before the repair")
        return found

    def _deserved(self, alert: Alert) -> bool:
        # The last windows that hold the fault are decided on a while after the repair.
        plan = self.plan
        over_s = plan.clear_s + plan.window_s + plan.alert.within_s
        return plan.onset_s <= alert.raised_s < over_s

    def _state(self, fields: dict[str, Any]) -> None:
        self.state = str(fields.get("state", "unknown"))
        self.reason = str(fields.get("reason", ""))
        self.progress = float(fields.get("progress") or 0.0)
        self._enrolled |= self.progress >= 1.0
        if self.state == "unknown" and self.reason.startswith("enrolment failed"):
            self._failure = self.reason

    def _listening(self, at_s: float) -> None:
        if self.listening_s is None:
            self.listening_s = at_s

    def _event(self, fields: dict[str, Any], at_s: float) -> None:
        identity = str(fields.get("id"))
        known = next((a for a in self.alerts if a.id == identity), None)
        score = float(fields.get("score") or 0.0)
        severity = str(fields.get("severity"))
        if known is None:
            known = Alert(
                id=identity,
                raised_s=at_s,
                first=severity,
                severity=severity,
                score=score,
                threshold=float(fields.get("threshold") or 0.0),
                highest=score,
            )
            self.alerts.append(known)
        known.severity = severity
        known.highest = max(known.highest, score)
        if known.severity == "alarm" and known.alarm_s is None:
            known.alarm_s = at_s
        if fields.get("type") == "end":
            known.ended_s = at_s


def clock(at_s: float) -> str:
    """Stream time as people write it: ``4:05``."""
    minutes, seconds = divmod(int(at_s), 60)
    return f"{minutes}:{seconds:02}"
