"""The contract as files for subscribers: a JSON Schema for every payload, one AsyncAPI document."""

from __future__ import annotations

import json
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from edge_asd.publish.contract import Channel, Picture, Text, Words, channels
from edge_asd.publish.payload import SCHEMA

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ABOUT = (
    "What an edge-asd device says over MQTT, and what it can be asked. "
    "Fields are only ever added, and so are values to lists of values: ignore what you do not "
    "know. All times are RFC 3339 in UTC. Numbers are null where there is nothing to tell. "
    "State `unknown` is not `normal`: it says that nobody listens, and why."
)
_PARAMETERS = {
    "device": "The device's name in lower case, anything but letters, digits, `-` and `_` made "
    "`-`; `info.device` has the name itself.",
    "verb": "What is asked for.",
    "monitor": "Name of the monitor: one machine, one channel of one microphone.",
}


def contract_files() -> dict[str, bytes]:
    """Every file of the contract, by its name relative to the folder it is written to."""
    files = {
        f"schemas/{channel.name}.schema.json": _json(json_schema(channel)) for channel in channels()
    }
    text = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=100)
    return {"asyncapi.yaml": text.replace("``", "`").encode()} | files


def json_schema(channel: Channel) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a channel's payload."""
    head = {"$schema": DIALECT, "$id": f"urn:edge-asd:{SCHEMA}:{channel.name}"}
    payload = channel.payload
    if isinstance(payload, (Words, Text, Picture)):
        return head | {"description": channel.summary} | _plain(payload)
    schema = payload.model_json_schema(mode=_mode(channel), schema_generator=_Untitled)
    definitions = schema.pop("$defs", {})
    for definition in (schema, *definitions.values()):
        _complete(definition)
    return head | schema | ({"$defs": definitions} if definitions else {})


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document of the whole contract."""
    listed = channels()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edge-asd over MQTT",
            "version": f"{SCHEMA}.0.0",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in listed},
        "operations": {
            f"{_action(channel)}-{channel.name}": _operation(channel) for channel in listed
        },
        "components": {
            "messages": {channel.name: _message(channel) for channel in listed},
            "schemas": _definitions(listed),
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    used = [name for name in _PARAMETERS if f"{{{name}}}" in channel.address]
    return {
        "address": channel.address,
        "description": channel.summary,
        "parameters": {name: {"description": _PARAMETERS[name]} for name in used},
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    reference = f"#/channels/{channel.name}"
    operation: dict[str, Any] = {
        "action": _action(channel),
        "channel": {"$ref": reference},
        "summary": channel.summary,
        "messages": [{"$ref": f"{reference}/messages/{channel.name}"}],
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retain}},
    }
    if channel.reply:
        operation["reply"] = {"channel": {"$ref": f"#/channels/{channel.reply}"}}
    return operation


def _action(channel: Channel) -> str:
    return "receive" if channel.received else "send"


def _mode(channel: Channel) -> JsonSchemaMode:
    """Seen from those who read, or from those who write."""
    return "validation" if channel.received else "serialization"


def _message(channel: Channel) -> dict[str, Any]:
    payload = channel.payload
    if isinstance(payload, (Words, Text, Picture)):
        content = payload.content_type if isinstance(payload, Picture) else "text/plain"
        return {"summary": channel.summary, "contentType": content, "payload": _plain(payload)}
    return {
        "summary": channel.summary,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{payload.__name__}"},
    }


def _definitions(listed: tuple[Channel, ...]) -> dict[str, Any]:
    models = {c.payload: _mode(c) for c in listed if isinstance(c.payload, type)}
    _, schema = models_json_schema(
        list(models.items()),
        schema_generator=_Untitled,
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schema["$defs"]
    for definition in definitions.values():
        _complete(definition)
    return dict(sorted(definitions.items()))


def _plain(payload: Words | Text | Picture) -> dict[str, Any]:
    if isinstance(payload, Words):
        return {"type": "string", "enum": list(payload.words)}
    if isinstance(payload, Text):
        return {"type": "string", "pattern": payload.pattern}
    return {"type": "string", "format": "binary"}


def _complete(definition: dict[str, Any]) -> None:
    """What pydantic leaves out: the version has a default, and yet it is in every message."""
    if "schema" in definition.get("properties", {}):
        definition["required"] = ["schema", *definition.get("required", [])]


def _json(schema: dict[str, Any]) -> bytes:
    text = json.dumps(schema, indent=2, ensure_ascii=False).replace("``", "`")
    return f"{text}\n".encode()


class _Untitled(GenerateJsonSchema):
    """Without titles made from the names of fields, which say nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False
