"""The verdict follows from what arrived, never from what was planned."""

from __future__ import annotations

import json

import pytest
from support.tiny import HOP, SAMPLE_RATE, WINDOW

from edge_asd.alerting import persistence_of
from edge_asd.bundle.manifest import Manifest
from edge_asd.config import AlertConfig, load_config
from edge_asd.demo.plan import Plan, alert_for
from edge_asd.demo.story import Step, Story
from edge_asd.demo.subscriber import Message
from edge_asd.demo.summary import verdict

PLAN = Plan(
    speed=6,
    sample_rate=16000,
    window_s=10,
    hop_s=1,
    alert=AlertConfig(),
    enrol_s=120,
    onset_s=240,
    ramp_s=40,
    clear_s=320,
    end_s=400,
)


def message(leaf, **fields):
    return Message(f"edge-asd/demo/pump/{leaf}", json.dumps(fields).encode())


def event(kind, severity="warning", identity="a", score=5.0):
    return message("event", id=identity, type=kind, severity=severity, score=score, threshold=3.0)


def story(*events, listening_s=140.0):
    told = Story(PLAN)
    told.take(message("state", state="baselining", progress=0.5), 60.0)
    told.take(message("state", state="baselining", progress=1.0), 120.0)
    told.take(message("score", score=0.1, threshold=3.0), listening_s)
    told.take(message("state", state="normal"), listening_s)
    for at_s, each in events:
        told.take(each, at_s)
    return told


def test_an_alert_after_the_onset_and_its_end_after_the_repair_are_the_story():
    told = story((270.0, event("new")), (280.0, event("update", "alarm")), (355.0, event("end")))
    assert told.problems() == []
    text = "\n".join(verdict(told, 0))
    assert "4:30, 30 s later, at fault severity 75%" in text
    assert "warning, then alarm at 4:40" in text
    assert "5:55, 35 s after the repair" in text


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ([], "no alert"),
        ([(270.0, event("new"))], "no all-clear"),
        ([(270.0, event("new")), (300.0, event("end"))], "before the repair"),
        ([(200.0, event("new")), (355.0, event("end"))], "false alarm at 3:20"),
        (
            [
                (200.0, event("new", identity="b")),
                (230.0, event("end", identity="b")),
                (270.0, event("new")),
                (355.0, event("end")),
            ],
            "false alarm at 3:20",
        ),
        (
            [(270.0, event("new")), (355.0, event("end")), (390.0, event("new", identity="b"))],
            "false alarm at 6:30",
        ),
    ],
)
def test_what_did_not_come_out_is_said(events, problem):
    told = story(*events)
    assert any(problem in line for line in told.problems())
    assert verdict(told, 0)[0].startswith("The story did not come out: ")


def test_learning_that_outlasts_the_healthy_pump_is_no_success():
    told = story((270.0, event("new")), (355.0, event("end")), listening_s=235.0)
    assert any("--speed 3" in line for line in told.problems())


def test_a_failed_enrolment_ends_the_story_at_once():
    told = Story(PLAN)
    assert not told.over(10.0)
    told.take(message("state", state="unknown", reason="enrolment failed: silence"), 121.0)
    assert told.over(121.0)
    assert told.problems() == ["enrolment failed: silence"]


def test_it_is_over_only_after_the_all_clear_has_lasted_or_time_is_up():
    told = story((270.0, event("new")))
    assert not told.over(355.0)
    told.take(event("end"), 355.0)
    assert not told.over(360.0)
    assert told.over(366.0)
    assert story().over(400.0)


def test_steps_follow_states_first_and_the_simulation_then():
    told = Story(PLAN)
    steps = [told.step(0.0)]
    for at_s, each in [
        (1.0, message("state", state="baselining", progress=0.0)),
        (120.0, message("state", state="baselining", progress=1.0)),
        (130.0, message("state", state="unknown", reason="starting")),
        (140.0, message("score", score=0.0, threshold=1.0)),
        (240.0, message("score", score=0.0, threshold=1.0)),
        (320.0, message("score", score=0.0, threshold=1.0)),
    ]:
        told.take(each, at_s)
        steps.append(told.step(at_s))
    assert steps == [
        Step.STARTING,
        Step.ENROLLING,
        Step.LEARNING,
        Step.LEARNING,
        Step.NORMAL,
        Step.FAULT,
        Step.REPAIRED,
    ]


def test_severity_is_what_the_simulation_does():
    assert PLAN.severity_at(239.9) == 0.0
    assert PLAN.severity_at(260.0) == pytest.approx(0.5)
    assert PLAN.severity_at(300.0) == 1.0
    assert PLAN.severity_at(320.0) == 0.0


def test_short_payloads_keep_what_matters():
    fields = {"schema": 1, "device": "d", "id": "0123456789", "score": 1.5, "reason": "", "x": None}
    assert message("event", **fields).shortened == '{"id":"01234567...","score":1.5}'
    assert Message("edge-asd/demo/status", b"online").shortened == "online"


@pytest.mark.parametrize(("window", "hop"), [(WINDOW, HOP), (160_000, 15_872), (288_000, 15_872)])
def test_the_plan_suits_bundles_with_other_windows(tmp_path, window, hop):
    manifest = Manifest.model_construct(
        sample_rate=SAMPLE_RATE, window_samples=window, hop_samples=hop
    )
    plan = Plan.of(manifest, 6)
    times = [60, plan.enrol_s, plan.onset_s, plan.onset_s + plan.ramp_s, plan.clear_s, plan.end_s]
    assert times == sorted(times)
    persistence = persistence_of(plan.alert, manifest)  # raises where one bang could alert
    assert persistence.k * plan.hop_s > plan.window_s
    path = tmp_path / "config.yaml"
    path.write_text(
        plan.config_text(mqtt_url="mqtt://127.0.0.1:1", http="127.0.0.1:2", bundle=None)
    )
    config = load_config(path)
    (monitor,) = config.monitors
    assert monitor.alert == plan.alert
    assert monitor.enrol_s == plan.enrol_s
    assert config.mqtt.protocol == "3.1.1"
    assert "bearing_outer" in monitor.source


def test_the_default_alert_stays_where_it_fits():
    assert alert_for(10.0, 0.992) == AlertConfig()
    assert alert_for(18.0, 0.992) != AlertConfig()
