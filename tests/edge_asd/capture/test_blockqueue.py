"""Audio waits for the sample that somebody waits for, but not long, and comes as one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge_asd.capture.blockqueue import TOGETHER_S, BlockQueue
from edge_asd.records import Block

RATE = 100
SOUND = np.arange(10_000, dtype=np.float32)


def block(start, n, **changes):
    fields = {"captured_at": 50.0 + start / RATE} | changes
    return Block(SOUND[start : start + n, None], start, **fields)


class Told:
    """A queue, and how often its reader was told."""

    def __init__(self):
        self.queue, self.times = BlockQueue(20.0), 0
        self.queue.tell(self._tell)

    def _tell(self):
        self.times += 1

    def put(self, start, n, **changes):
        self.queue.put_dropping(block(start, n, **changes), n / RATE)


@pytest.fixture
def told():
    return Told()


def test_a_reader_that_waits_for_nothing_hears_of_every_block(told):
    told.put(0, 10)
    told.put(10, 10)
    assert told.times == 2


def test_a_reader_hears_nothing_until_the_sample_has_come_that_it_waits_for(told):
    told.queue.expect(25)
    told.put(0, 10)
    told.put(10, 10)
    assert (told.times, told.queue.due) == (0, False)
    told.put(20, 5)
    assert (told.times, told.queue.due) == (1, True)


def test_half_a_second_is_announced_whatever_the_reader_waits_for(told):
    told.queue.expect(100_000)
    told.put(0, 40)
    assert told.times == 0
    told.put(40, 10)
    assert told.times == 1


def test_what_is_there_already_is_announced_when_it_is_what_somebody_waits_for(told):
    told.queue.expect(100)
    told.put(0, 10)
    told.queue.expect(10)
    assert told.times == 1


def test_a_wish_said_twice_or_after_the_end_announces_nothing_again(told):
    told.put(0, 10)
    told.queue.expect(10)
    assert told.times == 2
    told.queue.expect(10)
    assert told.times == 2
    assert told.queue.take() is not None
    told.queue.end()
    assert told.times == 3
    for index in (20, 20, 30):
        told.queue.expect(index)
    assert told.times == 3


def test_the_end_is_announced_with_or_without_audio(told):
    told.queue.expect(100)
    told.put(0, 10)
    told.queue.end()
    assert (told.times, told.queue.due) == (1, True)
    assert told.queue.take() is not None
    assert told.queue.due
    assert told.queue.spent


def test_nothing_is_taken_of_nothing(told):
    assert told.queue.take() is None


@pytest.mark.parametrize(
    "following",
    [
        block(11, 10),  # a sample is missing
        block(10, 10, overflowed=True),
        Block(np.zeros((10, 2), np.float32), 10, 0.0),
    ],
)
def test_what_does_not_go_on_where_the_other_ends_is_taken_apart(told, following):
    told.put(0, 10, overflowed=True)
    told.queue.put_dropping(following, 0.1)
    first, second = told.queue.take(), told.queue.take()
    assert (len(first.samples), first.start, first.overflowed) == (10, 0, True)
    assert second is following


@given(st.lists(st.integers(1, 70), min_size=1, max_size=40))
def test_taken_together_the_blocks_are_what_they_were(lengths):
    told, start = Told(), 0
    for n in lengths:
        told.put(start, n)
        start += n
    taken = []
    while (piece := told.queue.take()) is not None:
        taken.append(piece)
    assert told.queue.held_s == pytest.approx(0.0, abs=1e-6)
    assert_array_equal(np.concatenate([one.samples for one in taken])[:, 0], SOUND[:start])
    for one in taken:
        assert one.samples[0, 0] == one.start
        assert one.captured_at == pytest.approx(50.0 + one.start / RATE)
        assert len(one.samples) / RATE < TOGETHER_S + max(lengths) / RATE
    assert all(len(one.samples) / RATE >= TOGETHER_S - 1e-9 for one in taken[:-1])
