"""A microphone that does not work is told once, and once that it works again."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge_asd.hearing.outage import Outage, OutageNotices
from edge_asd.records import EventType

ZERO = Outage("digital_zero", "digital silence")
GONE = Outage("no_audio", "unplugged")


def notices(after_s=10.0, open_notice=None):
    numbers = itertools.count(1)
    return OutageNotices(after_s, lambda _: f"id-{next(numbers)}", open_notice)


def test_a_short_outage_is_no_notice():
    watch = notices()
    assert watch.update(ZERO, 0.0) is None
    assert watch.update(ZERO, 9.9) is None
    assert watch.update(None, 10.0) is None
    assert watch.update(ZERO, 11.0) is None


def test_an_outage_that_lasts_has_one_notice_and_one_end():
    watch = notices()
    told = [watch.update(ZERO, float(at)) for at in range(100)]
    new = [notice for notice in told if notice]
    assert [(n.type, n.fault, n.started_at, n.duration_s) for n in new] == [
        (EventType.NEW, "digital_zero", 0.0, 10.0)
    ]
    end = watch.update(None, 130.0)
    assert (end.id, end.type, end.ended_at, end.duration_s) == (
        new[0].id,
        EventType.END,
        130.0,
        130.0,
    )
    assert watch.update(None, 131.0) is None


def test_a_fault_that_turns_into_another_is_one_outage():
    watch = notices()
    watch.update(ZERO, 0.0)
    assert watch.update(GONE, 10.0).started_at == 0.0
    assert watch.update(ZERO, 20.0) is None


def test_a_notice_goes_on_after_a_restart():
    before = notices()
    before.update(GONE, 0.0)
    open_notice = before.update(GONE, 10.0)
    after = notices(open_notice=open_notice)
    assert after.update(GONE, 500.0) is None
    assert after.update(None, 600.0).id == open_notice.id


@given(st.lists(st.tuples(st.sampled_from([None, ZERO, GONE]), st.floats(0.01, 30)), max_size=100))
def test_every_end_follows_its_own_new(steps):
    watch, now, told = notices(), 0.0, []
    for outage, passed in steps:
        now += passed
        notice = watch.update(outage, now)
        if notice:
            told.append(notice)
    assert [n.type for n in told] == [EventType.NEW, EventType.END] * (len(told) // 2) + (
        [EventType.NEW] if len(told) % 2 else []
    )
    for new, end in zip(told[::2], told[1::2], strict=False):
        assert new.id == end.id
        assert end.duration_s >= 10.0


def test_an_outage_began_with_the_first_sound_that_is_missing():
    watch = notices()
    gone = replace(GONE, since_s=-2.0)
    assert watch.update(gone, 0.0) is None
    told = watch.update(gone, 8.0)
    assert (told.started_at, told.duration_s) == (-2.0, 10.0)
