"""What Home Assistant accepts as MQTT discovery, from its documentation: keys, values, templates.

Home Assistant drops keys that it does not know without a word, so a misspelt one would do nothing.
"""

from __future__ import annotations

import json
import re

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

OBJECT_ID = r"[a-zA-Z0-9_-]+"
AVAILABILITY = {"availability", "availability_mode"}
ENTITY = AVAILABILITY | {
    *("unique_id", "name", "qos", "encoding", "icon", "entity_category", "enabled_by_default"),
    *("json_attributes_topic", "json_attributes_template", "default_entity_id", "object_id"),
}
READ = {"state_topic", "value_template"}
WRITE = {"command_topic", "command_template", "retain", "optimistic"}
PLATFORMS = {
    "binary_sensor": READ
    | {"device_class", "expire_after", "force_update", "off_delay", "payload_on", "payload_off"},
    "sensor": READ
    | {"device_class", "expire_after", "force_update", "options", "state_class"}
    | {"suggested_display_precision", "unit_of_measurement", "last_reset_value_template"},
    "number": READ | WRITE | {"device_class", "min", "max", "step", "mode", "unit_of_measurement"},
    "switch": READ | WRITE | {"device_class", "payload_on", "payload_off", "state_on", "state_off"},
    "button": {"command_topic", "command_template", "device_class", "payload_press", "retain"},
    "image": {"image_topic", "image_encoding", "content_type", "url_topic", "url_template"},
}
REQUIRED = {
    "binary_sensor": {"state_topic"},
    "sensor": {"state_topic"},
    "number": {"command_topic"},
    "switch": {"command_topic"},
    "button": {"command_topic"},
    "image": {"image_topic"},
}
DEVICE_CLASSES = {
    "binary_sensor": {"problem", "running", "connectivity"},
    "sensor": {"enum", "sound_pressure"},
}
DEVICE = {
    *("identifiers", "connections", "name", "manufacturer", "model", "model_id", "sw_version"),
    *("hw_version", "serial_number", "via_device", "suggested_area", "configuration_url"),
}
ORIGIN = {"name", "sw_version", "support_url"}
TEMPLATES = ("value_template", "json_attributes_template", "command_template")


def entities(messages):
    """Every entity of the discovery messages, checked: its fields with ``device``, by its id."""
    found = {}
    for topic, payload in messages.items():
        for key, entity, device in _entities_of(topic, json.loads(payload)):
            _check_entity(key, entity)
            assert entity["unique_id"] not in found, f"{topic}: {entity['unique_id']} twice"
            found[entity["unique_id"]] = entity | {"device": device}
    return found


def _entities_of(topic, message):
    parts = topic.split("/")
    assert parts[-1] == "config", topic
    platform, object_id = parts[-3:-1]
    assert re.fullmatch(OBJECT_ID, object_id), topic
    device, origin = message.pop("device"), message.pop("origin")
    assert set(device) <= DEVICE
    assert device.get("identifiers") or device.get("connections")
    assert set(origin) <= ORIGIN
    assert origin["name"]
    if platform == "device":
        components = message.pop("components")
        assert components
        assert not message
        for key, entity in components.items():
            yield key, entity, device
    else:
        yield object_id, message | {"platform": platform}, device


def _check_entity(key, entity):
    platform = entity["platform"]
    own = set(entity) - {"platform"}
    assert own <= PLATFORMS[platform] | ENTITY, (key, own - PLATFORMS[platform] - ENTITY)
    assert own >= REQUIRED[platform] | {"unique_id", "name"}, key
    assert entity.get("device_class") in {None} | DEVICE_CLASSES.get(platform, set()), key
    assert entity.get("entity_category") in (None, "config", "diagnostic"), key
    assert entity.get("availability_mode", "latest") in ("all", "any", "latest"), key
    for condition in entity.get("availability", []):
        assert {"topic"} <= set(condition) <= {"topic", "value_template", "payload_available"}
    enum = entity.get("device_class") == "enum"
    if platform == "sensor":
        assert enum == ("options" in entity), key
        assert not (enum and {"state_class", "unit_of_measurement"} & own), key
        if entity.get("device_class") == "sound_pressure":
            assert entity["unit_of_measurement"] in ("dB", "dBA"), key
    if platform == "number":
        assert entity["min"] < entity["max"], key
        assert entity["step"] > 0, key
    for name in own & {"state_topic", "command_topic", "image_topic"}:
        assert not set("+#") & set(entity[name]), key


_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)


def render(template, payload):
    """What a template makes of a payload."""
    value = payload.decode()
    try:
        document = json.loads(value)
    except ValueError:
        document = None
    return _environment.from_string(template).render(value=value, value_json=document).strip()


def shown(entity, said):
    """What Home Assistant shows of an entity, from what was said last on each topic.

    Args:
        entity: As ``entities`` gives it.
        said: Payloads by topic; what was never said is missing.
    """
    conditions = [_available(condition, said) for condition in entity.get("availability", [])]
    if not all(conditions):
        return "unavailable"
    topic = entity.get("state_topic")
    if topic is None or topic not in said:
        return "unknown"
    text = render(entity.get("value_template", "{{ value }}"), said[topic])
    assert text != "None", f"{entity['unique_id']}: a template gives None"
    if not text:
        return "skipped"
    if entity["platform"] in ("binary_sensor", "switch"):
        words = {entity.get("payload_on", "ON"): "on", entity.get("payload_off", "OFF"): "off"}
        return words[text]
    if "options" in entity:
        assert text in entity["options"], text
    elif entity["platform"] in ("sensor", "number"):
        float(text)
    return text


def _available(condition, said):
    if condition["topic"] not in said:
        return False
    text = render(condition.get("value_template", "{{ value }}"), said[condition["topic"]])
    assert text in ("online", "offline"), text
    return text == "online"
