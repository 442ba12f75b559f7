"""Switches last as long as was asked for: over restarts, and whatever the wall clock does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.operators.switches import Span, Switchboard, Switches, SwitchTable
from edge_asd.publish.store import EventStore
from edge_asd.steady import SteadyClock

NOW_S = 1_790_000_000.0


class Board:
    """A computer with a wall clock that can be set, and a boot that can be repeated."""

    def __init__(self, folder, wall_s=NOW_S):
        self.folder, self.wall_s, self.counted_s = folder, wall_s, 100.0
        self.store = EventStore(folder)
        self.boot()

    def boot(self):
        """Start the daemon once more."""
        self.clock = SteadyClock(lambda: self.wall_s, lambda: self.counted_s)
        self.board = Switchboard(self.store.switches, self.clock)

    def wait(self, seconds):
        """Time passes."""
        self.wall_s += seconds
        self.counted_s += seconds

    def set_clock(self, by_s):
        """Somebody sets the wall clock, and the daemon notices."""
        self.wall_s += by_s
        self.clock.look()
        self.board.look()

    def inhibit(self, seconds, by="anna"):
        until_s = None if seconds is None else self.clock.now() + seconds
        self.board.set("pump", Switches(inhibition=Span(by, until_s, seconds)))

    @property
    def inhibited(self):
        return self.board.of("pump").inhibited

    @property
    def left_s(self):
        return self.board.of("pump").inhibited_until - self.clock.now()


@pytest.fixture
def computer(tmp_path):
    board = Board(tmp_path)
    yield board
    board.store.close()


def test_a_monitor_that_nobody_touched_is_on(computer):
    assert computer.board.of("pump") == Switches()
    assert computer.board.of("pump").enabled
    assert not computer.board.of("pump").silent


def test_maintenance_ends_by_itself(computer):
    computer.inhibit(600.0)
    computer.wait(599.0)
    assert computer.inhibited
    computer.wait(1.5)
    assert not computer.inhibited


def test_maintenance_goes_on_over_a_restart_and_ends_when_it_should(computer):
    computer.inhibit(600.0)
    computer.wait(200.0)
    computer.boot()
    assert computer.left_s == pytest.approx(400.0)
    computer.wait(401.0)
    assert not computer.inhibited
    computer.boot()
    assert not computer.inhibited


def test_what_is_switched_off_stays_off_until_it_is_switched_on(computer):
    computer.board.set("pump", Switches(off=Span("anna")))
    computer.wait(90 * 86400.0)
    computer.boot()
    switches = computer.board.of("pump")
    assert (switches.enabled, switches.silent) == (False, True)
    assert switches.reason == "switched off by anna"
    computer.board.set("pump", Switches())
    computer.boot()
    assert computer.board.of("pump").enabled


def test_maintenance_without_minutes_has_no_end(computer):
    computer.inhibit(None)
    computer.wait(90 * 86400.0)
    computer.boot()
    assert computer.inhibited
    assert computer.board.of("pump").inhibited_until is None


@pytest.mark.parametrize("step_s", [-86400.0, -3600.0, 3600.0, 86400.0])
def test_setting_the_clock_neither_shortens_nor_prolongs_it(computer, step_s):
    computer.inhibit(600.0)
    computer.set_clock(step_s)
    assert computer.left_s == pytest.approx(600.0)
    computer.wait(100.0)
    computer.boot()  # what the restart reads was corrected with the clock
    assert computer.left_s == pytest.approx(500.0)


def test_a_board_that_starts_in_1970_ends_it_once_it_knows_the_time(computer):
    computer.inhibit(3600.0)
    computer.wait(7200.0)
    true_s, computer.wall_s = computer.wall_s, 30.0
    computer.boot()
    assert computer.left_s == pytest.approx(3600.0)  # no longer than was asked for
    computer.set_clock(true_s - computer.wall_s)
    assert not computer.inhibited


def test_what_is_set_before_the_time_is_known_lasts_as_long_as_was_asked(computer):
    computer.wall_s = 30.0
    computer.boot()
    computer.inhibit(3600.0)
    computer.set_clock(NOW_S)
    assert computer.left_s == pytest.approx(3600.0)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["wait", "clock", "boot"]), st.floats(1.0, 900.0))))
def test_it_never_lasts_longer_than_was_asked_for(tmp_path_factory, steps):
    computer = Board(tmp_path_factory.mktemp("board"))
    try:
        computer.inhibit(600.0)
        for what, seconds in steps:
            if what == "wait":
                computer.wait(seconds)
            elif what == "clock":
                computer.set_clock(seconds - 450.0)
            else:
                computer.boot()
            if computer.inhibited:
                assert 0.0 < computer.left_s <= 600.0 + 1e-3
        computer.wait(601.0)
        assert not computer.inhibited
    finally:
        computer.store.close()


def test_a_switch_that_the_disk_refuses_changes_nothing(computer):
    computer.inhibit(600.0)
    before = computer.board.of("pump")
    computer.store.close()
    with pytest.raises(Exception, match=r"events\.db"):
        computer.board.set("pump", Switches())
    assert computer.board.of("pump") == before
    computer.store = EventStore(computer.folder)


def test_who_asked_is_remembered(computer):
    end = Span("anna", computer.clock.now() + 60.0, 60.0)
    computer.board.set("pump", Switches(inhibition=Span("ben"), snooze=end))
    computer.boot()
    switches = computer.board.of("pump")
    assert switches.reason == "inhibited by ben"
    assert switches.snooze.by == "anna"
    assert isinstance(computer.store.switches, SwitchTable)
