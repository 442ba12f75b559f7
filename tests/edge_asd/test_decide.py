"""Alerts: raised by persistence, ended by quiet, the same id from new to end."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.decide import Decider, Moment, Rules, Thresholds
from edge_asd.records import Event, EventType, Scored, Severity, State
from edge_asd.score.calibrate import Persistence

RATE, WINDOW_S, HOP_S, WALL_S = 1000, 10.0, 0.992, 1_790_000_000.0
DEFAULT = Rules(
    persistence=Persistence.from_seconds(14.0, 20.0, HOP_S),
    hop_s=HOP_S,
    clear_s=20.0,
    cooldown_s=60.0,
    update_s=60.0,
)
THRESHOLDS = Thresholds(warning=3.0, alarm=6.0, clear_below=2.0)
LOW, HIGH, VERY_HIGH = 0.0, 4.0, 9.0


def decider(rules=DEFAULT, open_event=None):
    numbers = itertools.count(1)
    return Decider(rules, THRESHOLDS, lambda _: 99.0, lambda _: f"id-{next(numbers)}", open_event)


def window(index, score):
    """The index-th window of the stream."""
    start = round(index * HOP_S * RATE)
    end = start + round(WINDOW_S * RATE)
    return Scored(start, end, WALL_S + start / RATE, score, -30.0, "embedding:7")


def feed(machine, scores, first=0):
    """(index, decision) of all that was decided, with what did not change anything left out."""
    found = []
    for index, score in enumerate(scores, first):
        decision = machine.scored(window(index, score), RATE)
        if decision.event or decision.transition or decision.suppressed:
            found.append((index, decision))
    return found


def events(found):
    return [(index, d.event) for index, d in found if d.event]


def moment(index):
    at_s = index * HOP_S + WINDOW_S
    return Moment(at_s, WALL_S + at_s)


# Raising


@pytest.mark.parametrize("level", [HIGH, 1e6])
@pytest.mark.parametrize("first", [0, 1, 14, 40])
def test_one_bang_never_raises(level, first):
    # 0.2 s of noise lie in at most eleven overlapping windows
    scores = [LOW] * first + [level] * 11 + [LOW] * 60
    machine = decider()
    assert events(feed(machine, scores)) == []
    assert machine.state is State.NORMAL


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(22, 60), max_size=5))
def test_bangs_far_enough_apart_never_raise(pauses):
    scores = [LOW] * 20
    for pause in pauses:
        scores += [VERY_HIGH] * 11 + [LOW] * pause
    assert events(feed(decider(), scores)) == []


@pytest.mark.parametrize("onset", [15, 40, 41])
def test_a_sustained_fault_raises_within_the_span_and_a_window(onset):
    found = feed(decider(), [LOW] * onset + [HIGH] * 40)
    index, event = events(found)[0]
    assert event.type is EventType.NEW
    # the first high window is the first that ends after the onset
    began_s = moment(onset).at_s - HOP_S
    assert moment(index).at_s - began_s <= DEFAULT.within_s + WINDOW_S
    assert moment(index).at_s - began_s >= 14.0


def test_a_fault_that_comes_and_goes_within_the_span_raises():
    scores = [LOW] * 20 + [HIGH, HIGH, HIGH, LOW] * 10
    assert len(events(feed(decider(), scores))) == 1


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([LOW, HIGH]), max_size=60), st.integers(1, 5), st.integers(0, 4))
def test_an_alert_begins_exactly_when_k_of_n_windows_are_high(scores, k, more):
    rules = replace(DEFAULT, persistence=Persistence(k, k + more))
    reached = [
        index
        for index in range(k - 1, len(scores))
        if sum(s == HIGH for s in scores[max(0, index + 1 - k - more) : index + 1]) >= k
    ]
    raised = [index for index, _ in events(feed(decider(rules), scores))][:1]
    assert raised == reached[:1]


def test_nothing_is_known_before_enough_windows_were_heard():
    machine = decider()
    assert feed(machine, [LOW] * 14) == []
    assert machine.state is State.UNKNOWN
    ((_, decision),) = feed(machine, [LOW], first=14)
    assert decision.transition.state is State.NORMAL
    assert decision.transition.previous is State.UNKNOWN


def test_an_event_says_what_when_and_why():
    machine = decider()
    ((index, event),) = events(feed(machine, [LOW] * 30 + [HIGH] * 15))
    now = moment(index)
    assert event.state is State.WARNING
    assert event.severity is Severity.WARNING
    assert (event.score, event.threshold, event.percentile) == (HIGH, 3.0, 99.0)
    assert event.updated_at == pytest.approx(now.captured_at)
    assert event.started_at == pytest.approx(now.captured_at - 15 * HOP_S)
    assert event.duration_s == pytest.approx(15 * HOP_S)
    assert (event.nearest, event.level_dbfs) == ("embedding:7", -30.0)
    assert machine.event == event


def test_what_is_very_high_raises_an_alarm_at_once():
    ((_, event),) = events(feed(decider(), [LOW] * 20 + [VERY_HIGH] * 15))
    assert (event.severity, event.state) == (Severity.ALARM, State.ALARM)


# While it lasts


def test_an_open_alert_is_reported_again_after_update_s():
    found = events(feed(decider(), [LOW] * 20 + [HIGH] * 215))
    assert [event.type for _, event in found] == [EventType.NEW] + [EventType.UPDATE] * 3
    steps = [moment(b).at_s - moment(a).at_s for (a, _), (b, _) in itertools.pairwise(found)]
    assert all(60.0 <= step < 60.0 + HOP_S for step in steps)
    durations = [event.duration_s for _, event in found]
    assert [b - a for a, b in itertools.pairwise(durations)] == pytest.approx(steps)
    assert len({event.id for _, event in found}) == 1
    assert len({event.started_at for _, event in found}) == 1


def test_a_warning_that_becomes_an_alarm_is_an_update_under_the_same_id():
    found = feed(decider(), [LOW] * 20 + [HIGH] * 20 + [VERY_HIGH] * 20)
    (_, new), (_, update) = events(found)
    assert update.type is EventType.UPDATE
    assert update.id == new.id
    assert (new.severity, update.severity) == (Severity.WARNING, Severity.ALARM)
    assert [d.transition.state for _, d in found if d.transition] == [
        State.NORMAL,
        State.WARNING,
        State.ALARM,
    ]


def test_an_alarm_never_grows_milder_while_it_lasts():
    machine = decider()
    found = events(feed(machine, [LOW] * 20 + [VERY_HIGH] * 20 + [HIGH] * 100))
    assert {event.severity for _, event in found} == {Severity.ALARM}
    assert machine.state is State.ALARM


def test_scores_between_the_thresholds_keep_an_alert_open():
    machine = decider()
    found = events(feed(machine, [LOW] * 20 + [HIGH] * 20 + [2.5] * 200))
    assert EventType.END not in {event.type for _, event in found}
    assert machine.state is State.WARNING


# The end


def test_an_alert_ends_after_clear_s_of_quiet_under_its_id():
    machine = decider()
    found = events(feed(machine, [LOW] * 20 + [HIGH] * 20 + [LOW] * 60))
    (first, new), (last, end) = found
    assert (new.type, end.type) == (EventType.NEW, EventType.END)
    assert end.id == new.id
    assert end.state is State.NORMAL
    assert end.reason == "score back to normal"
    assert end.ended_at == pytest.approx(moment(last).captured_at)
    assert end.duration_s == pytest.approx(new.duration_s + (last - first) * HOP_S)
    # the statistic is low once six of the last twenty scores are, and stays low for clear_s
    low_from = 40 + 6 - 1
    assert 20.0 <= moment(last).at_s - moment(low_from).at_s < 20.0 + HOP_S
    assert machine.event is None
    assert machine.state is State.NORMAL


def test_a_relapse_begins_the_quiet_anew():
    short = [LOW] * 20 + [HIGH] * 20 + [LOW] * 7 + [HIGH] * 20
    machine = decider()
    found = events(feed(machine, [*short, *[LOW] * 15]))
    assert [event.type for _, event in found] == [EventType.NEW]


def test_a_new_alert_waits_for_the_end_of_the_cool_down():
    machine = decider()
    scores = [LOW] * 20 + [HIGH] * 20 + [LOW] * 27 + [HIGH] * 100
    found = feed(machine, scores)
    (_, new), (ended, _), (again, second), *_ = events(found)
    suppressed = [index for index, d in found if d.suppressed]
    assert suppressed
    assert all(ended < index < again for index in suppressed)
    assert 60.0 <= moment(again).at_s - moment(ended).at_s < 60.0 + HOP_S
    assert second.id != new.id


def test_a_cool_down_of_zero_suppresses_nothing():
    scores = [LOW] * 20 + [HIGH] * 20 + [LOW] * 40 + [HIGH] * 20
    found = feed(decider(replace(DEFAULT, cooldown_s=0.0)), scores)
    assert not any(d.suppressed for _, d in found)
    assert [e.type.value for _, e in events(found)] == ["new", "end", "new"]


# States that do not come from scores


def alerted():
    machine = decider()
    ((_, event),) = events(feed(machine, [LOW] * 20 + [HIGH] * 15))
    return machine, event, 35


def test_idle_ends_an_alert_and_forgets_what_was_heard():
    machine, event, index = alerted()
    decision = machine.set_state(State.IDLE, "", moment(index))
    assert decision.event.type is EventType.END
    assert decision.event.id == event.id
    assert decision.event.reason == "machine idle"
    assert decision.transition.state is State.IDLE
    # fourteen high windows alone are not enough: those before do not count any more
    assert feed(machine, [HIGH] * 14, first=index + 1) == []
    assert machine.state is State.IDLE


def test_idle_is_entered_once():
    machine = decider()
    assert machine.set_state(State.IDLE, "", moment(0)).transition is not None
    assert machine.set_state(State.IDLE, "", moment(1)).transition is None


def test_unknown_keeps_an_alert_open_and_never_reads_as_normal():
    machine, event, index = alerted()
    decision = machine.set_state(State.UNKNOWN, "microphone: digital silence", moment(index))
    assert decision.event is None
    assert decision.transition.state is State.UNKNOWN
    assert machine.event.id == event.id
    found = feed(machine, [HIGH] * 20, first=index + 30)
    assert found[0][1].transition.state is State.WARNING
    assert found[0][1].event.type is EventType.UPDATE
    assert found[0][1].event.id == event.id


def test_another_reason_for_unknown_is_another_transition():
    machine = decider()
    assert machine.set_state(State.UNKNOWN, "a", moment(0)).transition.reason == "a"
    assert machine.set_state(State.UNKNOWN, "b", moment(1)).transition.reason == "b"
    assert machine.set_state(State.UNKNOWN, "b", moment(2)).transition is None


def test_time_that_nobody_heard_does_not_count_as_quiet():
    machine, _, index = alerted()
    low = [LOW] * 10  # low enough to begin the quiet, far too short to end the alert
    assert events(feed(machine, low, first=index)) == []
    machine.set_state(State.UNKNOWN, "lost", moment(index + 10))
    back = index + 100
    found = events(feed(machine, [LOW] * 40, first=back))
    ended = next(index for index, event in found if event.type is EventType.END)
    assert moment(ended).at_s - moment(back + 14).at_s >= 20.0


def test_scores_from_before_a_gap_expire():
    machine = decider()
    feed(machine, [LOW] * 20 + [HIGH] * 14)
    # one more high window would raise; after a gap longer than the span it must not
    assert feed(machine, [HIGH] * 14, first=34 + 21) == []
    assert len(events(feed(machine, [HIGH], first=34 + 35))) == 1


def test_scores_across_a_short_gap_count_while_they_lie_in_the_span():
    machine = decider()
    feed(machine, [LOW] * 20 + [HIGH] * 14)
    assert len(events(feed(machine, [HIGH], first=34 + 3))) == 1


def test_lost_windows_are_counted_while_an_alert_is_open():
    machine, _, index = alerted()
    machine.gap(7)
    machine.gap(2)
    feed(machine, [HIGH] * 5, first=index)
    assert machine.event.windows_gapped == 9
    quiet = decider()
    quiet.gap(3)
    assert quiet.event is None


def test_the_end_of_the_stream_ends_the_alert_and_nothing_is_known():
    machine, event, index = alerted()
    decision = machine.finish("source ended", moment(index))
    assert (decision.event.type, decision.event.id) == (EventType.END, event.id)
    assert decision.event.reason == "source ended"
    assert decision.transition.state is State.UNKNOWN


# After a restart


def restored():
    return Event(
        id="kept",
        type=EventType.UPDATE,
        severity=Severity.ALARM,
        state=State.ALARM,
        score=7.0,
        threshold=3.0,
        percentile=99.0,
        started_at=WALL_S - 500.0,
        updated_at=WALL_S - 300.0,
        duration_s=200.0,
        windows_scored=50,
        windows_gapped=3,
        nearest="embedding:1",
        level_dbfs=-30.0,
    )


def test_a_restored_alert_goes_on_under_its_id():
    machine = decider(open_event=restored())
    found = events(feed(machine, [HIGH] * 100))
    assert {event.id for _, event in found} == {"kept"}
    assert found[0][1].type is EventType.UPDATE
    assert found[0][1].severity is Severity.ALARM
    assert found[0][1].started_at == WALL_S - 500.0
    assert found[0][1].duration_s == pytest.approx(200.0)
    assert found[1][1].duration_s == pytest.approx(200.0 + (found[1][0] - found[0][0]) * HOP_S)
    assert found[0][1].windows_scored == 51


def test_a_restored_alert_ends_when_the_sound_is_normal():
    machine = decider(open_event=restored())
    found = events(feed(machine, [LOW] * 60))
    assert [event.type for _, event in found] == [EventType.UPDATE, EventType.END]
    assert found[-1][1].id == "kept"
    assert found[-1][1].state is State.NORMAL


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.just("scores"), st.sampled_from([LOW, 2.5, HIGH, VERY_HIGH]), st.integers(1, 40)
            ),
            st.tuples(st.sampled_from([State.IDLE, State.UNKNOWN]), st.none(), st.integers(0, 5)),
            st.tuples(st.just("gap"), st.none(), st.integers(1, 40)),
        ),
        max_size=15,
    )
)
def test_whatever_happens_alerts_are_new_once_and_end_once_in_order(steps):
    machine, index, found = decider(), 0, []
    for kind, score, count in steps:
        if kind == "scores":
            found += [d for _, d in feed(machine, [score] * count, first=index)]
        elif kind == "gap":
            machine.gap(count)
        else:
            found.append(machine.set_state(kind, "x", moment(index)))
        index += count
    open_id, seen = None, set()
    for event in (decision.event for decision in found if decision.event):
        if event.type is EventType.NEW:
            assert open_id is None
            assert event.id not in seen
            open_id = event.id
            seen.add(open_id)
        assert event.id == open_id
        assert event.duration_s > 0
        if event.type is EventType.END:
            open_id = None
    assert open_id == (machine.event.id if machine.event else None)
    transitions = [decision.transition for decision in found if decision.transition]
    for before, after in itertools.pairwise(transitions):
        assert after.previous is before.state
        assert after.at_s >= before.at_s


# Overload, and audio that may not clear


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 7), st.lists(st.sampled_from([LOW, HIGH, VERY_HIGH]), max_size=6))
def test_a_score_stands_for_the_windows_that_were_not_scored(hops, levels):
    # Levels that last: where nothing changes, every window or every so many-th says the same.
    full, stretched = decider(), decider()
    scores = [level for level in levels for _ in range(120)]
    always = [e.type for _, e in events(feed(full, scores)) if e.type is not EventType.UPDATE]
    found = []
    for at in range(hops - 1, len(scores), hops):
        decision = stretched.scored(window(at, scores[at]), RATE, hops=hops)
        if decision.event and decision.event.type is not EventType.UPDATE:
            found.append(decision.event.type)
    assert found == always
    assert full.state is stretched.state


def test_audio_that_is_louder_than_enrolled_may_raise():
    machine = decider()
    found = [machine.scored(window(i, HIGH), RATE, may_clear=False).event for i in range(30)]
    assert [event.type for event in found if event] == [EventType.NEW]


def test_audio_that_is_louder_than_enrolled_never_ends_an_alert():
    machine = decider()
    feed(machine, [HIGH] * 20)
    for index in range(20, 200):
        decision = machine.scored(window(index, LOW), RATE, may_clear=False)
        assert decision.event is None or decision.event.type is EventType.UPDATE
    ended = [e for _, e in events(feed(machine, [LOW] * 60, first=200)) if e.type is EventType.END]
    assert len(ended) == 1
