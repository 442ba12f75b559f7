"""What may be said in a command over MQTT, turned into what the worker understands.

``…/<monitor>/<thing>/set`` takes a word or a number, ``…/cmd/<verb>`` a JSON object; the former
takes an object, too. Whatever is wrong with it is said in one line, and nothing is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edge_asd.errors import UsageError
from edge_asd.operators.audit import name_of

_ON, _OFF = ("on", "true"), ("off", "false")
_PRESSED = ("", "on", "press", "true")
"""What a button says that has no more to say."""
_COMMON = ("by", "request_id")
_KEYS = {
    "enabled": ("on",),
    "inhibit": ("on", "minutes"),
    "snooze": ("on", "minutes"),
    "ack": ("event",),
    "enrol": ("seconds", "force"),
}
"""What each verb knows beside ``monitor`` and ``_COMMON``; others decide themselves."""
_MAX_ID = 128
_LARGEST = 1e15
_SHOWN = 60


def request_of_set(thing: str, monitor: str, payload: bytes) -> dict[str, Any]:
    """What was said on a ``set`` topic.

    Args:
        thing: One of ``topics.THINGS``.
        monitor: Of the topic.
        payload: As it came.

    Raises:
        UsageError: It means nothing.
    """
    text = _text(thing, payload)
    fields = _object(thing, text) if text.startswith("{") else _word(thing, text)
    if fields.setdefault("monitor", monitor) != monitor:
        raise UsageError(f"{thing}: 'monitor' is not that of the topic, {monitor}")
    return _checked(thing, fields)


def request_of_command(verb: str, payload: bytes) -> dict[str, Any]:
    """What was said on a ``cmd`` topic.

    Raises:
        UsageError: It means nothing.
    """
    text = _text(verb, payload)
    if not text.startswith("{"):
        raise UsageError(f'{verb}: a JSON object is needed, such as {{"monitor": "pump-1"}}')
    return _checked(verb, _object(verb, text))


def request_id_of(payload: bytes) -> str | int | None:
    """The ``request_id`` of a command, also of one that is wrong otherwise."""
    try:
        return _id(json.loads(payload))
    except (ValueError, RecursionError):
        return None


def _id(fields: object) -> str | int | None:
    found = fields.get("request_id") if isinstance(fields, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return found if len(str(found)) <= _MAX_ID else None


def _text(verb: str, payload: bytes) -> str:
    try:
        return payload.decode().strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"{verb}: not UTF-8 text") from error


def _object(verb: str, text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{verb}: not JSON: {str(error)[:_SHOWN]}") from error
    return dict(fields)


def _word(thing: str, text: str) -> dict[str, Any]:
    word = text.lower()
    if thing == "ack":
        if word in (*_OFF, "0"):
            raise UsageError("ack: an acknowledgement is not taken back")
        return {} if word in _PRESSED else {"by": text}
    if word in _ON:
        return {"on": True}
    if word in _OFF:
        return {"on": False}
    if thing == "enabled":
        raise UsageError(f"enabled: ON or OFF, got {text[:_SHOWN]!r}")
    try:
        minutes = float(text)
    except ValueError as error:
        form = "minutes or OFF" if thing == "snooze" else "minutes, ON or OFF"
        raise UsageError(f"{thing}: {form}, got {text[:_SHOWN]!r}") from error
    return {"on": False} if minutes == 0 else {"minutes": minutes}


def _plain(value: object) -> bool:
    if isinstance(value, int | float):
        return -_LARGEST < value < _LARGEST  # neither NaN nor what no float can hold
    return value is None or isinstance(value, str)


def _checked(verb: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Only what the verb knows, and only plain values: no files are read for whoever asks."""
    known = _KEYS.get(verb)
    for key, value in fields.items():
        if known is not None and key not in (*known, "monitor", *_COMMON):
            names = ", ".join(sorted((*known, "monitor", *_COMMON)))
            raise UsageError(f"{verb}: unknown key {key[:_SHOWN]!r}; it knows: {names}")
        if not _plain(value):
            raise UsageError(f"{verb}: {key[:_SHOWN]!r} must be text, a number, true or false")
    by = name_of(fields.get("by"), "somebody over MQTT")
    kept = {key: value for key, value in fields.items() if key != "request_id"}
    return {**kept, "command": verb, "by": by, "via": "mqtt"}
