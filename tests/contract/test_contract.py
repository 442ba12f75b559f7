"""The contract is what the models and the topics say, and its files are up to date."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.contract import closed, violation

from edge_asd.publish.contract import Channel, Picture, Text, Words, channel_of, channels
from edge_asd.publish.requests import REQUESTS
from edge_asd.publish.schemas import asyncapi, contract_files, json_schema
from edge_asd.publish.topics import THINGS, Topics

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "contract"
names = st.text(min_size=1, max_size=30)
named = {channel.name: channel for channel in channels()}


def walk(node, path=()):
    """Every mapping of a document, with its path."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from walk(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, (*path, index))


def resolve(document, reference):
    assert reference.startswith("#/"), reference
    for part in reference[2:].split("/"):
        document = document[part]
    return document


def test_the_committed_files_are_those_of_todays_models():
    written = {
        str(path.relative_to(COMMITTED)): path.read_bytes()
        for path in COMMITTED.rglob("*")
        if path.is_file()
    }
    assert written == contract_files(), "run `make schemas` and read what changed"


def test_the_command_writes_the_same_files(shell, tmp_path):
    result = shell("schemas", "--out", tmp_path / "new" / "folder")
    assert result.returncode == 0, result.stderr
    written = {str(p.relative_to(tmp_path / "new/folder")) for p in tmp_path.rglob("*.*")}
    assert written - {"folder"} == set(contract_files())


@given(names, names)
def test_every_topic_of_a_device_is_in_the_contract_under_its_own_name(device, monitor):
    topics = Topics(device)
    own = {topics.status: "status", topics.info: "info", topics.health: "health"}
    for leaf in ("event", "state", "alarm", "score", "microphone", "report", "picture"):
        own[getattr(topics, leaf)(monitor)] = leaf
    for thing in THINGS:
        own[topics.thing_state(monitor, thing)] = f"{thing}-state"
        own[topics.thing_set(monitor, thing)] = f"{thing}-set"
    for verb in REQUESTS:
        own[topics.command(verb)] = f"cmd-{verb}"
        own[topics.reply(verb)] = "reply"
    assert {topic: channel_of(topic).name for topic in own} == own
    assert channel_of(topics.base) is None


def test_no_topic_is_spelt_beside_the_contract():
    spelt = [name for name, _ in inspect.getmembers(Topics, inspect.isfunction) if name[0] != "_"]
    known = {"thing_set", "thing_state", "every_set", "command", "reply"}  # one channel a thing
    assert set(spelt) <= set(named) | known


@pytest.mark.parametrize("name", sorted(named))
def test_every_schema_is_one_of_2020_12(name):
    jsonschema.Draft202012Validator.check_schema(json_schema(named[name]))


@pytest.mark.parametrize("name", sorted(named))
def test_every_field_says_what_it_means(name):
    schema = json_schema(named[name])
    assert schema["description"]
    for path, node in walk(schema):
        for field, described in node.get("properties", {}).items():
            own = described.get("description")
            other = resolve(schema, described["$ref"]) if "$ref" in described else {}
            assert own or other.get("description"), (*path, field)


def test_every_reference_of_the_asyncapi_document_resolves():
    document = yaml.safe_load(contract_files()["asyncapi.yaml"])
    assert document["asyncapi"].startswith("3.0")
    references = [node["$ref"] for _, node in walk(document) if "$ref" in node]
    assert len(references) > 3 * len(named)
    for reference in references:
        assert isinstance(resolve(document, reference), dict)


def test_the_asyncapi_document_holds_every_channel_with_its_quality_of_service():
    document = asyncapi()
    assert set(document["channels"]) == set(named)
    told = {}
    for operation in document["operations"].values():
        name = operation["channel"]["$ref"].removeprefix("#/channels/")
        told[name] = operation
        assert operation["messages"] == [{"$ref": f"#/channels/{name}/messages/{name}"}]
    for name, channel in named.items():
        section = document["channels"][name]
        assert section["address"] == channel.address
        assert {f"{{{key}}}" for key in section["parameters"]} == {
            part for part in channel.address.split("/") if part.startswith("{")
        }
        assert told[name]["action"] == ("receive" if channel.received else "send")
        answered = told[name].get("reply", {}).get("channel", {}).get("$ref", "")
        assert answered.removeprefix("#/channels/") == channel.reply
        assert told[name]["bindings"]["mqtt"]["qos"] == channel.qos
        assert told[name]["bindings"]["mqtt"]["retain"] == channel.retain


def test_events_are_never_retained_and_states_always_are():
    retained = {name for name, channel in named.items() if channel.retain}
    things = {f"{thing}-state" for thing in THINGS}
    assert retained == {"status", "info", "health", "state", "alarm", "report", "picture"} | things


def test_a_closed_schema_refuses_a_field_that_the_contract_does_not_know():
    schema = closed({"properties": {"a": {"properties": {"b": {}}}}})
    jsonschema.validate({"a": {"b": 1}}, schema)
    for wrong in ({"a": {"b": 1}, "c": 1}, {"a": {}}, {"a": {"b": 1, "c": 2}}, {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.parametrize(
    ("topic", "payload", "facts", "wrong"),
    [
        ("edge-asd/hall/status", b"online", {}, ""),
        ("edge-asd/hall/status", b"stopped", {}, "none of"),
        ("edge-asd/hall/pump/alarm", b"", {}, ""),
        ("edge-asd/hall/pump/alarm", b"ON", {"qos": 0}, "QoS"),
        ("edge-asd/hall/pump/event", b"{}", {"retained": True}, "is retained"),
        ("edge-asd/hall/pump/event", b"", {}, "no JSON"),
        ("edge-asd/hall/pump/score", b'{"score": NaN}', {}, "NaN"),
        ("edge-asd/hall/pump/score", b'{"schema": 1}', {}, "required"),
        ("edge-asd/hall/pump/picture", b"\x89PNG\r\n\x1a\n...", {}, ""),
        ("edge-asd/hall/pump/picture", b"GIF89a", {}, "no PNG"),
        ("edge-asd/hall/pump/snooze/state", b"ten", {}, "is not like"),
        ("edge-asd/hall/pump/elsewhere", b"{}", {}, "no such topic"),
    ],
)
def test_what_breaks_the_contract_is_named(topic, payload, facts, wrong):
    found = violation(topic, payload, **facts)
    assert (wrong in found) if wrong else not found, found


def test_channels_are_told_apart():
    assert len({channel.address for channel in channels()}) == len(named) == len(channels())
    for channel in channels():
        assert isinstance(channel, Channel)
        assert channel.qos in (0, 1)
        plain = isinstance(channel.payload, (Words, Text, Picture))
        assert plain or json.dumps(json_schema(channel))
