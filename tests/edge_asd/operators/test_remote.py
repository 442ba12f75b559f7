"""Over MQTT only what is allowed is heard, nothing that was kept, and not more than people ask."""

from __future__ import annotations

import json
from concurrent.futures import Future

import pytest
from prometheus_client import CollectorRegistry

from edge_asd.config import parse_config
from edge_asd.errors import StorageError
from edge_asd.metrics.metrics import Metrics
from edge_asd.operators.audit import Audit
from edge_asd.operators.remote import BURST, MAX_PENDING, PER_S, RemoteCommands, settable
from edge_asd.publish.incoming import Incoming

BASE = "edge-asd/hall"


class Desk:
    """A sink without a broker, a worker without machines, and the time."""

    def __init__(self, *verbs):
        self.handlers, self.replies, self.requests, self.now_s = {}, [], [], 100.0
        self.registry = CollectorRegistry()
        broker = {"url": "mqtt://localhost", "commands": verbs}
        self.config = parse_config({"device": "hall", "mqtt": broker}, "test")
        audit = Audit(Metrics(self.registry, version="0"))
        remote = RemoteCommands("hall", self, self.submit, audit, clock=lambda: self.now_s)
        remote.listen(self.config)

    # The sink

    def subscribe(self, topic_filter, handler):
        self.handlers[topic_filter] = handler

    def reply(self, topic, payload, correlation):
        self.replies.append((topic, json.loads(payload), correlation))

    # The worker

    def submit(self, request, _progress):
        self.requests.append((request, Future()))
        return self.requests[-1][1]

    # A client

    def say(self, topic, payload="", *, filter_=None, **more):
        data = json.dumps(payload) if isinstance(payload, dict) else payload
        message = Incoming(f"{BASE}/{topic}", data.encode(), more.pop("retain", False), **more)
        self.handlers[f"{BASE}/{filter_ or topic}"](message)

    def refused(self, verb):
        labels = {"verb": verb, "result": "refused"}
        return self.registry.get_sample_value("edge_asd_commands_total", labels)


@pytest.fixture
def desk():
    return Desk("inhibit", "enrol")


def test_only_what_is_allowed_is_subscribed_to(desk):
    topics = ("cmd/inhibit", "+/inhibit/set", "cmd/enrol")
    assert set(desk.handlers) == {f"{BASE}/{topic}" for topic in topics}
    assert settable(desk.config) == ("inhibit",)
    assert Desk().handlers == {}


def test_a_setting_is_for_the_monitor_of_its_topic(desk):
    desk.say("pump-1/inhibit/set", "30", filter_="+/inhibit/set")
    ((request, result),) = desk.requests
    assert (request["monitor"], request["minutes"]) == ("pump-1", 30.0)
    result.set_result({"monitor": "pump-1"})
    assert desk.replies == []  # the state topic says it


def test_an_answer_goes_where_it_is_expected_with_what_it_is_recognised_by(desk):
    asked = {"response_topic": "desk/7", "correlation": b"abc"}
    desk.say("cmd/enrol", {"monitor": "pump"}, **asked)
    desk.say("cmd/enrol", {"monitor": "fan", "request_id": "x-1"})
    for _, result in desk.requests:
        result.set_result({"threshold": 3.5})
    (topic, answer, correlation), (other, older, nothing) = desk.replies
    assert (topic, correlation) == ("desk/7", b"abc")
    assert (answer["ok"], answer["monitor"], answer["result"]) == (True, "pump", {"threshold": 3.5})
    assert (other, nothing, older["request_id"]) == (f"{BASE}/cmd/enrol/reply", None, "x-1")


@pytest.mark.parametrize(
    ("error", "told"),
    [(StorageError("disk is full"), "disk is full"), (ValueError("secret"), "failed; see the log")],
)
def test_a_failure_is_answered_without_its_insides(desk, error, told):
    desk.say("cmd/enrol", {"monitor": "pump"})
    desk.requests[0][1].set_exception(error)
    (_, answer, _), = desk.replies  # fmt: skip
    assert (answer["ok"], answer["error"], answer["result"]) == (False, told, None)


def test_what_the_broker_kept_is_refused(desk):
    desk.say("pump/inhibit/set", "ON", filter_="+/inhibit/set", retain=True)
    desk.say("pump/inhibit/set", "", filter_="+/inhibit/set", retain=True)  # it was cleared
    assert desk.requests == []
    assert desk.refused("inhibit") == 1


@pytest.mark.parametrize("topic", [f"{BASE}/pump/alarm", BASE, "$SYS/broker", f"{BASE}/status"])
def test_nobody_has_us_speak_where_only_we_speak(desk, topic):
    desk.say("cmd/enrol", {"monitor": "pump"}, response_topic=topic)
    assert desk.requests == []
    assert desk.replies == []
    assert desk.refused("enrol") == 1


def test_more_than_people_ask_is_not_looked_at(desk):
    for _ in range(BURST + 30):
        desk.say("pump/inhibit/set", "ON", filter_="+/inhibit/set")
        if desk.requests:
            desk.requests[-1][1].done() or desk.requests[-1][1].set_result({})
    assert len(desk.requests) == BURST
    assert desk.refused("unknown") == 1  # said once, not thirty times
    desk.now_s += 5.0
    for _ in range(30):
        desk.say("pump/inhibit/set", "soon", filter_="+/inhibit/set")
    assert desk.refused("inhibit") == 5.0 * PER_S


def test_what_takes_long_does_not_pile_up(desk):
    for number in range(MAX_PENDING + 1):
        desk.say("cmd/enrol", {"monitor": f"pump-{number}"})
    assert len(desk.requests) == MAX_PENDING
    assert "under way" in desk.replies[0][1]["error"]
    desk.requests[0][1].set_result({})
    desk.say("cmd/enrol", {"monitor": "fan"})
    assert len(desk.requests) == MAX_PENDING + 1
