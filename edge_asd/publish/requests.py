"""What may be said in a command over MQTT, as models for the contract.

`asking` checks commands by hand, because a person has to be told in one line what was wrong; tests
hold these models against it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from edge_asd.normal.confirming import DEFAULT_DAYS
from edge_asd.normal.normal_orders import MAX_DAYS
from edge_asd.operators.switches import MAX_S
from edge_asd.publish.payload import Payload

Minutes = Annotated[float, Field(gt=0, le=MAX_S / 60)]


class Request(Payload):
    """A command; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")

    by: str | None = None
    """Who asks, for the log; nobody checks it."""
    request_id: Annotated[str, Field(max_length=128)] | int | None = None
    """Comes back in the reply."""


class MonitorRequest(Request):
    """A command to one monitor."""

    monitor: str
    """Name of the monitor."""


class EnabledRequest(MonitorRequest):
    """Switch a monitor off, or on again; lasts over restarts."""

    on: bool
    """Whether it listens."""


class InhibitRequest(MonitorRequest):
    """Maintenance: nothing is scored, and an open alert ends. Either ``minutes`` or ``on``."""

    on: bool | None = None
    """True until somebody says false."""
    minutes: Minutes | None = None
    """Ends by itself after so long."""


class SnoozeRequest(MonitorRequest):
    """Raise no alert for a while; scoring goes on. Either ``minutes`` or ``on: false``."""

    on: bool | None = None
    """False ends it."""
    minutes: Minutes | None = None
    """Ends after so long."""


class AckRequest(Request):
    """Take note of the alert that is open."""

    monitor: str | None = None
    """Name of the monitor; may be missing while only one alert is open."""
    event: str | None = None
    """Id of the alert; the open one if missing."""


class EnrolRequest(MonitorRequest):
    """Learn anew from live sound; the machine must run normally meanwhile."""

    seconds: Annotated[float, Field(gt=0)] | None = None
    """How much sound; ``enrol_s`` of the monitor if missing."""
    force: bool | None = None
    """Also while an alert is open."""


class NormalRequest(Request):
    """Confirm that an alert was normal sound, so that its like raises no more."""

    event: str
    """Id of the alert."""
    monitor: str | None = None
    """Name of the monitor; the alert says it."""
    days: Annotated[float, Field(gt=0, le=MAX_DAYS)] = DEFAULT_DAYS
    """For how long it counts as normal."""


REQUESTS: dict[str, type[Request]] = {
    "enabled": EnabledRequest,
    "inhibit": InhibitRequest,
    "snooze": SnoozeRequest,
    "ack": AckRequest,
    "enrol": EnrolRequest,
    "normal": NormalRequest,
}
"""By verb."""
