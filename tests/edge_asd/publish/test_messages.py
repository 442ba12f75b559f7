"""What goes over the wire can be read by every JSON parser and does not change by accident."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publish_samples import MODEL, STAMP, WALL_S, message, notice, notice_message, record
from pydantic import ValidationError

from edge_asd.books.ledger_timeline import Account, no_seconds
from edge_asd.books.ledger_view import Summary
from edge_asd.health import Check, Health
from edge_asd.publish.messages import (
    Audio,
    EventMessage,
    EvidenceRef,
    HealthMessage,
    InfoMessage,
    MicrophoneMessage,
    MonitorInfo,
    ReportMessage,
    ScoreMessage,
    StateMessage,
)
from edge_asd.records import Severity, State


def strict(payload):
    """Parse, refusing what JSON does not know."""

    def refuse(name):
        raise AssertionError(f"{name} in JSON")

    return json.loads(payload, parse_constant=refuse)


def test_an_event_has_exactly_these_fields():
    evidence = EvidenceRef(clip="a.flac", spectrogram="a.png", sha256="cd" * 32, bytes=12)
    sent = message(reason="r", coverage=12 / 13, evidence=evidence)
    assert strict(sent.to_json()) == {
        "schema": 1,
        "device": "press-hall-3",
        "id": "0198b2a0-0000-7000-8000-000000000001",
        "seq": 0,
        "type": "new",
        "source": "pump-1",
        "severity": "alarm",
        "state": "alarm",
        "score": 6.5,
        "threshold": 4.0,
        "threshold_kind": "calibrated",
        "percentile": 99.9,
        "started_at": "2026-09-21T14:13:20.000Z",
        "updated_at": "2026-09-21T14:13:32.500Z",
        "ended_at": None,
        "duration_s": 12.5,
        "windows": {"scored": 12, "gapped": 1, "dropped": 0},
        "coverage": 0.923,
        "nearest_center": "embedding:7",
        "model": {
            "name": "small",
            "version": "1.0.0",
            "sha256": "ab" * 32,
            "backend": "onnxruntime",
        },
        "audio": {"dbfs": -31.0},
        "reason": "r",
        "evidence": {
            "clip": "a.flac",
            "spectrogram": "a.png",
            "details": None,
            "sha256": "cd" * 32,
            "bytes": 12,
        },
        "acked_by": None,
        "acked_at": None,
        "snoozed_until": None,
        "held": False,
        "rehearsal": False,
        "clock": {"synchronized": True},
        "monotonic_ns": 12,
        "boot_id": "b",
    }


numbers = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf])


@given(numbers, numbers, numbers, numbers)
def test_numbers_are_finite_or_null_and_read_back(score, threshold, percentile, level):
    sent = message(score=score, threshold=threshold, percentile=percentile, level_dbfs=level)
    parsed = strict(sent.to_json())
    for value, name in ((score, "score"), (threshold, "threshold"), (percentile, "percentile")):
        if math.isfinite(value):
            assert parsed[name] == pytest.approx(value, rel=1e-5, abs=1e-3)
        else:
            assert parsed[name] is None
    assert EventMessage.model_validate_json(sent.to_json()) == sent


def test_an_event_goes_to_the_wire_and_back():
    said = {"reason": "quiet again", "acked_by": "anna", "acked_at": WALL_S + 15.5, "held": True}
    ended = record("end", ended_at=WALL_S + 20.25, **said)
    assert message("end", ended_at=WALL_S + 20.25, **said).to_event() == ended


def test_fields_of_a_later_version_are_ignored():
    payload = strict(message().to_json()) | {"health_index": {"now": 0.5}}
    assert EventMessage.model_validate(payload) == message()


def test_an_event_of_the_first_release_reads_back():
    payload = strict(message().to_json())
    for later in ("evidence", "acked_by", "acked_at", "snoozed_until", "held", "rehearsal"):
        del payload[later]
    assert EventMessage.model_validate(payload) == message()


def test_coverage_and_evidence_are_null_where_nobody_knows():
    assert (message().coverage, message().evidence) == (None, None)


def test_a_microphone_fault_has_exactly_these_fields():
    sent = notice_message("end", ended_at=WALL_S + 30.5, duration_s=30.5)
    assert strict(sent.to_json()) == {
        "schema": 1,
        "device": "press-hall-3",
        "id": "0198b2a0-0000-7000-8000-000000000002",
        "seq": 0,
        "type": "end",
        "source": "pump-1",
        "fault": "digital_zero",
        "reason": "only zeros: look at the plug",
        "started_at": "2026-09-21T14:13:20.000Z",
        "updated_at": "2026-09-21T14:13:23.000Z",
        "ended_at": "2026-09-21T14:13:50.500Z",
        "duration_s": 30.5,
        "rehearsal": False,
        "clock": {"synchronized": True},
        "monotonic_ns": 12,
        "boot_id": "b",
    }
    assert MicrophoneMessage.model_validate_json(sent.to_json()) == sent
    assert sent.to_notice() == notice("end", ended_at=WALL_S + 30.5, duration_s=30.5)


def test_a_microphone_fault_is_new_or_ends():
    with pytest.raises(ValidationError):
        notice_message("update")


def test_a_report_has_exactly_these_fields():
    seconds = no_seconds() | {Account.SCORED: 300, Account.DOWN: 100}
    summary = Summary(int(WALL_S), int(WALL_S) + 3400, seconds, 3000)
    sent = ReportMessage.from_summary(
        summary, device="press-hall-3", monitor="pump-1", updated_at=WALL_S + 3500
    )
    assert strict(sent.to_json()) == {
        "schema": 1,
        "device": "press-hall-3",
        "source": "pump-1",
        "period_from": "2026-09-21T14:13:20.000Z",
        "period_to": "2026-09-21T15:10:00.000Z",
        "seconds": {
            "scored": 300,
            "gapped": 0,
            "dropped": 0,
            "inhibited": 0,
            "idle": 0,
            "baselining": 0,
            "microphone_fault": 0,
            "starting": 0,
            "down": 100,
        },
        "clock_steps_s": 3000,
        "coverage": 0.75,
        "updated_at": "2026-09-21T15:11:40.000Z",
    }
    assert ReportMessage.model_validate_json(sent.to_json()) == sent


def test_unknown_always_comes_with_a_reason():
    common = {"device": "d", "source": "m", "state": State.UNKNOWN, "updated_at": WALL_S}
    with pytest.raises(ValidationError, match="needs a reason"):
        StateMessage(**common, **dict(STAMP))
    assert StateMessage(**common, **dict(STAMP), reason="no microphone").reason


def test_the_other_messages_serialise():
    state = StateMessage(
        device="d",
        source="m",
        state=State.ALARM,
        severity=Severity.ALARM,
        score=math.nan,
        rate_asked_per_week=1.0,
        rate_supported_per_week=63.123456789,
        provisional=True,
        model=MODEL,
        updated_at=WALL_S,
        **dict(STAMP),
    )
    parsed = strict(state.to_json())
    assert (parsed["score"], parsed["rate_supported_per_week"]) == (None, 63.1235)
    score = ScoreMessage(
        device="d",
        source="m",
        state=State.NORMAL,
        score=1.23456789,
        threshold=4,
        audio=Audio(dbfs=-30.12345),
        at=WALL_S,
    )
    assert strict(score.to_json()) == {
        "schema": 1,
        "device": "d",
        "source": "m",
        "state": "normal",
        "score": 1.23457,
        "threshold": 4.0,
        "audio": {"dbfs": -30.123},
        "at": "2026-09-21T14:13:20.000Z",
    }
    info = InfoMessage(
        device="d",
        versions={"edge_asd": "0.1.0"},
        monitors=(MonitorInfo(name="m", topic_segment="m"),),
        model=None,
        started_at=WALL_S,
        boot_id="b",
    )
    assert strict(info.to_json())["monitors"] == [{"name": "m", "topic_segment": "m"}]
    checks = {"mqtt": Check(Health.WARNING, "away")}
    health = HealthMessage.from_checks(Health.WARNING, checks, device="d", updated_at=WALL_S)
    shown = {"status": "warning", "text": "away", "rehearsal": False}
    assert strict(health.to_json())["checks"] == {"mqtt": shown}
