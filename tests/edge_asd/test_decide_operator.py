"""What operators say changes who hears of an alert, never whether there is one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.decide import Decider, Moment, Rules, Thresholds
from edge_asd.records import EventType, Scored, Severity, State
from edge_asd.score.calibrate import Persistence

RATE, HOP_S, WALL_S = 1000, 1.0, 1_790_000_000.0
RULES = Rules(
    persistence=Persistence(3, 4), hop_s=HOP_S, clear_s=4.0, cooldown_s=0.0, update_s=10.0
)
LOW, HIGH, VERY_HIGH = 0.0, 4.0, 9.0


class Stream:
    """A decider, and everything that it decided, in order."""

    def __init__(self):
        numbers = itertools.count(1)
        thresholds = Thresholds(warning=3.0, alarm=6.0, clear_below=2.0)
        self.decider = Decider(
            RULES, thresholds, lambda _: 99.0, lambda _: f"id-{next(numbers)}", None
        )
        self.at, self.events = 0, []

    @property
    def now(self):
        return Moment(self.at + 2.0, WALL_S + self.at + 2.0)

    def hear(self, score, count=1):
        for _ in range(count):
            start = self.at * RATE
            scored = Scored(start, start + 2 * RATE, WALL_S + self.at, score, -30.0, "e:1")
            self.take(self.decider.scored(scored, RATE))
            self.take(self.decider.release(self.now))
            self.at += 1

    def snooze(self):
        self.decider.snoozed = True

    def wake(self):
        self.decider.snoozed = False
        self.take(self.decider.release(self.now))

    def take(self, decision):
        if decision.event:
            self.events.append(decision.event)

    @property
    def told(self):
        return [(event.id, event.type) for event in self.events if not event.held]


@pytest.fixture
def stream():
    return Stream()


def test_an_alert_that_begins_in_a_snooze_is_held_back_until_the_snooze_is_over(stream):
    stream.hear(LOW, 6)
    stream.snooze()
    stream.hear(HIGH, 15)
    assert stream.told == []
    assert [event.type for event in stream.events] == [EventType.NEW, EventType.UPDATE]
    assert stream.decider.state is State.WARNING  # the truth is not changed
    stream.wake()
    assert stream.told == [("id-1", EventType.NEW)]
    assert stream.events[-1].started_at == stream.events[0].started_at
    stream.hear(LOW, 10)
    assert stream.told == [("id-1", EventType.NEW), ("id-1", EventType.END)]


def test_an_alert_that_begins_and_ends_in_a_snooze_is_never_told(stream):
    stream.snooze()
    stream.hear(HIGH, 4)
    stream.hear(LOW, 12)
    stream.wake()
    assert stream.told == []
    assert [event.type for event in stream.events] == [EventType.NEW, EventType.END]


def test_what_is_not_known_to_last_is_not_raised_at_the_end_of_a_snooze(stream):
    stream.snooze()
    stream.hear(HIGH, 8)
    stream.take(stream.decider.set_state(State.UNKNOWN, "no audio", stream.now))
    stream.wake()
    assert stream.told == []
    stream.hear(HIGH)
    assert stream.told == [("id-1", EventType.NEW)]


def test_an_alert_that_was_told_before_the_snooze_goes_on_being_told(stream):
    stream.hear(HIGH, 5)
    stream.snooze()
    stream.hear(VERY_HIGH, 5)
    stream.hear(LOW, 12)
    kinds = [kind for _, kind in stream.told]
    assert (kinds[0], kinds[-1]) == (EventType.NEW, EventType.END)
    assert Severity.ALARM in {event.severity for event in stream.events}
    assert not any(event.held for event in stream.events)


def test_the_first_acknowledgement_counts_and_stays_with_the_alert(stream):
    stream.hear(HIGH, 5)
    stream.take(stream.decider.acknowledge("anna", stream.now))
    acked = stream.events[-1]
    assert (acked.type, acked.acked_by, acked.acked_at) == (
        EventType.UPDATE,
        "anna",
        stream.now.captured_at,
    )
    count = len(stream.events)
    stream.take(stream.decider.acknowledge("ben", stream.now))
    assert len(stream.events) == count
    stream.hear(LOW, 12)
    assert stream.events[-1].type is EventType.END
    assert stream.events[-1].acked_by == "anna"
    stream.hear(HIGH, 5)
    assert stream.events[-1].acked_by is None  # another alert


def test_without_an_alert_there_is_nothing_to_acknowledge_or_to_tell(stream):
    stream.hear(LOW, 6)
    assert stream.decider.acknowledge("anna", stream.now).event is None
    assert stream.decider.tell(stream.now).event is None
    assert stream.decider.release(stream.now).event is None


def test_maintenance_ends_the_alert_and_says_so(stream):
    stream.hear(HIGH, 5)
    stream.take(stream.decider.finish("inhibited by anna", stream.now, State.INHIBITED))
    end = stream.events[-1]
    assert (end.type, end.state, end.reason) == (
        EventType.END,
        State.INHIBITED,
        "inhibited by anna",
    )
    assert stream.decider.state is State.INHIBITED


acts = st.one_of(
    st.tuples(st.just("hear"), st.sampled_from([LOW, HIGH, VERY_HIGH]), st.integers(1, 12)),
    st.tuples(st.just("snooze"), st.booleans(), st.just(1)),
    st.tuples(st.just("unknown"), st.just(0.0), st.just(1)),
)


@given(st.lists(acts, max_size=25))
def test_who_listens_sees_whole_alerts_only_and_the_books_see_all_of_them(steps):
    stream, free = Stream(), Stream()
    for kind, value, count in steps:
        if kind == "hear":
            stream.hear(value, count)
            free.hear(value, count)
        elif kind == "snooze":
            stream.snooze() if value else stream.wake()
        else:
            for each in (stream, free):
                each.take(each.decider.set_state(State.UNKNOWN, "x", each.now))
    open_id = None
    for event_id, kind in stream.told:
        assert (kind is EventType.NEW) == (open_id is None)
        assert open_id in (None, event_id)
        open_id = None if kind is EventType.END else event_id
    # Snoozed or not, the same alerts begin and end at the same moments.
    lives = [
        [(e.id, e.type, e.updated_at) for e in each.events if e.type is EventType.END]
        for each in (stream, free)
    ]
    assert lives[0] == lives[1]
    assert {e.id for e in stream.events} == {e.id for e in free.events}
