"""Whether what a subscriber receives is what the contract promises."""

from __future__ import annotations

import functools
import json
import re

from edge_asd.publish.contract import Picture, Text, Words, channel_of
from edge_asd.publish.schemas import json_schema

try:
    from jsonschema import Draft202012Validator
except ImportError:  # tests/contract fails without it, so that nobody overlooks it
    Draft202012Validator = None

PNG = b"\x89PNG\r\n\x1a\n"


def closed(schema):
    """The same schema without the room that it leaves for other versions: every field, no other."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        shut |= {"additionalProperties": False, "required": list(schema["properties"])}
    return shut


@functools.lru_cache
def _validator(channel):
    return Draft202012Validator(closed(json_schema(channel)))


def violation(topic, payload, *, qos=None, retained=False):
    """What is wrong with a message of today's device; empty when nothing is."""
    channel = channel_of(topic)
    if channel is None:
        return f"{topic}: no such topic in the contract"
    wrong = ""
    if retained and not channel.retain:
        wrong = "is retained"
    elif qos not in (None, channel.qos):
        wrong = f"QoS {qos}, not {channel.qos}"
    elif payload or not channel.retain:  # else a retained message is taken back
        wrong = _wrong_payload(channel, payload)
    return wrong and f"{topic}: {wrong}"


def _wrong_payload(channel, payload):
    kind, text = channel.payload, payload.decode(errors="replace")
    if isinstance(kind, Words):
        return "" if text in kind.words else f"{payload!r} is none of {kind.words}"
    if isinstance(kind, Text):
        return "" if re.search(kind.pattern, text) else f"{payload!r} is not like {kind.pattern}"
    if isinstance(kind, Picture):
        return "" if payload.startswith(PNG) else "no PNG"
    return _first_error(channel, payload)


def _first_error(channel, payload):
    try:
        document = json.loads(payload, parse_constant=_no_nan)
    except ValueError as error:
        return f"no JSON: {error}: {payload[:80]!r}"
    if Draft202012Validator is None:
        return ""
    error = next(_validator(channel).iter_errors(document), None)
    return "" if error is None else f"{error.json_path}: {error.message}"


def _no_nan(text):
    raise ValueError(f"{text} is no JSON")


class Witness:
    """Collects the violations of one test."""

    def __init__(self) -> None:
        self.found = []

    def look(self, message):
        """Look at a message that a subscriber received."""
        channel = channel_of(message.topic)
        others_say_it = channel is not None and channel.received
        if message.topic.startswith("edge-asd/") and not others_say_it:
            wrong = violation(
                message.topic, message.payload, qos=message.qos, retained=message.retain
            )
            if wrong:
                self.found.append(wrong)

    def take(self):
        """What was found since the last call."""
        found, self.found = self.found, []
        return found


WITNESS = Witness()
