"""What Home Assistant shows of a device: names, classes, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from edge_asd.operators.switches import MAX_S
from edge_asd.publish.standing import HEARTBEAT_S
from edge_asd.publish.topics import Topics
from edge_asd.records import Severity, State

EXPIRE_S = 3 * round(HEARTBEAT_S)
"""A monitor that was not heard of for so long is unavailable, whatever TCP says."""

_MAX_MINUTES = round(MAX_S / 60)


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that Home Assistant shows."""

    key: str
    """Last part of its identifier; lower-case letters only."""
    platform: str
    fields: dict[str, Any] = field(default_factory=dict)


def available(topics: Topics, monitor: str | None = None) -> dict[str, Any]:
    """While the daemon is connected and, with ``monitor``, while that knows how things stand."""
    conditions: list[dict[str, str]] = [{"topic": topics.status}]
    if monitor is not None:
        template = "{{ 'offline' if value_json.state == 'unknown' else 'online' }}"
        conditions.append({"topic": topics.state(monitor), "value_template": template})
    return {"availability": conditions, "availability_mode": "all"}


def readings(topics: Topics, monitor: str) -> Iterator[Entity]:
    """What a monitor says."""
    follows = {"state_topic": topics.state(monitor), "expire_after": EXPIRE_S}
    knows = follows | available(topics, monitor)
    yield Entity(
        "problem",
        "binary_sensor",
        knows
        | {
            "name": "Problem",
            "device_class": "problem",
            # As on the topic `alarm`: what a snooze silences is no problem yet.
            "value_template": "{{ 'ON' if value_json.event_id and not value_json.snoozed_until"
            " else 'OFF' }}",
            "json_attributes_topic": topics.state(monitor),
            "json_attributes_template": "{{ {'event_id': value_json.event_id,"
            " 'acked_by': value_json.acked_by, 'snoozed_until': value_json.snoozed_until,"
            " 'rehearsal': value_json.rehearsal} | tojson }}",
        },
    )
    yield Entity(
        "severity",
        "sensor",
        knows
        | {
            "name": "Severity",
            "device_class": "enum",
            "options": ["none", *(severity.value for severity in Severity)],
            "value_template": "{{ value_json.severity or 'none' }}",
        },
    )
    yield Entity(
        "state",
        "sensor",
        follows
        | available(topics)
        | {
            "name": "State",
            "device_class": "enum",
            "options": [state.value for state in State],
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": topics.state(monitor),
            "json_attributes_template": "{{ {'reason': value_json.reason} | tojson }}",
        },
    )
    yield Entity("score", "sensor", knows | {"name": "Score"} | _number("value_json.score", 2))
    yield Entity(
        "level",
        "sensor",
        knows
        | {"name": "Level", "device_class": "sound_pressure", "unit_of_measurement": "dB"}
        | _number("(value_json.audio or {}).get('dbfs')", 1),
    )
    yield Entity(
        "running",
        "binary_sensor",
        knows
        | {
            "name": "Running",
            "device_class": "running",
            # Of an inhibited monitor it is not known.
            "value_template": "{{ 'OFF' if value_json.state == 'idle' else"
            " 'ON' if value_json.state in ['normal', 'warning', 'alarm', 'baselining'] else '' }}",
        },
    )
    yield _microphone(topics, monitor)


def _number(value: str, digits: int) -> dict[str, Any]:
    return {
        "state_class": "measurement",
        "suggested_display_precision": digits,
        "value_template": f"{{{{ {value} if {value} is not none else '' }}}}",
    }


def _microphone(topics: Topics, monitor: str) -> Entity:
    checks = ", ".join(
        f"value_json.checks.get('{check}/{monitor}', {{}}).get('status')"
        for check in ("capture", "microphone")
    )
    return Entity(
        "microphone",
        "binary_sensor",
        {
            "name": "Microphone",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": topics.health,
            "value_template": f"{{% set seen = [{checks}] %}}"
            "{{ 'ON' if 'critical' in seen else 'OFF' if 'healthy' in seen else '' }}",
            **available(topics),
        },
    )


def picture_of(topics: Topics, monitor: str) -> Entity:
    """The spectrogram of the last alert."""
    topic = {"image_topic": topics.picture(monitor), "content_type": "image/png"}
    return Entity("picture", "image", {"name": "Last alert"} | topic | available(topics))


def switches_of(topics: Topics, monitor: str) -> Iterator[tuple[str, Entity]]:
    """What an operator may set, with the verb that must be allowed."""

    def of(thing: str, name: str) -> dict[str, Any]:
        return {"name": name, "command_topic": topics.thing_set(monitor, thing)} | available(topics)

    def told(thing: str) -> dict[str, Any]:
        state = {"state_topic": topics.thing_state(monitor, thing)}
        return state | {"entity_category": "config"}

    yield (
        "snooze",
        Entity(
            "snooze",
            "number",
            of("snooze", "Snooze")
            | told("snooze")
            | {"min": 0, "max": _MAX_MINUTES, "step": 1, "mode": "box"}
            | {"unit_of_measurement": "min"},
        ),
    )
    yield "ack", Entity("ack", "button", of("ack", "Acknowledge") | {"payload_press": "ON"})
    yield "inhibit", Entity("inhibit", "switch", of("inhibit", "Maintenance") | told("inhibit"))
    yield "enabled", Entity("enabled", "switch", of("enabled", "Listening") | told("enabled"))
