"""Whatever is said in a command over MQTT is either understood or refused in one line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.errors import UsageError
from edge_asd.publish.asking import request_id_of, request_of_command, request_of_set
from edge_asd.publish.topics import THINGS

VERBS = (*THINGS, "enrol", "normal")
KEYS = ("monitor", "on", "minutes", "by", "event", "seconds", "force", "from", "request_id", "days")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
objects = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), values, max_size=5)
payloads = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=40).map(str.encode),
    values.map(lambda value: json.dumps(value).encode()),
    objects.map(lambda fields: json.dumps(fields).encode()),
    st.sampled_from([b"[" * 5000, b'{"a":' * 5000, b'{"minutes": 1' + b"0" * 400 + b"}"]),
)


@pytest.mark.parametrize(
    ("thing", "payload", "wanted"),
    [
        ("enabled", "ON", {"on": True}),
        ("enabled", "off", {"on": False}),
        ("enabled", '{"on": false, "by": "anna"}', {"on": False, "by": "anna"}),
        ("inhibit", "ON", {"on": True}),
        ("inhibit", " 45 ", {"minutes": 45.0}),
        ("inhibit", "0", {"on": False}),
        ("inhibit", '{"minutes": 5, "request_id": 7}', {"minutes": 5}),
        ("snooze", "OFF", {"on": False}),
        ("snooze", "0.5", {"minutes": 0.5}),
        ("ack", "", {}),
        ("ack", "PRESS", {}),
        ("ack", "Anna B.", {"by": "Anna B."}),
        ("ack", '{"event": "12ab"}', {"event": "12ab"}),
    ],
)
def test_a_word_a_number_or_an_object_can_be_said(thing, payload, wanted):
    usual = {"monitor": "pump", "command": thing, "by": "somebody over MQTT", "via": "mqtt"}
    assert request_of_set(thing, "pump", payload.encode()) == usual | wanted


@pytest.mark.parametrize(
    ("thing", "payload", "word"),
    [
        ("enabled", "maybe", "ON or OFF"),
        ("inhibit", "soon", "minutes, ON or OFF"),
        ("snooze", "soon", "minutes or OFF"),
        ("ack", "OFF", "not taken back"),
        ("inhibit", "{", "not JSON"),
        ("inhibit", '{"minute": 5}', "unknown key 'minute'"),
        ("inhibit", '{"minutes": [5]}', "'minutes' must be"),
        ("inhibit", '{"minutes": NaN}', "'minutes' must be"),
        ("inhibit", '{"monitor": "fan", "on": true}', "not that of the topic"),
        ("ack", '{"by": {"name": "anna"}}', "'by' must be"),
    ],
)
def test_what_means_nothing_is_refused_with_what_would_be_right(thing, payload, word):
    with pytest.raises(UsageError, match=word):
        request_of_set(thing, "pump", payload.encode())


def test_no_file_is_read_for_whoever_asks():
    with pytest.raises(UsageError, match="unknown key 'from'"):
        request_of_command("enrol", b'{"monitor": "pump", "from": ["/etc/shadow"]}')


def test_a_command_is_an_object():
    with pytest.raises(UsageError, match="JSON object"):
        request_of_command("snooze", b"5")


def said(verb, payload, *, settable):
    """The request, or why there is none."""
    try:
        if settable:
            return request_of_set(verb, "pump", payload)
        return request_of_command(verb, payload)
    except UsageError as error:
        return str(error)


def check(verb, payload, *, settable):
    """It is understood, with who asks and nothing but plain values, or refused."""
    request = said(verb, payload, settable=settable)
    if isinstance(request, str):
        assert request.startswith(f"{verb}: ")
        assert "\n" not in request
        assert len(request) < 300
        return
    assert (request["command"], request["via"]) == (verb, "mqtt")
    assert request["by"]
    assert request["by"].isprintable()
    json.dumps(request, allow_nan=False)
    assert "from" not in request or verb == "normal"


@given(st.sampled_from(VERBS), payloads, st.booleans())
def test_nothing_that_is_said_does_any_harm(verb, payload, settable):
    check(verb, payload, settable=settable and verb in THINGS)
    request_id_of(payload)


@pytest.mark.long
@settings(max_examples=10_000)
@given(st.sampled_from(VERBS), payloads, st.booleans())
def test_nothing_that_is_said_does_any_harm_at_length(verb, payload, settable):
    check(verb, payload, settable=settable and verb in THINGS)
    request_id_of(payload)
