"""Home Assistant finds every monitor by itself, and shows what the monitor says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publish_samples import MODEL, STAMP, WALL_S
from support.contract import violation
from support.home_assistant import entities, shown

from edge_asd.config import MONITOR_NAME, parse_config
from edge_asd.publish.home_assistant import birth_topics, discovery
from edge_asd.publish.home_assistant_entities import EXPIRE_S
from edge_asd.publish.messages import CheckMessage, HealthMessage, StateMessage
from edge_asd.publish.payload import Audio
from edge_asd.publish.standing import HEARTBEAT_S
from edge_asd.publish.topics import Topics
from edge_asd.records import State

VERBS = ["snooze", "ack", "inhibit", "enabled"]
READINGS = {"problem", "severity", "state", "score", "level", "running", "microphone"}


def config(names=("pump-1",), *, device="press-hall-3", verbs=VERBS, picture=True, **wanted):
    monitors = [{"name": name, "source": "alsa:", "channel": n} for n, name in enumerate(names)]
    mqtt = {"url": "mqtt://broker", "commands": verbs, "home_assistant": wanted}
    evidence = {"publish_picture": picture}
    raw = {"device": device, "monitors": monitors, "mqtt": mqtt, "evidence": evidence}
    return parse_config(raw, "test")


def of_monitor(found, name="pump-1"):
    own = f"_M_{name}_"
    return {key.split(own)[1]: entity for key, entity in found.items() if own in key}


def state(**fields):
    values = {"device": "press-hall-3", "source": "pump-1", "model": MODEL, "updated_at": WALL_S}
    message = StateMessage(**(values | {"state": "normal"} | fields), **dict(STAMP))
    payload = message.to_json()
    assert not violation(TOPICS.state("pump-1"), payload)
    return payload


TOPICS = Topics("press-hall-3")
SAID = {TOPICS.status: b"online"}


@pytest.mark.parametrize("form", ["device", "entity"])
def test_both_forms_show_the_same_entities(form):
    found = entities(discovery(config(["pump-1", "fan_2"], form=form)))
    for name in ("pump-1", "fan_2"):
        assert set(of_monitor(found, name)) == READINGS | set(VERBS) | {"picture"}
    assert {key for key in found if "_M_" not in key} == {
        "edge-asd_press-hall-3_connectivity",
        "edge-asd_press-hall-3_health",
    }
    assert found == entities(discovery(config(["pump-1", "fan_2"])))


def test_the_device_form_is_one_message_for_the_computer_and_one_for_each_monitor():
    topics = list(discovery(config(["pump-1", "fan_2"], prefix="ha")))
    assert topics == [
        "ha/device/edge-asd_press-hall-3/config",
        "ha/device/edge-asd_press-hall-3_M_pump-1/config",
        "ha/device/edge-asd_press-hall-3_M_fan_2/config",
    ]


def test_a_monitor_belongs_to_its_computer():
    problem = of_monitor(entities(discovery(config())))["problem"]["device"]
    assert problem["via_device"] == "edge-asd_press-hall-3"
    assert problem["name"] == "press-hall-3 pump-1"


def test_nothing_is_announced_unless_it_is_asked_for():
    assert discovery(parse_config({}, "test")) == {}
    assert discovery(parse_config({"mqtt": {"url": "mqtt://broker"}}, "test")) == {}


@pytest.mark.parametrize("allowed", [[], ["snooze"], ["ack", "enrol", "normal"], VERBS])
def test_only_what_the_device_allows_can_be_set(allowed):
    found = of_monitor(entities(discovery(config(verbs=allowed, picture=False))))
    assert set(found) == READINGS | set(allowed) & set(VERBS)
    for verb in set(allowed) & set(VERBS):
        assert found[verb]["command_topic"] == TOPICS.thing_set("pump-1", verb)
        assert found[verb].get("state_topic") in (None, TOPICS.thing_state("pump-1", verb))


@given(
    st.lists(st.from_regex(MONITOR_NAME, fullmatch=True), min_size=1, max_size=3, unique=True),
    st.text(min_size=1, max_size=20),
    st.sampled_from(["device", "entity"]),
)
def test_any_names_give_identifiers_that_home_assistant_takes(names, device, form):
    names = [name.strip() for name in names]
    found = entities(discovery(config(list(dict.fromkeys(names)), device=device, form=form)))
    assert len(found) == 2 + 12 * len(set(names))


def test_no_two_devices_or_monitors_share_an_identifier():
    pairs = [("a", "b_m_c"), ("a_m_b", "c"), ("a_b", "c"), ("a", "b_c"), ("a_m", "b")]
    found = [set(entities(discovery(config([name], device=device)))) for device, name in pairs]
    shared = {"edge-asd_a_connectivity", "edge-asd_a_health"}  # device a comes twice
    assert len(set().union(*found)) == sum(map(len, found)) - len(shared)


def shown_of(key, payload, **more):
    found = of_monitor(entities(discovery(config())))
    return shown(found[key], SAID | {TOPICS.state("pump-1"): payload} | more)


@pytest.mark.parametrize(
    ("fields", "problem", "severity", "running"),
    [
        ({}, "off", "none", "on"),
        ({"state": "idle"}, "off", "none", "off"),
        ({"state": "baselining"}, "off", "none", "on"),
        ({"state": "inhibited"}, "off", "none", "skipped"),
        ({"state": "alarm", "event_id": "x", "severity": "alarm"}, "on", "alarm", "on"),
        (
            {"state": "warning", "event_id": "x", "severity": "warning", "snoozed_until": WALL_S},
            *("off", "warning", "on"),
        ),
        # An alert goes on while the machine stands still; nobody knows while nobody hears it.
        ({"state": "idle", "event_id": "x", "severity": "alarm"}, "on", "alarm", "off"),
        ({"state": "unknown", "reason": "no audio", "event_id": "x"}, *["unavailable"] * 3),
    ],
)
def test_every_state_is_shown_as_what_it_is(fields, problem, severity, running):
    payload = state(**fields)
    assert shown_of("problem", payload) == problem
    assert shown_of("severity", payload) == severity
    assert shown_of("running", payload) == running
    assert shown_of("state", payload) == fields.get("state", "normal")


@pytest.mark.parametrize("known", list(State))
def test_no_template_gives_none_whatever_is_missing(known):
    found = of_monitor(entities(discovery(config())))
    for extra in ({}, {"score": 1.25, "audio": Audio(dbfs=-31.5)}, {"audio": Audio(dbfs=None)}):
        said = SAID | {TOPICS.state("pump-1"): state(state=known, reason="why", **extra)}
        for entity in found.values():
            shown(entity, said)  # fails on None


def test_numbers_are_shown_and_their_absence_changes_nothing():
    heard = state(score=5.25, audio=Audio(dbfs=-31.5))
    assert (shown_of("score", heard), shown_of("level", heard)) == ("5.25", "-31.5")
    assert (shown_of("score", state()), shown_of("level", state())) == ("skipped", "skipped")


def test_everything_is_unavailable_while_the_daemon_is_gone():
    found = entities(discovery(config()))
    said = {TOPICS.status: b"offline", TOPICS.state("pump-1"): state(), TOPICS.health: b"{}"}
    for key, entity in found.items():
        expected = "off" if key.endswith("_connectivity") else "unavailable"
        assert shown(entity, said) == expected, key


@pytest.mark.parametrize(
    ("capture", "microphone", "problem"),
    [
        ("healthy", "healthy", "off"),
        ("critical", "healthy", "on"),
        ("healthy", "critical", "on"),
        ("warning", "healthy", "off"),
        ("unknown", None, "skipped"),
        (None, None, "skipped"),
    ],
)
def test_a_microphone_that_does_not_work_is_a_problem_of_its_own(capture, microphone, problem):
    checks = {"capture/pump-1": capture, "microphone/pump-1": microphone, "mqtt": "critical"}
    health = HealthMessage(
        device="press-hall-3",
        status="critical",
        checks={k: CheckMessage(status=v, text="") for k, v in checks.items() if v},
        updated_at=WALL_S,
    ).to_json()
    assert shown_of("microphone", state(), **{TOPICS.health: health}) == problem


def test_a_monitor_that_falls_silent_becomes_unavailable_after_three_heartbeats():
    found = of_monitor(entities(discovery(config())))
    expiring = {key: entity.get("expire_after") for key, entity in found.items()}
    assert {key for key in READINGS if key != "microphone"} == {
        key for key, entity in found.items() if "expire_after" in entity
    }
    assert EXPIRE_S == 3 * HEARTBEAT_S == expiring["problem"]


def test_home_assistants_birth_is_heard_under_its_default_and_its_own_prefix():
    wanted = config().mqtt.home_assistant
    assert birth_topics(wanted) == ("homeassistant/status",)
    own = config(prefix="ha/x").mqtt.home_assistant
    assert birth_topics(own) == ("homeassistant/status", "ha/x/status")


def test_the_messages_stay_small():
    for payload in discovery(config(["pump-1"])).values():
        assert len(payload) < 16_384
        assert json.loads(payload)
