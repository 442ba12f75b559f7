"""What goes so that new evidence fits: decided without a disk."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edge_asd.evidence.records import Cause, Refusal
from edge_asd.evidence.retention import Candidate, Plan, Room, plan, too_old, worst

PLENTY = 10**12


def candidate(name, *, score=1.0, monitor="pump", size=10, at=None, pinned=False):
    return Candidate(name, monitor, size, float(ord(name[0])) if at is None else at, score, pinned)


def room(candidates, quota, *, free=PLENTY, floor=0):
    return Room(quota, sum(one.bytes for one in candidates), free, floor)


candidates = st.lists(
    st.builds(
        Candidate,
        event_id=st.uuids().map(str),
        monitor=st.sampled_from(["pump", "fan", "press"]),
        bytes=st.integers(1, 100),
        created_at=st.integers(0, 50).map(float),
        score=st.one_of(st.integers(-5, 50).map(float), st.just(math.nan)),
        pinned=st.booleans(),
    ),
    unique_by=lambda one: one.event_id,
    max_size=20,
)
rooms = st.builds(
    Room, st.integers(0, 1500), st.integers(0, 1500), st.integers(0, 800), st.integers(0, 800)
)
worst_numbers = st.integers(0, 5)


@given(candidates, st.integers(1, 120), st.integers(0, 1500), worst_numbers)
def test_after_a_plan_everything_fits_or_it_was_refused_and_nothing_goes(kept, need, quota, number):
    decision = plan(kept, room(kept, quota), need, number)
    gone = {one for one, _ in decision.victims}
    left = sum(one.bytes for one in kept if one.event_id not in gone)
    if decision.refusal is None:
        assert left + need <= quota
    else:
        assert not gone
        assert sum(one.bytes for one in kept if one.pinned) + need > quota


@given(candidates, st.integers(1, 120), st.integers(0, 1500), worst_numbers)
def test_nothing_goes_that_need_not(kept, need, quota, number):
    decision = plan(kept, room(kept, quota), need, number)
    if decision.victims:
        spared = {one for one, _ in decision.victims[:-1]}
        left = sum(one.bytes for one in kept if one.event_id not in spared)
        assert left + need > quota


@given(candidates, rooms, st.integers(0, 120), worst_numbers)
def test_pinned_evidence_never_goes(kept, tight, need, number):
    decision = plan(kept, tight, need, number)
    pinned = {one.event_id for one in kept if one.pinned}
    assert not pinned & {one for one, _ in decision.victims}
    assert not pinned & {one for one, _ in too_old(kept, 40.0, 5.0).victims}


@given(candidates, st.integers(1, 120), st.integers(0, 1500), worst_numbers)
def test_the_worst_go_only_once_all_others_are_gone(kept, need, quota, number):
    decision = plan(kept, room(kept, quota), need, number)
    high = worst(kept, number)
    gone = [one for one, _ in decision.victims]
    if high & set(gone):
        others = {one.event_id for one in kept if not one.pinned} - high
        assert others <= set(gone)
    assert gone == sorted(gone, key=lambda one: one in high)  # and after them


@given(
    candidates,
    st.integers(0, 120),
    st.integers(0, 800),
    st.integers(0, 800),
    worst_numbers,
)
def test_space_stays_free_or_it_was_refused_and_nothing_goes(kept, need, free, floor, number):
    decision = plan(kept, room(kept, PLENTY, free=free, floor=floor), need, number)
    gone = {one for one, _ in decision.victims}
    freed = sum(one.bytes for one in kept if one.event_id in gone)
    if decision.refusal is not None:
        assert need
        assert not gone
    elif need:
        assert free + freed - need >= floor
    high = worst(kept, number)
    if not need:  # tidying up for others leaves the worst alone
        assert not high & gone


@given(candidates, worst_numbers)
def test_the_worst_are_those_with_the_highest_scores_of_every_monitor(kept, number):
    high = worst(kept, number)
    for monitor in {one.monitor for one in kept}:
        scored = [
            one
            for one in kept
            if one.monitor == monitor and not one.pinned and not math.isnan(one.score)
        ]
        inside = [one.score for one in scored if one.event_id in high]
        outside = [one.score for one in scored if one.event_id not in high]
        assert len(inside) == min(number, len(scored))
        assert not (inside and outside) or min(inside) >= max(outside)


def test_the_oldest_goes_first():
    kept = [candidate("c"), candidate("a"), candidate("b")]
    decision = plan(kept, room(kept, 30), 15, 0)
    assert decision.victims == (("a", Cause.QUOTA), ("b", Cause.QUOTA))


def test_an_old_alarm_that_was_loudest_outlives_younger_ones():
    kept = [candidate("a", score=99.0), candidate("b"), candidate("c")]
    assert plan(kept, room(kept, 30), 10, 1).victims == (("b", Cause.QUOTA),)


def test_when_others_fill_the_disk_the_worst_are_not_sacrificed_for_them():
    kept = [candidate("a"), candidate("b")]
    full = room(kept, 1000, free=0, floor=50)
    assert plan(kept, full, 10, 2) == Plan(refusal=Refusal.FREE_SPACE)
    assert plan(kept, full, 0, 2) == Plan()


def test_on_a_small_disk_new_evidence_takes_the_place_of_old_even_of_the_worst():
    kept = [candidate("a"), candidate("b")]
    at_floor = room(kept, 1000, free=50, floor=50)
    assert plan(kept, at_floor, 10, 2).victims == (("a", Cause.FREE_SPACE),)


def test_what_is_too_old_goes_even_if_it_was_among_the_worst():
    kept = [candidate("a", at=0.0, score=99.0), candidate("b", at=50.0)]
    assert too_old(kept, 100.0, 60.0).victims == (("a", Cause.AGE),)


def test_a_clock_that_fell_back_makes_nothing_old():
    assert too_old([candidate("a", at=1.79e9)], 0.0, 60.0) == Plan()
