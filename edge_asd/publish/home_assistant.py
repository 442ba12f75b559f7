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
from dataclasses import dataclass
from typing import Any

from edge_asd import __version__
from edge_asd.config import Config, HomeAssistantConfig
from edge_asd.health import Health
from edge_asd.publish.home_assistant_entities import (
    Entity,
    available,
    picture_of,
    readings,
    switches_of,
)
from edge_asd.publish.topics import Topics, topic_segment

_MACHINE_SEPARATOR = "_M_"  # segments are in lower case, so no two names make one identifier


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
                    **available(topics),
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
        switches = [entity for verb, entity in switches_of(topics, monitor.name) if verb in verbs]
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
                *readings(topics, monitor.name),
                *((picture_of(topics, monitor.name),) if picture else ()),
                *switches,
            ),
        )


def _identifier(device: str, monitor: str | None = None) -> str:
    """Letters, digits, ``_`` and ``-`` only, as Home Assistant asks for in topics."""
    own = f"edge-asd_{topic_segment(device)}"
    return own if monitor is None else f"{own}{_MACHINE_SEPARATOR}{topic_segment(monitor)}"
