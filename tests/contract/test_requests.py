"""What the contract says of commands is what the device takes."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.errors import UsageError
from edge_asd.normal.normal_orders import _REMOTE_KEYS, NormalCommand
from edge_asd.publish.asking import _COMMON, _KEYS, request_of_command, request_of_set
from edge_asd.publish.contract import channels
from edge_asd.publish.requests import REQUESTS
from edge_asd.publish.schemas import json_schema
from edge_asd.publish.topics import THINGS

named = {channel.name: channel for channel in channels()}


@pytest.mark.parametrize("verb", sorted(_KEYS))
def test_the_models_know_the_very_keys_that_are_understood(verb):
    assert set(REQUESTS[verb].model_fields) == {*_KEYS[verb], *_COMMON, "monitor"}


def test_the_model_of_a_confirmation_knows_the_very_keys_that_are_taken_over_mqtt():
    of_the_way = {"command", "via"}
    assert set(REQUESTS["normal"].model_fields) == (_REMOTE_KEYS - of_the_way) | {"request_id"}


values = st.one_of(
    st.text(max_size=5), st.integers(-5, 20_000), st.booleans(), st.none(), st.floats(0.01, 90.0)
)


@given(st.data())
def test_what_the_schema_allows_is_not_refused_as_unreadable(data):
    verb = data.draw(st.sampled_from(sorted(REQUESTS)))
    keys = data.draw(st.lists(st.sampled_from([*REQUESTS[verb].model_fields, "odd"]), unique=True))
    request = {key: data.draw(values) for key in keys}
    payload = json.dumps(request).encode()
    validator = jsonschema.Draft202012Validator(json_schema(named[f"cmd-{verb}"]))
    if validator.is_valid(request):
        understood = request_of_command(verb, payload)
        assert understood["command"] == verb
        if verb == "normal" and request["event"]:
            NormalCommand.parse(understood)
    elif "odd" in request and verb in _KEYS:
        with pytest.raises(UsageError, match="odd"):
            request_of_command(verb, payload)


EXAMPLES = ("ON", "OFF", "30", "0", "12.5", "anna", "", "{}", "-3", "1e3", "ten")


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("text", EXAMPLES)
def test_what_the_schema_allows_on_a_set_topic_is_understood(thing, text):
    if jsonschema.Draft202012Validator(json_schema(named[f"{thing}-set"])).is_valid(text):
        assert request_of_set(thing, "pump", text.encode())["monitor"] == "pump"
