"""What is asked of "this is normal", checked, and what is answered: for daemon and command.

See `edge_asd.normal.normals` for the requests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_asd.errors import UsageError
from edge_asd.normal.confirming import DEFAULT_DAYS, Wish
from edge_asd.normal.rescoring import Preview
from edge_asd.operators.audit import name_of
from edge_asd.profile import Profile

MAX_DAYS = 3650.0
_REMOTE_KEYS = {"command", "event", "monitor", "by", "days", "via"}


@dataclass(frozen=True, slots=True)
class NormalCommand:
    """What an operator asks for."""

    wish: Wish
    monitor: str
    """Name of the monitor; empty where the alert says it."""
    undo: str
    preview: bool
    force: bool

    @classmethod
    def parse(cls, request: Mapping[str, Any]) -> NormalCommand:
        """Check what came over the control socket or from the broker.

        Raises:
            UsageError: A value is missing, of the wrong kind, or not taken over MQTT.
        """
        if request.get("via") == "mqtt" and (more := sorted(request.keys() - _REMOTE_KEYS)):
            raise UsageError(f"normal: {more[0]!r} is not taken over MQTT; use edge-asd normal")
        event, undo = _text(request, "event"), _text(request, "undo")
        if bool(event) == bool(undo):
            raise UsageError("normal: give either 'event' or 'undo', the id of an alert")
        return cls(
            Wish(
                event,
                name_of(request.get("by")),
                _days(request),
                request.get("unseen") is not False,
            ),
            _text(request, "monitor"),
            undo,
            preview=request.get("preview") is True,
            force=request.get("force") is True,
        )


def refuse_masking(preview: Preview, *, force: bool) -> None:
    """Guard alerts that somebody took for a fault.

    Raises:
        UsageError: One of them would not have been raised, and nobody forces it.
    """
    if preview.guarded and not force:
        listed = ", ".join(one.event_id for one in preview.guarded[:3])
        raise UsageError(
            f"{preview.event_id}: confirmed as normal it would mask {len(preview.guarded)} "
            f"alert(s) that are pinned or acknowledged: {listed}; if they were no faults, use "
            "--force"
        )


def answer(preview: Preview, *, applied: bool, expires_at: str | None) -> dict[str, Any]:
    """What is told of a confirmation."""
    return {"applied": applied, "expires_at": expires_at, **preview.to_json()}


def undo_answer(before: Profile, after: Profile) -> dict[str, Any]:
    """What is told of taking one back."""
    return {
        "monitor": after.monitor,
        "event_id": after.changes[-1].event_id,
        "threshold_before": before.calibration.threshold,
        "threshold_after": after.calibration.threshold,
        "windows_now": after.targets.windows if after.targets else 0,
    }


def owner_of(confirmed: Mapping[str, Iterable[str]], text: str) -> str:
    """The one monitor that has confirmed an alert.

    Args:
        confirmed: Ids of confirmed alerts by monitor.
        text: Id of one, its beginning or its end.

    Raises:
        UsageError: There is none, or more than one.
    """
    wanted = text.strip().lower()
    found = [
        monitor
        for monitor, ids in confirmed.items()
        if wanted and any(one.startswith(wanted) or one.endswith(wanted) for one in ids)
    ]
    if len(found) == 1:
        return found[0]
    what = "several monitors have" if found else "no monitor has"
    raise UsageError(f"{what} confirmed an alert {text!r} as normal; see edge-asd normal --list")


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    if value is not None and not (isinstance(value, str) and len(value) <= 100):
        raise UsageError(f"normal: {key!r} must be text")
    return value or ""


def _days(request: Mapping[str, Any]) -> float | None:
    if request.get("forever") is True:
        return None
    days = request.get("days")
    if days is None:
        return DEFAULT_DAYS
    number = (
        float(days) if isinstance(days, int | float) and not isinstance(days, bool) else math.nan
    )
    if not 0 < number <= MAX_DAYS:
        raise UsageError(f"normal: 'days' must be above 0 and at most {MAX_DAYS:.0f}, got {days!r}")
    return number
