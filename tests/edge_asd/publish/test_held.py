"""What a snooze holds back, and what is only rehearsed, is stored apart from what is published."""

from __future__ import annotations

import pytest
from publish_samples import message, notice_message

from edge_asd.publish.store import EventStore

TOPIC = "edge-asd/hall/pump-1/event"


@pytest.fixture
def store(tmp_path):
    store = EventStore(tmp_path)
    yield store
    store.close()


def record(store, *args, topic=TOPIC, rehearsal=False, **changes):
    step = message(*args, **changes).model_copy(update={"rehearsal": rehearsal})
    return store.record(step, monitor="pump-1", topic=topic).message


def test_steps_that_are_held_back_leave_no_hole_in_the_numbers(store):
    assert record(store).seq == 1
    assert record(store, "update", topic=None, held=True).seq == 0
    assert record(store, "end", topic=None, held=True).seq == 0
    assert record(store).seq == 2
    assert [step.seq for step in store.events()] == [1, 0, 0, 2]
    assert [row.message.seq for row in store.outbox.head(10)] == [1, 2]


def test_an_alert_that_is_held_back_from_the_first_goes_on_after_a_restart(store):
    record(store, topic=None, held=True)
    assert store.open_event("pump-1").to_event().held
    assert record(store).seq == 1
    assert not store.open_event("pump-1").to_event().held


def test_a_rehearsal_leaves_the_alert_and_the_notice_that_are_open(store):
    real = record(store)
    fault = store.record_notice(notice_message(), monitor="pump-1", topic=TOPIC).message
    rehearsed = record(store, rehearsal=True, id="0198b2a0-0000-7000-8000-00000000000f")
    assert store.open_event("pump-1") == real
    assert store.open_notice("pump-1") == fault
    assert store.open_rehearsals() == [rehearsed]
    record(store, "end", rehearsal=True, id=rehearsed.id)
    assert store.open_rehearsals() == []
    assert store.open_event("pump-1") == real
    told = notice_message().model_copy(update={"rehearsal": True})
    store.record_notice(told, monitor="pump-1", topic=TOPIC)
    assert store.open_rehearsals()[0].rehearsal
    assert store.open_notice("pump-1") == fault
