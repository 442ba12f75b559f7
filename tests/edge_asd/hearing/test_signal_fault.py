"""Flaws become a fault when they last or come again and again, and it ends without flapping."""

import pytest

from edge_asd.hearing.signal_fault import RECURS_S, WHOLE_S, FaultTracker, Flaw, Stretch


def follow(plan, until_s, step_s=0.1, tracker=None, begin_s=0.0):
    """Faults over time, [(seconds, fault)] at every change, for flaws [(begin, end, flaw)]."""
    tracker = tracker or FaultTracker()
    stretches = [Stretch(begin, begin, flaw, 0.0) for begin, _, flaw in plan]
    found, before, now = [], tracker.fault, begin_s
    while now < until_s - 1e-9:
        now = round(now + step_s, 6)
        for stretch, (begin, end, _) in zip(stretches, plan, strict=True):
            if begin < now and stretch.end_s < end:
                stretch.end_s = min(now, end)
                tracker.flawed(stretch)
        tracker.advance(now)
        if tracker.fault != before:
            found.append((now, tracker.fault))
            before = tracker.fault
    return found


def test_two_seconds_of_flaw_are_a_fault_and_three_of_sound_end_it():
    (raised, fault), (cleared, none) = follow([(5.0, 9.0, Flaw.DIGITAL_ZERO)], 20.0)
    assert fault.flaw is Flaw.DIGITAL_ZERO
    assert fault.since_s == 5.0
    assert fault.reason == "digital silence for 2.0 s: is the microphone muted or unplugged?"
    assert (raised, cleared, none) == (pytest.approx(7.0), pytest.approx(12.0), None)


def test_less_than_two_seconds_is_none():
    assert follow([(5.0, 6.8, Flaw.STUCK)], 20.0) == []


def test_its_text_stays_the_same_as_long_as_it_lasts():
    found = follow([(5.0, 60.0, Flaw.STUCK)], 60.0)
    assert len(found) == 1


def test_a_shred_of_sound_does_not_tear_a_row():
    plan = [(5.0 + n * 0.5, 5.3 + n * 0.5, Flaw.DIGITAL_ZERO) for n in range(8)]
    (raised, fault), _ = follow(plan, 20.0)
    assert raised < 7.5
    assert fault.since_s == 5.0


def test_a_gap_of_sound_tears_a_row():
    assert follow([(5.0, 6.5, Flaw.STUCK), (7.0, 8.5, Flaw.STUCK)], 20.0) == []


def test_sound_of_less_than_three_seconds_does_not_end_it():
    plan = [(5.0, 9.0, Flaw.NOISE_FLOOR), (11.8, 12.0, Flaw.NOISE_FLOOR)]
    (_, _), (cleared, _) = follow(plan, 30.0)
    assert cleared == pytest.approx(15.0)


def test_a_fault_that_turns_into_another_says_so_and_goes_on():
    plan = [(5.0, 10.0, Flaw.DIGITAL_ZERO), (10.0, 20.0, Flaw.HUM)]
    (_, first), (changed, second), (cleared, _) = follow(plan, 30.0)
    assert (first.flaw, second.flaw) == (Flaw.DIGITAL_ZERO, Flaw.HUM)
    assert second.since_s == first.since_s == 5.0
    assert changed == pytest.approx(12.0)
    assert cleared == pytest.approx(23.0)


def test_flaws_that_leave_no_whole_window_are_a_fault_after_a_while():
    plan = [(5.0 + 4.0 * n, 5.06 + 4.0 * n, Flaw.DIGITAL_ZERO) for n in range(20)]
    (raised, fault), (cleared, _) = follow(plan, 120.0)
    assert raised == pytest.approx(5.0 + RECURS_S, abs=0.2)
    assert fault.reason.startswith("5 times in 20 s: digital silence for 60 ms")
    assert cleared == pytest.approx(81.06 + WHOLE_S, abs=0.2)


def test_flaws_that_leave_whole_windows_are_none():
    plan = [(5.0 + 11.0 * n, 5.06 + 11.0 * n, Flaw.DIGITAL_ZERO) for n in range(20)]
    assert follow(plan, 240.0) == []


def test_a_long_fault_ends_as_soon_as_a_short_one():
    _, (cleared, _) = follow([(5.0, 500.0, Flaw.DIGITAL_ZERO)], 520.0)
    assert cleared == pytest.approx(503.0)


def test_lost_audio_begins_a_new_row_and_is_not_sound():
    tracker = FaultTracker()
    assert follow([(5.0, 6.5, Flaw.STUCK)], 6.5, tracker=tracker) == []
    tracker.interrupt(7.0)
    plan = [(7.0, 8.0, Flaw.STUCK)]
    assert follow(plan, 8.0, tracker=tracker, begin_s=7.0) == []  # 2.5 s, but not in a row
    (raised, _) = follow([(8.0, 10.0, Flaw.STUCK)], 10.0, tracker=tracker, begin_s=8.0)[0]
    assert raised == pytest.approx(9.0)
    tracker.interrupt(100.0)
    ((cleared, none),) = follow([], 110.0, tracker=tracker, begin_s=100.0)
    assert (cleared, none) == (pytest.approx(103.0), None)


@pytest.mark.parametrize("flaw", Flaw)
def test_every_flaw_has_a_text_with_what_to_look_at(flaw):
    text = Stretch(1.0, 3.5, flaw, -51.2345).text()
    assert "2.5 s" in text
    assert "{" not in text
    assert any(remedy in text for remedy in ("?", "plug it in again"))
