"""The outbox is bounded, and gives up the least valuable first."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from publish_samples import WALL_S

from edge_asd.database import Database
from edge_asd.errors import ConfigError
from edge_asd.publish.outbox import DropReason, Message, Outbox, RowClass, Stats
from edge_asd.publish.tables import SCHEMA

DAY_S = 86400.0


class Wall:
    """A wall clock to be set."""

    def __init__(self, now_s=WALL_S):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def make(directory, wall=None, **bounds):
    clock = wall or Wall()
    return Outbox(
        Database(Path(directory) / "events.db", SCHEMA, clock=clock), clock=clock, **bounds
    )


def row(row_class, size=10, topic="t", seq=0):
    return Message(topic, b"x" * (size - len(topic)), RowClass(row_class), "pump-1", seq)


def value(row_class):
    """Rank in the order in which rows are given up."""
    return {RowClass.REPORT: 0, RowClass.EVENT_UPDATE: 1}.get(row_class, 2)


rows = st.lists(
    st.tuples(st.sampled_from(list(RowClass)), st.integers(1, 40)), min_size=1, max_size=25
)


@settings(max_examples=30, deadline=None)
@given(rows, st.integers(20, 200))
def test_on_overflow_the_least_valuable_and_then_the_oldest_go(puts, max_bytes):
    with tempfile.TemporaryDirectory() as directory:
        outbox = make(directory, max_bytes=max_bytes)
        expected = []  # (class, size, seq)
        for seq, (row_class, size) in enumerate(puts):
            losses = Counter()
            expected.append((row_class, size, seq))
            while sum(entry[1] for entry in expected) > max_bytes:
                victim = min(expected, key=lambda entry: (value(entry[0]), entry[2]))
                expected.remove(victim)
                losses[victim[0]] += 1
            dropped = outbox.put(row(row_class, size, seq=seq))
            assert {d.row_class: d.count for d in dropped} == losses
            assert {d.reason for d in dropped} <= {DropReason.SIZE}
        kept = [r.message.seq for r in outbox.head(100)]
        assert kept == [entry[2] for entry in expected]
        assert outbox.stats().bytes == sum(entry[1] for entry in expected)


def test_rows_come_oldest_first_and_topics_can_be_left_out(tmp_path):
    outbox = make(tmp_path)
    for seq, topic in enumerate(["a", "b", "a", "c"]):
        outbox.put(row("event_new", topic=topic, seq=seq))
    assert [r.message.seq for r in outbox.head(3)] == [0, 1, 2]
    assert [r.message.seq for r in outbox.head(3, skip_topics=("a", "c"))] == [1]
    first = outbox.head(1)[0]
    assert first.message == row("event_new", topic="a", seq=0)
    outbox.ack(first.id, 999)
    assert [r.message.seq for r in outbox.head(9)] == [1, 2, 3]


def test_rows_beyond_their_age_are_given_up_and_counted(tmp_path):
    wall = Wall()
    outbox = make(tmp_path, wall, max_age_s=30 * DAY_S)
    outbox.put(row("event_new", seq=0))
    wall.now_s += 20 * DAY_S
    outbox.put(row("event_end", seq=1))
    wall.now_s += 11 * DAY_S
    (loss,) = outbox.put(row("report", seq=2))
    assert (loss.row_class, loss.reason, loss.count) == (RowClass.EVENT_NEW, DropReason.AGE, 1)
    assert [r.message.seq for r in outbox.head(9)] == [1, 2]


def test_setting_a_clock_that_began_in_1970_gives_nothing_up(tmp_path):
    wall = Wall(12.0)
    outbox = make(tmp_path, wall)
    outbox.put(row("event_new", seq=0))
    wall.now_s = WALL_S
    assert outbox.put(row("event_end", seq=1)) == ()
    assert [r.created_at for r in outbox.head(9)] == [WALL_S, WALL_S]


def test_it_tells_how_full_it_is(tmp_path):
    wall = Wall()
    outbox = make(tmp_path, wall)
    assert outbox.stats() == Stats(0, 0, None)
    outbox.put(row("event_new", size=30))
    wall.now_s += 5
    outbox.put(row("report", size=12))
    assert outbox.stats() == Stats(2, 42, WALL_S)


def test_whoever_empties_it_is_woken_by_every_row(tmp_path):
    outbox = make(tmp_path)
    seen = []
    outbox.on_put = lambda: seen.append(outbox.stats().messages)
    outbox.put(row("report"))
    outbox.put(row("report"))
    assert seen == [1, 2]


@pytest.mark.parametrize("bounds", [{"max_bytes": 0}, {"max_age_s": -1.0}])
def test_bounds_must_be_positive(tmp_path, bounds):
    with pytest.raises(ConfigError, match="positive"):
        make(tmp_path, **bounds)
