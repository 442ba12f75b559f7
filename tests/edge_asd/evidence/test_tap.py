"""A clip holds the very samples from before the alert until after it, or what there is of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge_asd.evidence.tap import MAX_WAITING, Tap
from edge_asd.records import Event, EventType, Severity, State

RATE = 100
BEFORE_S, AFTER_S, EVIDENCE_S = 2.0, 3.0, 4.0
WALL_S = 1_790_000_000.0
EVENT = Event(
    id="a",
    type=EventType.NEW,
    severity=Severity.WARNING,
    state=State.WARNING,
    score=5.0,
    threshold=3.0,
    percentile=100.0,
    started_at=WALL_S,
    updated_at=WALL_S + 1.5,
    duration_s=1.5,
    windows_scored=4,
    windows_gapped=0,
    nearest="embedding:1",
    level_dbfs=-30.0,
)


def tap(rate=RATE):
    return Tap(rate, BEFORE_S, AFTER_S, EVIDENCE_S)


def sound(start, n):
    """Samples with every bit in use, told by their place in the stream."""
    index = np.arange(start, start + n, dtype=np.uint64)
    return (index * 2_654_435_761 % 2**32 / 2**32 - 0.5).astype(np.float32)


def play(tap, begin, end, size=10, wall_s=WALL_S):
    """Push the stream from one index to another in blocks; the clips that came."""
    clips = []
    for start in range(begin, end, size):
        n = min(size, end - start)
        clips += tap.push(sound(start, n), start, wall_s + start / tap.rate)
    return clips


@settings(max_examples=150, deadline=None)
@given(
    first=st.integers(1, 300),
    size=st.integers(1, 200),
    decided=st.integers(10, 1200),
    length=st.integers(10, 400),
)
def test_a_clip_is_the_source_bit_by_bit_before_and_after_the_alert(first, size, decided, length):
    stream, begin = tap(), decided - length
    heard = first + -(-max(0, decided - first) // size) * size  # the end of a block
    clips = play(stream, 0, first, first) + play(stream, first, heard, size)
    assert clips == []
    assert stream.want(EVENT, begin / RATE, decided / RATE)
    clips = play(stream, heard, heard + 700, size)
    (clip,) = clips
    wanted = max(0, begin - 200), decided + 300
    assert clip.start == wanted[0]
    assert clip.samples.tobytes() == sound(wanted[0], wanted[1] - wanted[0]).tobytes()
    assert clip.gaps == ()
    assert clip.rate == RATE
    assert clip.captured_at == pytest.approx(WALL_S + wanted[0] / RATE)
    assert clip.marks.evidence_s == pytest.approx((begin - wanted[0]) / RATE)
    assert clip.marks.decided_s == pytest.approx((decided - wanted[0]) / RATE)
    assert clip.marks.event_s == pytest.approx((decided - wanted[0]) / RATE - 1.5)
    assert clip.asked_s == pytest.approx((length + 500) / RATE)


def test_a_clip_comes_with_the_block_that_completes_it():
    stream = tap()
    play(stream, 0, 1000)
    stream.want(EVENT, 8.0, 10.0)
    assert play(stream, 1000, 1290) == []
    assert stream.waiting == 1
    (clip,) = play(stream, 1290, 1300)
    assert clip.start + len(clip.samples) == 1300
    assert stream.waiting == 0
    assert play(stream, 1300, 2000) == []


def test_a_block_longer_than_the_ring_does_not_push_the_beginning_out():
    stream = tap()
    play(stream, 0, 1000)
    stream.want(EVENT, 7.0, 10.0)
    (clip,) = stream.push(sound(1000, 5000), 1000, WALL_S + 10.0)
    assert_array_equal(clip.samples, sound(500, 800))


def test_two_alerts_close_together_have_a_clip_each():
    stream = tap()
    play(stream, 0, 1000)
    later = replace(EVENT, id="b")
    stream.want(later, 8.5, 10.5)
    stream.want(EVENT, 8.0, 10.0)
    first, second = play(stream, 1000, 1400, size=200)
    assert (first.event.id, second.event.id) == ("a", "b")
    assert_array_equal(first.samples, sound(600, 700))
    assert_array_equal(second.samples, sound(650, 700))


def test_alerts_that_wait_are_bounded_and_those_refused_are_counted():
    stream = tap()
    play(stream, 0, 1000)
    taken = [stream.want(EVENT, 8.0, 10.0) for _ in range(MAX_WAITING + 2)]
    assert taken == [True] * MAX_WAITING + [False, False]
    assert stream.refused == 2
    assert len(play(stream, 1000, 1400)) == MAX_WAITING
    assert stream.want(EVENT, 12.0, 14.0)


def test_a_stream_that_ends_hands_out_what_is_there():
    stream = tap()
    play(stream, 0, 1000)
    stream.want(EVENT, 8.0, 10.0)
    play(stream, 1000, 1100)
    (clip,) = stream.finish()
    assert_array_equal(clip.samples, sound(600, 500))
    assert clip.duration_s == 5.0
    assert clip.asked_s == 7.0
    assert stream.finish() == []


def test_an_alert_at_the_start_of_the_stream_has_what_there_was_before_it():
    stream = tap()
    play(stream, 5000, 5300)
    stream.want(EVENT, 50.5, 52.5)
    (clip,) = play(stream, 5300, 5600)
    assert clip.start == 5000
    assert clip.marks.evidence_s == 0.5


def test_lost_audio_is_silent_and_named_and_the_rest_stays_in_its_place():
    stream = tap()
    play(stream, 0, 700)
    play(stream, 750, 1000)
    stream.want(EVENT, 8.0, 10.0)
    play(stream, 1000, 1100)
    (clip,) = play(stream, 1200, 1400)
    assert clip.gaps == ((100, 150), (500, 600))
    wanted = sound(600, 700)
    wanted[100:150] = wanted[500:600] = 0.0
    assert_array_equal(clip.samples, wanted)


def test_an_outage_longer_than_what_is_awaited_completes_the_clip():
    stream = tap()
    play(stream, 0, 1000)
    stream.want(EVENT, 8.0, 10.0)
    play(stream, 1000, 1050)
    (clip,) = stream.push(sound(90_000, 5), 90_000, WALL_S + 900.0)
    assert_array_equal(clip.samples, sound(600, 450))
    assert clip.gaps == ()


def test_a_stream_that_begins_anew_hands_out_what_waited():
    stream = tap()
    play(stream, 0, 1000)
    stream.want(EVENT, 8.0, 10.0)
    (clip,) = stream.push(sound(0, 10), 0, WALL_S + 60.0)
    assert_array_equal(clip.samples, sound(600, 400))
    assert clip.captured_at == pytest.approx(WALL_S + 6.0)
    stream.want(EVENT, 0.0, 0.1)
    (fresh,) = stream.finish()
    assert_array_equal(fresh.samples, sound(0, 10))
    assert fresh.captured_at == pytest.approx(WALL_S + 60.0)


def test_a_source_that_comes_back_at_another_rate_goes_on_with_a_tap_of_its_own():
    old, new = tap(), tap(2 * RATE)
    play(old, 0, 1000)
    old.want(EVENT, 8.0, 10.0)
    (clip,) = old.finish()
    play(new, 5000, 6000)
    new.want(EVENT, 28.0, 30.0)
    (other,) = play(new, 6000, 7000)
    assert (clip.rate, len(clip.samples)) == (RATE, 400)
    assert (other.rate, other.start, len(other.samples)) == (2 * RATE, 5200, 1400)
    assert other.captured_at == pytest.approx(WALL_S + 26.0)


def test_the_time_of_a_clip_is_that_of_its_first_sample_even_after_an_outage():
    stream = tap()
    play(stream, 0, 600)
    play(stream, 700, 1000, wall_s=WALL_S + 40.0)  # the outage took longer than the jump says
    stream.want(EVENT, 9.5, 10.0)
    (clip,) = play(stream, 1000, 1300, wall_s=WALL_S + 40.0)
    assert clip.start == 750
    assert clip.captured_at == pytest.approx(WALL_S + 47.5)


def test_a_drifting_clock_is_followed():
    stream = tap()
    for start in range(0, 2000, 10):
        stream.push(sound(start, 10), start, WALL_S + 1.01 * start / RATE)
    stream.want(EVENT, 18.0, 20.0)
    (clip,) = stream.finish()
    assert clip.captured_at == pytest.approx(WALL_S + 1.01 * clip.start / RATE, abs=0.011)


def test_memory_does_not_grow_with_the_stream():
    stream = tap()
    for start in range(0, 400_000, 20):
        stream.push(sound(start, 10), start, WALL_S)  # every second block is lost
    assert stream._ring._buffer.nbytes == 4 * RATE * 11
    assert len(stream._anchors) <= RATE * 11 / 10 + 2
    assert len(stream._ring._stretches) <= RATE * 11 / 10 + 2


def test_parts_of_the_score_go_with_the_clip():
    stream, parts = tap(), {"level": 3.0}
    play(stream, 0, 1000)
    stream.want(EVENT, 8.0, 10.0, parts)
    parts["level"] = 0.0
    (clip,) = stream.finish()
    assert clip.parts == {"level": 3.0}
