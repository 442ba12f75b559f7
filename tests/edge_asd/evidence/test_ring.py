"""The ring gives back the very samples of the stream, and knows which of them were lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge_asd.evidence.ring import Ring

PUSHES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=25)


def sound(start, n):
    """Samples that tell where in the stream they are from."""
    return np.arange(start, start + n, dtype=np.float32) + 0.5


def filled(capacity, pushes, start=0):
    """A ring after (samples lost, samples there) in turn, and the stream as {index: sample}."""
    ring, stream = Ring(capacity), {}
    for lost, there in pushes:
        start += lost
        ring.push(sound(start, there), start)
        stream |= {start + i: float(value) for i, value in enumerate(sound(start, there))}
        start += there
    return ring, dict(list(stream.items())[-capacity:])


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 40), PUSHES, st.integers(-5, 300), st.integers(0, 40))
def test_any_range_reads_as_a_plain_dictionary_of_the_newest_samples_does(
    capacity, pushes, begin, length
):
    ring, stream = filled(capacity, pushes, start=3)
    end = begin + min(length, capacity)
    there = [index for index in range(begin, end) if index in stream]
    span = ring.read(begin, end)
    assert len(span.samples) == (there[-1] - there[0] + 1 if there else 0)
    missing = {index for gap in span.gaps for index in range(*gap)}
    assert all(low < high for low, high in span.gaps)
    assert sorted([*there, *missing]) == [span.start + i for i in range(len(span.samples))]
    wanted = [stream.get(span.start + i, 0.0) for i in range(len(span.samples))]
    assert_array_equal(span.samples, np.asarray(wanted, np.float32))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), PUSHES)
def test_begin_and_end_are_those_of_the_samples_kept(capacity, pushes):
    ring, stream = filled(capacity, pushes)
    assert (ring.begin, ring.end) == ((min(stream), max(stream) + 1) if stream else (0, 0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 100), max_size=12))
def test_how_the_driver_cuts_the_stream_does_not_matter(cuts):
    ring, start = Ring(37), 0
    for part in np.split(sound(0, 100), sorted(cuts)):
        ring.push(part, start)
        start += len(part)
    assert_array_equal(ring.read(63, 100).samples, sound(63, 37))
    assert ring.read(63, 100).gaps == ()


def test_lost_audio_takes_no_room():
    ring = Ring(10)
    ring.push(sound(0, 6), 0)
    ring.push(sound(1_000_000_000_000, 4), 1_000_000_000_000)
    assert_array_equal(ring.read(0, 10).samples, sound(0, 6))
    assert_array_equal(ring.read(999_999_999_996, 1_000_000_000_004).samples, sound(10**12, 4))
    assert ring._buffer.nbytes == 40


def test_a_stream_that_goes_back_in_its_count_begins_anew():
    ring = Ring(10)
    ring.push(sound(100, 8), 100)
    ring.push(sound(50, 2), 50)
    assert (ring.begin, ring.end) == (50, 52)
    assert len(ring.read(100, 108).samples) == 0
    assert_array_equal(ring.read(45, 55).samples, sound(50, 2))


def test_what_was_read_does_not_change_when_more_comes():
    ring = Ring(4)
    ring.push(sound(0, 4), 0)
    span = ring.read(0, 4)
    ring.push(sound(4, 4), 4)
    assert_array_equal(span.samples, sound(0, 4))


def test_the_drivers_buffer_may_be_used_again():
    ring, buffer = Ring(4), np.ones(4, np.float32)
    ring.push(buffer, 0)
    buffer[:] = 7.0
    assert_array_equal(ring.read(0, 4).samples, np.ones(4))


def test_impossible_values_come_back_as_they_went_in():
    odd = np.asarray([np.nan, np.inf, -0.0, 1e-42], np.float32)
    ring = Ring(4)
    ring.push(odd, 0)
    assert ring.read(0, 4).samples.tobytes() == odd.tobytes()


def test_no_read_makes_more_than_the_ring_holds():
    with pytest.raises(ValueError, match="11 samples asked of a ring of 10"):
        Ring(10).read(0, 11)
    with pytest.raises(ValueError, match="keeps nothing"):
        Ring(0)
