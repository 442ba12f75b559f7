"""What a daemon said once is still understood, byte by byte, and is what the schemas promise."""

from __future__ import annotations

import json

import jsonschema
import pytest
from contract.golden import FOLDER, golden_messages
from support.contract import violation

from edge_asd.publish.contract import channels
from edge_asd.publish.payload import Payload
from edge_asd.publish.schemas import json_schema
from edge_asd.records import EventType, State

MESSAGES = golden_messages()
JSON = {name: golden for name, golden in MESSAGES.items() if golden.payload.startswith(b"{")}


def known_part(said, model):
    """``said`` without the fields that ``model`` has not, however deep."""
    if isinstance(said, dict) and isinstance(model, dict):
        return {key: known_part(value, model[key]) for key, value in said.items() if key in model}
    if isinstance(said, list) and isinstance(model, list):
        return [known_part(one, other) for one, other in zip(said, model, strict=True)]
    return said


@pytest.mark.parametrize("name", sorted(JSON))
def test_todays_models_parse_it_and_say_the_very_same(name):
    golden = JSON[name]
    model = golden.channel.payload
    assert issubclass(model, Payload)
    said = model.model_validate_json(golden.payload).to_json()
    if said != golden.payload:  # fields were added since: nothing else may differ
        old, new = json.loads(golden.payload), json.loads(said)
        assert known_part(new, old) == old
        assert new != old, "the same fields, and yet other bytes"


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_schema_of_its_topic_accepts_it(name):
    golden = MESSAGES[name]
    plain = golden.payload.decode()
    document = json.loads(plain) if name in JSON else plain
    jsonschema.validate(document, json_schema(golden.channel), jsonschema.Draft202012Validator)
    assert (golden.qos, golden.retain) == (golden.channel.qos, golden.channel.retain)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_it_is_what_a_subscriber_of_today_gets(name):
    golden = MESSAGES[name]
    assert violation(golden.topic, golden.payload, qos=golden.qos) == "", (
        "fields were added since it was recorded: run `make golden` and read what changed"
    )


def test_every_topic_and_every_step_of_life_is_there():
    said = {channel.name for channel in channels() if not channel.received}
    assert {golden.channel.name for golden in MESSAGES.values()} == said - {"picture"}
    steps = {json.loads(g.payload)["type"] for g in JSON.values() if g.channel.name == "event"}
    assert steps == {step.value for step in EventType}
    steps = {json.loads(g.payload)["type"] for g in JSON.values() if g.channel.name == "microphone"}
    assert steps == {"new", "end"}
    shown = {json.loads(g.payload)["state"] for g in JSON.values() if g.channel.name == "state"}
    assert {State.NORMAL, State.UNKNOWN, State.BASELINING, State.INHIBITED} <= set(
        map(State, shown)
    )


def test_the_steps_of_an_alert_belong_together():
    steps = [json.loads(JSON[f"event-{step}"].payload) for step in ("new", "end")]
    assert len({step["id"] for step in steps}) == 1
    assert steps[0]["seq"] < steps[1]["seq"]
    assert JSON["event-update-evidence"].payload.count(b'"clip":"') == 1
    assert json.loads(JSON["event-update-acked"].payload)["acked_by"] == "anna"
    assert json.loads(JSON["event-new-rehearsal"].payload)["rehearsal"] is True


def test_every_file_is_listed():
    listed = {*json.loads((FOLDER / "topics.json").read_text()), "topics.json"}
    assert {path.name for path in FOLDER.iterdir()} == listed
