"""Stored events can be delivered once more, exactly as they were."""

from __future__ import annotations

import json
from concurrent.futures import Future

import pytest
from brokers import Subscriber, eventually
from devices import EVENTS, TOPICS, Device
from publish_samples import WALL_S, message, notice_message

from edge_asd.errors import DataError, UsageError
from edge_asd.operators.redelivery import replay_verb
from edge_asd.publish import replay as replay_module
from edge_asd.publish.replay import Replayed, Span
from edge_asd.publish.store import EventStore

IDS = [f"0198b2a0-0000-7000-8000-00000000000{number}" for number in range(1, 4)]
NOTICE = IDS[0][:-1] + "9"


@pytest.fixture
def store(tmp_path):
    """Three delivered alerts of two monitors and a microphone fault, a minute apart."""
    store = EventStore(tmp_path, clock=lambda: WALL_S)
    for number, identity in enumerate(IDS):
        monitor = "fan" if number == 1 else "pump-1"
        for kind in ("new", "end"):
            at = WALL_S + 60 * number
            step = message(kind, monitor, id=identity, updated_at=at)
            store.record(step, monitor=monitor, topic="t")
    store.record_notice(
        notice_message(id=NOTICE, updated_at=WALL_S + 500), monitor="pump-1", topic="t"
    )
    store.outbox.ack(*[row.id for row in store.outbox.head(99)])
    yield store
    store.close()


def again(store, *, dry_run=False, **span):
    return store.replay(Span(**span), TOPICS, dry_run=dry_run)


def payloads(store):
    return [row.message.payload for row in store.outbox.head(99)]


def test_everything_comes_as_it_was_stored_and_in_that_order(store):
    assert again(store) == Replayed(messages=7, alerts=4, waiting=0)
    assert payloads(store) == [m.to_json() for m in store.events()]
    topics = [row.message.topic for row in store.outbox.head(99)]
    assert topics[:3] == [EVENTS, EVENTS, TOPICS.event("fan")]
    assert topics[-1] == TOPICS.microphone("pump-1")
    assert store.outbox.head(99)[1].message.row_class.value == "event_end"


@pytest.mark.parametrize(
    ("span", "messages"),
    [
        ({"since": WALL_S + 60}, 5),
        ({"until": WALL_S + 60}, 2),
        ({"since": WALL_S + 60, "until": WALL_S + 120}, 2),
        ({"event_id": IDS[2]}, 2),
        ({"event_id": IDS[2], "until": WALL_S}, 0),
        ({"event_id": "b2a0"}, 0),
        ({"since": WALL_S + 9999}, 0),
    ],
)
def test_a_span_says_which(store, span, messages):
    assert again(store, dry_run=True, **span).messages == messages
    assert payloads(store) == []
    again(store, **span)
    assert len(payloads(store)) == messages


def test_what_waits_already_is_not_put_there_twice(store):
    again(store, event_id=IDS[0])
    assert again(store) == Replayed(messages=5, alerts=3, waiting=2)
    assert len(payloads(store)) == 7
    assert again(store) == Replayed(messages=0, alerts=0, waiting=7)


def test_it_never_pushes_out_what_was_never_delivered(tmp_path):
    store = EventStore(tmp_path, max_bytes=4_000, clock=lambda: WALL_S)
    for _ in range(6):
        store.record(message(), monitor="pump-1", topic=None)
    store.record(message("update"), monitor="pump-1", topic="t")
    before = payloads(store)
    with pytest.raises(DataError, match="shorter span"):
        again(store)
    assert payloads(store) == before
    assert store.outbox.losses.counts == {}
    store.close()


def test_too_many_are_refused(store, monkeypatch):
    monkeypatch.setattr(replay_module, "MAX_MESSAGES", 6)
    with pytest.raises(DataError, match="7 messages are more than the 6"):
        again(store)
    assert payloads(store) == []


def test_what_nobody_was_told_is_not_told_now(store):
    held = message(id=IDS[0]).model_copy(update={"held": True})
    store.record(held, monitor="pump-1", topic=None)
    assert again(store, event_id=IDS[0]).messages == 2


@pytest.mark.broker
@pytest.mark.own_payloads
def test_subscribers_get_the_same_payload_twice(mosquitto, tmp_path):
    mosquitto.start()
    with Subscriber(mosquitto.port) as heard, Device(tmp_path / "s", mosquitto.url) as device:
        device.record(3)
        device.wait_idle()
        assert again(device.store).messages == 3
        eventually(lambda: len(heard.of(EVENTS)) == 6, what="all of them twice")
        assert heard.of(EVENTS)[:3] == heard.of(EVENTS)[3:]


def ask(store, topics=lambda: TOPICS, **request):
    result = Future()
    replay_verb(store, topics)(request, lambda *_: None, result)
    return result.result(0)


def test_the_daemon_carries_it_out(store):
    asked = {"since": None, "until": None, "event": IDS[0]}
    assert ask(store, dry_run=True, **asked)["messages"] == 2
    assert payloads(store) == []
    assert ask(store, **asked) == {"messages": 2, "alerts": 1, "waiting": 0}
    assert [json.loads(p)["id"] for p in payloads(store)] == [IDS[0]] * 2


@pytest.mark.parametrize("wrong", [{"since": "x"}, {"until": -1}, {"since": 1e300}, {"event": 7}])
def test_a_request_that_makes_no_sense_is_refused(store, wrong):
    with pytest.raises(UsageError, match=r"is no (time|id)"):
        ask(store, **wrong)


def test_without_a_broker_there_is_nobody_to_tell(store):
    with pytest.raises(UsageError, match=r"mqtt\.url"):
        ask(store, topics=lambda: None)
