"""Fields are only added: whoever subscribed to a released contract goes on understanding us.

``released/`` holds the schemas as subscribers know them. It changes by adding a schema, or a field
that was published since; a field there never changes and never goes while the version is 1.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.publish.contract import channels
from edge_asd.publish.schemas import json_schema

RELEASED = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "released").glob("*.schema.json"))
}
named = {channel.name: channel for channel in channels()}
SAID_FOR_PEOPLE = {"description", "default", "$defs", "title"}


def expanded(node, definitions):
    """The same schema with every reference replaced by what it points to."""
    if isinstance(node, list):
        return [expanded(part, definitions) for part in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = definitions[node["$ref"].removeprefix("#/$defs/")]
    return {key: expanded(value, definitions) for key, value in node.items()}


def broken(old, new, *, received=False):
    """What somebody who knows the schema ``old`` would stumble over."""
    old = expanded(old, old.get("$defs", {}))
    new = expanded(new, new.get("$defs", {}))
    return list(_broken(old, new, "$", received=received))


def _broken(old, new, path, *, received):
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (old.keys() | new.keys()) - SAID_FOR_PEOPLE:
            yield from _broken_keyword(key, old, new, f"{path}.{key}", received=received)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _broken(one, other, f"{path}[{index}]", received=received)
    elif old != new:
        yield f"{path}: {old!r} became {new!r}"


def _broken_keyword(key, old, new, path, *, received):
    if key == "properties":
        yield from _broken_fields(old.get(key, {}), new.get(key, {}), path, received=received)
    elif key == "required":
        were, are = set(old.get(key, [])), set(new.get(key, []))
        if lost := are - were if received else were - are:
            yield f"{path}: {sorted(lost)}"
    elif key == "enum":
        if gone := set(old.get(key, [])) - set(new.get(key, [])):
            yield f"{path}: {sorted(gone)} went"
    else:
        yield from _broken(old.get(key), new.get(key), path, received=received)


def _broken_fields(old, new, path, *, received):
    for field, schema in old.items():
        if field not in new:
            yield f"{path}.{field}: went"
        else:
            yield from _broken(schema, new[field], f"{path}.{field}", received=received)


def test_something_was_released():
    assert {"state", "event", "microphone", "score", "report", "info", "health"} <= set(RELEASED)


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_what_was_released_still_holds(name):
    channel = named[name]
    assert not broken(RELEASED[name], json_schema(channel), received=channel.received)


def fields(schema):
    """Every field of a schema, however deep: the mapping that holds it, and its name."""
    nodes, found = [schema], []
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            held = node.get("properties", {})
            found += [(held, field) for field in held]
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return found


@given(st.data())
def test_a_field_that_goes_changes_its_name_or_its_type_is_noticed(data):
    old = RELEASED[data.draw(st.sampled_from(["state", "event", "info", "health", "report"]))]
    new = copy.deepcopy(old)
    held, field = data.draw(st.sampled_from(fields(new)))
    match data.draw(st.sampled_from(["removed", "renamed", "narrowed", "retyped"])):
        case "removed":
            del held[field]
        case "renamed":
            held[f"{field}_2"] = held.pop(field)
        case "narrowed":
            held[field] = {"const": "one"}
        case _:
            held[field] = {"type": "array"}
    assert broken(old, new)


@given(st.data())
def test_a_field_that_is_added_breaks_nobody(data):
    old = RELEASED[data.draw(st.sampled_from(["state", "event", "info", "health", "report"]))]
    new = copy.deepcopy(old)
    held, _ = data.draw(st.sampled_from(fields(new)))
    held["quite_new"] = {"type": "integer", "default": 0}
    assert not broken(old, new)


def test_a_field_that_a_command_must_have_may_not_be_new():
    old = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    new = {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a", "b"]}
    assert broken(old, new, received=True)
    assert not broken(old, new)
    assert broken(new, old)
