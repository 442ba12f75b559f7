"""What the daemon and the command line answer about monitors and profiles."""

from __future__ import annotations

from typing import Any

from edge_asd.clock import rfc3339
from edge_asd.engine import NetworkSet
from edge_asd.monitor.monitor import Monitor
from edge_asd.operators.orders import switches_answer
from edge_asd.profile import Profile
from edge_asd.records import Event
from edge_asd.steady import SteadyClock


def alert_answer(monitor: str, event: Event, clock: SteadyClock) -> dict[str, Any]:
    """What ``edge-asd ack`` shows of an alert."""
    acked_at = event.acked_at
    return {
        "monitor": monitor,
        "event_id": event.id,
        "acked_by": event.acked_by,
        "acked_at": None if acked_at is None else rfc3339(clock.wall(acked_at)),
    }


def status_of(monitor: Monitor, clock: SteadyClock) -> dict[str, Any]:
    """What ``edge-asd status`` shows of a monitor."""
    standing, profile = monitor.standing, monitor.profile
    return {
        "monitor": monitor.name,
        "source": monitor.config.source,
        "state": standing.state.value,
        "reason": standing.reason,
        "score": standing.score,
        "threshold": profile.calibration.threshold if profile else None,
        "percentile": standing.percentile,
        "progress": standing.progress,
        "provisional": profile.calibration.provisional if profile else None,
        "event_id": monitor.alert.id if monitor.alert else None,
        "confirmed_windows": profile.targets.windows if profile and profile.targets else 0,
        "acked_by": monitor.alert.acked_by if monitor.alert else None,
        **switches_answer(monitor.switches, clock),
    }


def engine_answer(networks: NetworkSet) -> dict[str, Any]:
    """What ``edge-asd status`` shows of what the networks run on."""
    return {
        "bundle": networks.bundle.label,
        "engine": networks.backend,
        "precision": networks.precision,
        "reason": networks.failure or networks.reason,
    }


def summary(profile: Profile) -> dict[str, Any]:
    """What ``edge-asd enrol`` shows of a new profile."""
    calibration = profile.calibration
    return {
        "monitor": profile.monitor,
        "bundle": profile.bundle_label,
        "enrolled_s": profile.enrolled_s,
        "gain_db": profile.gain_db,
        "threshold": calibration.threshold,
        "alarm_threshold": calibration.alarm_threshold,
        "method": calibration.method,
        "asked_per_week": calibration.asked_per_week,
        "supported_per_week": calibration.supported_per_week,
        "provisional": calibration.provisional,
        "idle_heard": profile.idle_rule.quiet_shape_db is not None,
    }
