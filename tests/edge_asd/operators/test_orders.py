"""Orders are checked: what passes can be carried out, and what does not says why."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.errors import UsageError
from edge_asd.operators.orders import CHANGES, LONGEST_S, SHORTEST_S, Order, Wish, switches_answer
from edge_asd.operators.switches import MAX_S, Switches
from edge_asd.steady import SteadyClock

NOW_S = 1_790_000_000.0
things = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.none())
)


def carry_out(verb, **request):
    order = Order.parse(verb, {"monitor": "pump", "by": "anna", **request})
    return CHANGES[verb](Switches(), order, order.span(NOW_S))


@given(
    st.sampled_from(sorted(CHANGES)),
    st.dictionaries(st.sampled_from(["monitor", "on", "minutes", "by"]), things),
)
def test_an_order_is_carried_out_or_refused(verb, request):
    refused, switches = "", Switches()
    try:
        order = Order.parse(verb, request)
        switches = CHANGES[verb](Switches(), order, order.span(NOW_S))
    except UsageError as error:
        refused = str(error)
    assert not refused or refused.startswith(verb)
    for until_s in (switches.inhibited_until, switches.snoozed_until):
        assert until_s is None or NOW_S < until_s <= NOW_S + MAX_S
    assert not switches.snoozed or switches.snoozed_until is not None


@given(st.dictionaries(st.sampled_from(["fault", "monitor", "seconds", "by"]), things))
def test_a_rehearsal_is_bounded_or_refused(request):
    refused, seconds = "", SHORTEST_S
    try:
        seconds = Wish.parse({"fault": "alarm", **request}).seconds
    except UsageError as error:
        refused = str(error)
    assert not refused or refused.startswith("rehearse: ")
    assert SHORTEST_S <= seconds <= LONGEST_S


def test_what_each_order_does():
    assert carry_out("inhibit", minutes=30).inhibited_until == NOW_S + 1800
    assert carry_out("inhibit", on=True).inhibited
    assert carry_out("inhibit", on=True).inhibited_until is None
    assert not carry_out("inhibit", on=False).inhibited
    assert carry_out("snooze", minutes=0.5).snoozed_until == NOW_S + 30
    assert not carry_out("enabled", on=False).enabled
    assert carry_out("enabled", on=True) == Switches()


@pytest.mark.parametrize(
    ("verb", "request_", "word"),
    [
        ("snooze", {"on": True}, "needs 'minutes'"),
        ("enabled", {"minutes": 5}, "knows no minutes"),
        ("inhibit", {}, "'minutes' or 'on' is missing"),
        ("inhibit", {"minutes": 5, "on": True}, "either"),
        ("inhibit", {"minutes": 0}, "from 0.01"),
        ("inhibit", {"minutes": math.nan}, "from 0.01"),
        ("inhibit", {"minutes": 10**400}, "to 10080"),
        ("inhibit", {"minutes": True}, "from 0.01"),
        ("inhibit", {"on": 1}, "true or false"),
        ("inhibit", {"monitor": 7, "on": True}, "name of a monitor"),
    ],
)
def test_what_cannot_be_meant_is_refused(verb, request_, word):
    with pytest.raises(UsageError, match=word):
        carry_out(verb, **request_)


def test_the_answer_gives_wall_time():
    clock = SteadyClock(lambda: NOW_S + 3600.0, lambda: 0.0)
    clock.offset_s = -3600.0
    answer = switches_answer(carry_out("snooze", minutes=10), clock)
    assert (answer["snoozed_by"], answer["inhibited"], answer["enabled"]) == ("anna", False, True)
    assert answer["snoozed_until"] == "2026-09-21T13:23:20.000Z"
