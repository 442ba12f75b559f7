"""Topics are spelt in one way only."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.publish.topics import THINGS, Topics, topic_segment


@given(st.text())
def test_every_name_gives_a_segment_that_stays_itself(name):
    segment = topic_segment(name)
    assert re.fullmatch(r"[a-z0-9_-]{1,64}", segment)
    assert topic_segment(segment) == segment


@given(st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True))
def test_names_of_monitors_are_never_changed(name):
    assert topic_segment(name) == name


@pytest.mark.parametrize(
    ("name", "segment"),
    [("Press Hall/3", "press-hall-3"), ("Pümpe #1+", "pumpe-1"), ("A" * 80, "a" * 64)],
)
def test_names_stay_readable(name, segment):
    assert topic_segment(name) == segment


def test_names_in_another_script_stay_apart():
    assert topic_segment("泵一") != topic_segment("泵二")


LEAVES = ("event", "state", "alarm", "score", "microphone", "report")


def test_the_tree():
    topics = Topics("Hall 3")
    assert [topics.status, topics.info, topics.health] == [
        "edge-asd/hall-3/status",
        "edge-asd/hall-3/info",
        "edge-asd/hall-3/health",
    ]
    leaves = [getattr(topics, name) for name in LEAVES]
    assert [leaf("pump-1") for leaf in leaves] == [
        f"edge-asd/hall-3/pump-1/{leaf}" for leaf in LEAVES
    ]


def test_what_can_be_set_has_a_topic_to_ask_and_one_that_answers():
    topics = Topics("hall")
    for thing in THINGS:
        assert topics.thing_set("pump-1", thing) == f"edge-asd/hall/pump-1/{thing}/set"
        assert topics.thing_state("pump-1", thing) == f"edge-asd/hall/pump-1/{thing}/state"
        assert topics.every_set(thing) == f"edge-asd/hall/+/{thing}/set"
    assert topics.command("enrol") == "edge-asd/hall/cmd/enrol"
    assert topics.reply("enrol") == "edge-asd/hall/cmd/enrol/reply"
