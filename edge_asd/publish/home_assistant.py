"""What Home Assistant has to know to show a device and its monitors by itself.

Pure: from the operator's file to retained messages. One Home Assistant device for the computer, and
one for each monitor, which is a machine. What an entity of a monitor shows comes from the monitor's
own state topic, repeated every ``HEARTBEAT_S``; nothing is filtered out of a topic that others
share.

A monitor that does not know (state ``unknown``) makes its entities unavailable, because Home
Assistant would go on showing the last value. No template gives ``None``: where there is nothing to
say, it gives an empty text, which Home Assistant skips.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from edge_asd import __version__
from edge_asd.config import Config, HomeAssistantConfig
from edge_asd.health import Health
from edge_asd.publish.standing import HEARTBEAT_S
from edge_asd.publish.topics import Topics, topic_segment
from edge_asd.records import Severity, State
from edge_asd.switches import MAX_S

EXPIRE_S = 3 * round(HEARTBEAT_S)
"""A monitor that was not heard of for so long is unavailable, whatever TCP says."""

_MACHINE_SEPARATOR = "_M_"  # segments are in lower case, so no two names make one identifier
_MAX_MINUTES = round(MAX_S / 60)


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that Home Assistant shows."""

    key: str
    """Last part of its identifier; lower-case letters only."""
    platform: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Machine:
    """A device of Home Assistant's."""

    identifier: str
    device: dict[str, Any]
    entities: tuple[Entity, ...]


def discovery(config: Config) -> dict[str, bytes]:
    """Retained discovery messages by topic; none where the operator wants none.

    Args:
        config: The operator's file.
    """
    if config.mqtt is None or config.mqtt.home_assistant is None:
        return {}
    settings = config.mqtt.home_assistant
    messages = _as_device if settings.form == "device" else _as_entities
    machines = [_computer(config), *_monitors(config)]
    return dict(message for machine in machines for message in messages(machine, settings))


def birth_topics(settings: HomeAssistantConfig) -> tuple[str, ...]:
    """Where Home Assistant says ``online`` when it has started; its own default comes first."""
    return tuple(dict.fromkeys(("homeassistant/status", f"{settings.prefix}/status")))


# The two forms


def _as_device(machine: Machine, settings: HomeAssistantConfig) -> Iterator[tuple[str, bytes]]:
    components = {
        entity.key: {"platform": entity.platform} | _complete(machine, entity)
        for entity in machine.entities
    }
    message = {"device": machine.device, "origin": _ORIGIN, "components": components}
    yield f"{settings.prefix}/device/{machine.identifier}/config", _json(message)


def _as_entities(machine: Machine, settings: HomeAssistantConfig) -> Iterator[tuple[str, bytes]]:
    for entity in machine.entities:
        fields = _complete(machine, entity)
        message = fields | {"device": machine.device, "origin": _ORIGIN}
        topic = f"{settings.prefix}/{entity.platform}/{fields['unique_id']}/config"
        yield topic, _json(message)


def _complete(machine: Machine, entity: Entity) -> dict[str, Any]:
    return {"unique_id": f"{machine.identifier}_{entity.key}", "qos": 1} | entity.fields


def _json(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


_ORIGIN = {"name": "edge-asd", "sw_version": __version__}


# The computer


def _computer(config: Config) -> Machine:
    topics = Topics(config.device)
    return Machine(
        identifier=_identifier(config.device),
        device={
            "identifiers": [_identifier(config.device)],
            "name": config.device,
            "manufacturer": "edge-asd",
            "model": "Listening computer",
            "sw_version": __version__,
        },
        entities=(
            Entity(
                "connectivity",
                "binary_sensor",
                {
                    "name": "Connection",
                    "device_class": "connectivity",
                    "entity_category": "diagnostic",
                    "state_topic": topics.status,
                    "payload_on": "online",
                    "payload_off": "offline",
                },
            ),
            Entity(
                "health",
                "sensor",
                {
                    "name": "Health",
                    "device_class": "enum",
                    "options": [status.value for status in Health],
                    "entity_category": "diagnostic",
                    "state_topic": topics.health,
                    "value_template": "{{ value_json.status }}",
                    **_available(topics),
                },
            ),
        ),
    )


# Monitors


def _monitors(config: Config) -> Iterator[Machine]:
    verbs: Collection[str] = config.mqtt.commands if config.mqtt else ()
    topics = Topics(config.device)
    for monitor in config.monitors:
        identifier = _identifier(config.device, monitor.name)
        switches = [entity for verb, entity in _switches(topics, monitor.name) if verb in verbs]
        picture = config.evidence.enabled and config.evidence.publish_picture
        yield Machine(
            identifier=identifier,
            device={
                "identifiers": [identifier],
                "name": f"{config.device} {monitor.name}",
                "manufacturer": "edge-asd",
                "model": "Machine that is listened to",
                "sw_version": __version__,
                "via_device": _identifier(config.device),
            },
            entities=(
                *_readings(topics, monitor.name),
                *((_picture(topics, monitor.name),) if picture else ()),
                *switches,
            ),
        )


def _identifier(device: str, monitor: str | None = None) -> str:
    """Letters, digits, ``_`` and ``-`` only, as Home Assistant asks for in topics."""
    own = f"edge-asd_{topic_segment(device)}"
    return own if monitor is None else f"{own}{_MACHINE_SEPARATOR}{topic_segment(monitor)}"


def _available(topics: Topics, monitor: str | None = None) -> dict[str, Any]:
    """While the daemon is connected and, with ``monitor``, while that knows how things stand."""
    conditions: list[dict[str, str]] = [{"topic": topics.status}]
    if monitor is not None:
        template = "{{ 'offline' if value_json.state == 'unknown' else 'online' }}"
        conditions.append({"topic": topics.state(monitor), "value_template": template})
    return {"availability": conditions, "availability_mode": "all"}


def _readings(topics: Topics, monitor: str) -> Iterator[Entity]:
    follows = {"state_topic": topics.state(monitor), "expire_after": EXPIRE_S}
    knows = follows | _available(topics, monitor)
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
        | _available(topics)
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
            **_available(topics),
        },
    )


def _picture(topics: Topics, monitor: str) -> Entity:
    topic = {"image_topic": topics.picture(monitor), "content_type": "image/png"}
    return Entity("picture", "image", {"name": "Last alert"} | topic | _available(topics))


def _switches(topics: Topics, monitor: str) -> Iterator[tuple[str, Entity]]:
    """What an operator may set, with the verb that must be allowed."""

    def of(thing: str, name: str) -> dict[str, Any]:
        return {"name": name, "command_topic": topics.thing_set(monitor, thing)} | _available(
            topics
        )

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
