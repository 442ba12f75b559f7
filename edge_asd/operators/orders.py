"""Orders of operators: checked, and what they do to the switches of a monitor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edge_asd.clock import rfc3339
from edge_asd.errors import UsageError
from edge_asd.metrics.commands import REHEARSALS
from edge_asd.operators.audit import name_of
from edge_asd.operators.switches import MAX_S, Span, Switches
from edge_asd.steady import SteadyClock

SHORTEST_S, LONGEST_S = 1.0, 3600.0
"""Of a rehearsal."""
_MINUTE_S = 60.0
_LEAST_MINUTES = 0.01  # less is over before it begins

Request = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """A switch to be set: for a time, until further notice, or back."""

    monitor: str
    by: str
    on: bool
    minutes: float | None = None
    """None until further notice."""

    @classmethod
    def parse(cls, verb: str, request: Request) -> Order:
        """Check what was asked for.

        Raises:
            UsageError: A value is missing, of the wrong kind, or out of bounds.
        """
        monitor, on, minutes = request.get("monitor"), request.get("on"), request.get("minutes")
        if not isinstance(monitor, str):
            raise UsageError(f"{verb}: 'monitor' must be the name of a monitor")
        if on is not None and not isinstance(on, bool):
            raise UsageError(f"{verb}: 'on' must be true or false, got {on!r:.40}")
        if minutes is not None and on is not None:
            raise UsageError(f"{verb}: give either 'minutes' or 'on'")
        by = name_of(request.get("by"))
        if minutes is None:
            if on is None:
                raise UsageError(f"{verb}: 'minutes' or 'on' is missing")
            return cls(monitor, by, on)
        return cls(monitor, by, on=True, minutes=checked_minutes(verb, minutes))

    def span(self, now_s: float) -> Span | None:
        """What was asked for, from now on."""
        if not self.on:
            return None
        if self.minutes is None:
            return Span(self.by)
        asked_s = self.minutes * _MINUTE_S
        return Span(self.by, now_s + asked_s, asked_s)


def checked_minutes(verb: str, minutes: object) -> float:
    """Minutes of a maintenance or a snooze.

    Raises:
        UsageError: No number, or out of bounds.
    """
    number = minutes if isinstance(minutes, int | float) else math.nan
    if isinstance(minutes, bool) or not _LEAST_MINUTES <= number <= MAX_S / _MINUTE_S:
        raise UsageError(
            f"{verb}: 'minutes' must be from {_LEAST_MINUTES} to {MAX_S / _MINUTE_S:.0f} (a week), "
            f"got {minutes!r:.40}"
        )
    return float(number)


Change = Callable[[Switches, Order, "Span | None"], Switches]
"""What an order, and the time that it is for, make of the switches."""


def _enabled(switches: Switches, order: Order, _span: Span | None) -> Switches:
    if order.minutes is not None:
        raise UsageError("enabled: knows no minutes; use inhibit, which ends by itself")
    return replace(switches, off=None if order.on else Span(order.by))


def _inhibit(switches: Switches, _order: Order, span: Span | None) -> Switches:
    return replace(switches, inhibition=span)


def _snooze(switches: Switches, order: Order, span: Span | None) -> Switches:
    if order.on and order.minutes is None:
        raise UsageError("snooze: needs 'minutes': a silence without end would be forgotten")
    return replace(switches, snooze=span)


CHANGES: dict[str, Change] = {"enabled": _enabled, "inhibit": _inhibit, "snooze": _snooze}
"""What each verb does to the switches."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A rehearsal that somebody asks for."""

    fault: str
    monitor: str | None
    """None for the only one."""
    seconds: float
    by: str

    @classmethod
    def parse(cls, request: Request) -> Wish:
        """Check what came over the control socket.

        Raises:
            UsageError: A value is missing, of the wrong kind, or out of bounds.
        """
        fault, monitor = request.get("fault"), request.get("monitor")
        seconds = request.get("seconds")
        if fault not in REHEARSALS:
            raise UsageError(f"rehearse: 'fault' is one of {', '.join(REHEARSALS)}")
        if monitor is not None and not isinstance(monitor, str):
            raise UsageError("rehearse: 'monitor' must be the name of a monitor")
        number = seconds if isinstance(seconds, int | float) else math.nan
        if isinstance(seconds, bool) or not SHORTEST_S <= number <= LONGEST_S:
            raise UsageError(
                f"rehearse: 'seconds' must be from {SHORTEST_S:g} to {LONGEST_S:g}, "
                f"got {seconds!r:.40}"
            )
        return cls(fault, monitor, float(number), name_of(request.get("by")))


def switches_answer(switches: Switches, clock: SteadyClock) -> dict[str, Any]:
    """What an operator has switched, in wall time."""

    def ends(span: Span | None) -> str | None:
        until_s = None if span is None else span.until_s
        return None if until_s is None else rfc3339(clock.wall(until_s))

    def who(span: Span | None) -> str | None:
        return None if span is None else span.by

    return {
        "enabled": switches.enabled,
        "disabled_by": who(switches.off),
        "inhibited": switches.inhibited,
        "inhibited_until": ends(switches.inhibition),
        "inhibited_by": who(switches.inhibition),
        "snoozed_until": ends(switches.snooze),
        "snoozed_by": who(switches.snooze),
    }
