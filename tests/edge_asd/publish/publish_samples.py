"""Messages that the tests of this folder send."""

from __future__ import annotations

from edge_asd.publish.messages import EventMessage, MicrophoneMessage, ModelRef, Stamp
from edge_asd.records import Event, EventType, MicrophoneNotice, Severity, State

WALL_S = 1_790_000_000.0
MODEL = ModelRef(name="small", version="1.0.0", sha256="ab" * 32, backend="onnxruntime")
STAMP = Stamp(clock={"synchronized": True}, monotonic_ns=12, boot_id="b")


def record(kind="new", **changes):
    values = {
        "id": "0198b2a0-0000-7000-8000-000000000001",
        "type": EventType(kind),
        "severity": Severity.ALARM,
        "state": State.ALARM,
        "score": 6.5,
        "threshold": 4.0,
        "percentile": 99.9,
        "started_at": WALL_S,
        "updated_at": WALL_S + 12.5,
        "duration_s": 12.5,
        "windows_scored": 12,
        "windows_gapped": 1,
        "nearest": "embedding:7",
        "level_dbfs": -31.0,
    }
    return Event(**(values | changes))


def notice(kind="new", **changes):
    values = {
        "id": "0198b2a0-0000-7000-8000-000000000002",
        "type": EventType(kind),
        "fault": "digital_zero",
        "reason": "only zeros: look at the plug",
        "started_at": WALL_S,
        "updated_at": WALL_S + 3.0,
        "duration_s": 3.0,
    }
    return MicrophoneNotice(**(values | changes))


def notice_message(kind="new", monitor="pump-1", **changes):
    return MicrophoneMessage.from_notice(
        notice(kind, **changes), device="press-hall-3", monitor=monitor, stamp=STAMP
    )


def message(kind="new", monitor="pump-1", coverage=None, evidence=None, **changes):
    return EventMessage.from_event(
        record(kind, **changes),
        device="press-hall-3",
        monitor=monitor,
        model=MODEL,
        stamp=STAMP,
        threshold_kind="calibrated",
        coverage=coverage,
        evidence=evidence,
    )
