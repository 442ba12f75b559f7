"""Windows depend on the samples, not on how the driver cut them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge_asd.records import Block
from edge_asd.window import Windower, clip_windows

LENGTH, HOP, RATE = 8, 3, 100


def block(samples, start, wall_s=0.0):
    return Block(np.asarray(samples, np.float32)[:, None], start, wall_s + start / RATE)


def windows(signal, cuts, start=0):
    windower, out = Windower(LENGTH, HOP, RATE), []
    for part in np.split(signal, sorted(cuts)):
        out += windower.push(block(part, start))
        start += len(part)
    return out


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=12), st.integers(0, 60))
def test_windows_do_not_depend_on_block_size(cuts, n):
    signal = np.arange(n, dtype=np.float32)
    got = windows(signal, [cut for cut in cuts if cut <= n])
    starts = list(range(0, n - LENGTH + 1, HOP))
    assert [w.start for w in got] == starts
    for window in got:
        assert_array_equal(window.samples, signal[window.start : window.start + LENGTH])
        assert window.captured_at == pytest.approx(window.start / RATE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 25), st.integers(0, 5)), min_size=1, max_size=8))
def test_no_window_spans_lost_audio(stretches):
    # every sample holds its stream index: a window must be as contiguous as it claims
    windower, start, got, runs = Windower(LENGTH, HOP, RATE), 7, [], 0
    wanted = 0
    stretch_length = 0
    for length, lost in stretches:
        if stretch_length == 0 or lost:
            runs += 1
            stretch_length = 0
        before = max(0, 1 + (stretch_length - LENGTH) // HOP)
        start += lost
        got += windower.push(block(np.arange(start, start + length), start))
        stretch_length += length
        wanted += max(0, 1 + (stretch_length - LENGTH) // HOP) - before
        start += length
    assert len(got) == wanted
    for window in got:
        assert_array_equal(window.samples, np.arange(window.start, window.start + LENGTH))
    assert windower.run == runs - 1
    assert all(a.run <= b.run for a, b in itertools.pairwise(got))


def test_every_gap_begins_a_new_run():
    windower = Windower(LENGTH, HOP, RATE)
    runs = [windower.push(block(np.zeros(LENGTH), start))[0].run for start in (0, 100, 300)]
    assert runs == [0, 1, 2]


def test_a_jump_backwards_is_a_new_run_too():
    windower = Windower(LENGTH, HOP, RATE)
    windower.push(block(np.zeros(LENGTH), 100))
    (window,) = windower.push(block(np.ones(LENGTH), 50))
    assert (window.run, window.start, window.samples.min()) == (1, 50, 1.0)


def test_the_wall_time_of_a_window_follows_the_newest_block():
    windower = Windower(LENGTH, HOP, RATE)
    windower.push(block(np.zeros(4), 0, wall_s=1000.0))
    (window,) = windower.push(block(np.zeros(4), 4, wall_s=1000.5))  # the clock was set meanwhile
    assert window.captured_at == pytest.approx(1000.5)
    assert windower.end == LENGTH
    assert windower.end_captured_at == pytest.approx(1000.5 + LENGTH / RATE)


def test_the_gain_is_applied_once_and_the_source_is_not_touched():
    samples = np.full((LENGTH, 1), 0.25, np.float32)
    (window,) = Windower(LENGTH, HOP, RATE, gain=2.0).push(Block(samples, 0, 0.0))
    assert_array_equal(window.samples, np.full(LENGTH, 0.5))
    assert_array_equal(samples, np.full((LENGTH, 1), 0.25))


def test_windows_keep_their_samples_when_the_driver_reuses_its_buffer():
    buffer = np.ones((4, 1), np.float32)
    windower = Windower(LENGTH, HOP, RATE)
    windower.push(Block(buffer, 0, 0.0))
    buffer[:] = 2.0
    (window,) = windower.push(Block(buffer, 4, 0.0))
    buffer[:] = 3.0
    assert_array_equal(window.samples, [1, 1, 1, 1, 2, 2, 2, 2])
    assert not window.samples.flags.writeable


@pytest.mark.parametrize(("length", "hop"), [(8, 0), (8, -1), (8, 9), (0, 0)])
def test_a_hop_that_makes_no_sense_is_refused(length, hop):
    with pytest.raises(ValueError, match="hop"):
        Windower(length, hop, RATE)


@given(st.integers(LENGTH, 60))
def test_the_last_window_of_a_clip_is_right_aligned_and_nothing_is_left_out(n):
    clip = np.arange(n, dtype=np.float32)
    starts, cut, padded = clip_windows(clip, LENGTH, HOP)
    assert not padded
    assert starts[0] == 0
    assert starts[-1] == n - LENGTH
    assert all(0 < b - a <= HOP for a, b in itertools.pairwise(starts))
    assert_array_equal(cut, [clip[start : start + LENGTH] for start in starts])


@given(st.integers(1, LENGTH - 1))
def test_a_short_clip_is_tiled(n):
    clip = np.arange(n, dtype=np.float32)
    starts, cut, padded = clip_windows(clip, LENGTH, HOP)
    assert padded
    assert starts == [0]
    assert_array_equal(cut, [np.arange(LENGTH) % n])


def test_a_clip_of_exactly_one_window_is_not_called_padded():
    starts, _, padded = clip_windows(np.zeros(LENGTH, np.float32), LENGTH, HOP)
    assert (starts, padded) == ([0], False)
