"""Every second of every monitor is in exactly one account, whatever the clock and the disk do."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.clock import CLOCK_FLOOR_S
from edge_asd.database import Database
from edge_asd.ledger import Account, Ledger
from edge_asd.ledger_file import ANY_RUN, FILE_NAME, SCHEMA
from edge_asd.ledger_view import longest_unscored, passages, summarise
from edge_asd.steady import SteadyClock

WALL_S = 1_790_000_000
DAY_S = 86_400
IDLE, GAPPED, SCORED = Account.IDLE, Account.GAPPED, Account.SCORED
DOWN, STARTING = Account.DOWN, Account.STARTING


class Machine:
    """A board: time passes, its clock is set, its daemon starts and is killed."""

    def __init__(self, folder, wall_s=WALL_S):
        self.folder = folder
        self.counter_s = 50.0
        self.ahead_s = wall_s - self.counter_s  # of the boot-time counter
        self.clock = None
        self.ledger = None

    @property
    def wall_s(self):
        return self.counter_s + self.ahead_s

    def start(self, *monitors, settle_s=12.0, **bounds):
        self.clock = SteadyClock(lambda: self.wall_s, lambda: self.counter_s)
        self.ledger = Ledger(self.folder, self.clock, **bounds)
        for monitor in monitors or ("pump-1",):
            self.ledger.open(monitor, settle_s)
        self.look()
        return self.ledger

    def kill(self):
        """What is in memory is gone; what was committed is on the disk."""
        if self.ledger._database is not None:
            self.ledger._database.close()
        self.ledger = None

    def look(self):
        self.clock.look()
        self.ledger.look()

    def run(self, seconds, account=IDLE, *, scored=False, monitor="pump-1", step_s=1.0):
        """Spend time as the worker does, a window of 4 s every second where it is scored."""
        until_s = self.counter_s + seconds
        while self.counter_s < until_s:
            self.counter_s = min(until_s, self.counter_s + step_s)
            now_s = self.clock.now()
            self.ledger.spend(monitor, now_s, account)
            if scored:
                self.ledger.scored(monitor, now_s - 4.0, now_s)
            self.look()

    def read(self, monitor="pump-1", begin_s=-(2**50), end_s=2**50):
        """What another process sees in the file."""
        database = Database(self.folder / FILE_NAME, SCHEMA, read_only=True)
        every = database.read(lambda c: list(passages(c, monitor, begin_s, end_s, ANY_RUN)))
        database.close()
        return every

    def summary(self, monitor="pump-1"):
        return summarise(self.read(monitor))


def seconds(sums):
    """Without the accounts that have none."""
    return {account: number for account, number in sums.items() if number}


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_second_is_scored_if_a_window_covers_its_middle(machine):
    ledger = machine.start()
    now_s = machine.clock.now()
    ledger.spend("pump-1", now_s + 20, GAPPED)
    ledger.scored("pump-1", now_s + 3.5, now_s + 7.5)  # 3, 4, 5 and 6
    ledger.scored("pump-1", now_s + 7.6, now_s + 9.4)  # 8
    assert seconds(ledger.totals("pump-1", now_s, now_s + 100)) == {SCORED: 5, GAPPED: 15}
    assert ledger.coverage("pump-1", now_s + 3, now_s + 9) == pytest.approx(5 / 6)
    assert ledger.coverage("pump-1", now_s + 20, now_s + 90) is None


def test_an_earlier_moment_changes_nothing(machine):
    ledger = machine.start()
    now_s = machine.clock.now()
    ledger.spend("pump-1", now_s + 8, GAPPED)
    ledger.spend("pump-1", now_s + 5, IDLE)
    assert seconds(ledger.totals("pump-1", now_s, now_s + 100)) == {GAPPED: 8}


def test_nobody_scores_a_second_but_a_window(machine):
    ledger = machine.start()
    with pytest.raises(ValueError, match="only a scored window"):
        ledger.spend("pump-1", machine.clock.now() + 5, SCORED)


def test_a_kill_costs_ten_seconds_and_those_that_were_not_settled(machine):
    machine.start(settle_s=12.0)
    machine.run(100, scored=True)
    machine.kill()
    assert 100 - 22 <= machine.summary().seconds[SCORED] + 1 <= 100
    written = sum(p.end_s - p.begin_s for p in machine.read())
    machine.counter_s += 30
    machine.start()
    machine.run(30, STARTING)
    found = machine.summary()
    assert found.seconds[DOWN] == 130 - written
    assert found.clock_steps_s == 0


def test_a_clean_end_loses_nothing(machine):
    machine.start()
    machine.run(100, scored=True)
    machine.ledger.close()
    assert seconds(machine.summary().seconds) == {SCORED: 100}


def test_a_step_of_the_clock_changes_dates_and_no_durations(machine):
    machine.start()
    machine.run(60, IDLE)
    machine.ahead_s += 3600
    machine.run(60, GAPPED)
    machine.ahead_s -= 7200
    machine.run(60, IDLE)
    machine.ledger.close()
    found = machine.summary()
    assert seconds(found.seconds) == {IDLE: 120, GAPPED: 60}
    assert found.clock_steps_s == -3600
    assert machine.read()[-1].end_s == WALL_S + 180 - 3600


def test_a_board_that_boots_in_1970_is_dated_once_its_clock_is_set(machine):
    machine.start()
    machine.run(100, IDLE)
    machine.ledger.close()
    machine.ahead_s, machine.counter_s = 0.0, 8.0  # no battery
    machine.start()
    machine.run(50, GAPPED)
    assert machine.summary().seconds[DOWN] == 0
    machine.ahead_s = WALL_S + 1000.0
    machine.run(40, GAPPED)
    machine.ledger.close()
    found = machine.summary()
    assert seconds(found.seconds) == {IDLE: 100, GAPPED: 90, DOWN: 908}
    assert (found.begin_s, found.end_s) == (WALL_S, WALL_S + 1098)
    assert found.clock_steps_s == 0


@pytest.mark.parametrize("reboot", [False, True])
def test_runs_that_never_knew_the_time_are_placed_before_one_that_does(machine, reboot):
    machine.start()
    machine.run(100, IDLE)
    machine.ledger.close()
    machine.ahead_s, machine.counter_s = 0.0, 8.0
    for _ in range(2):
        machine.start()
        machine.run(50, GAPPED)
        machine.ledger.close()
        machine.counter_s = 8.0 if reboot else machine.counter_s + 20.0
    machine.ahead_s = WALL_S + 1000.0
    machine.start()
    machine.run(30, IDLE)
    machine.ledger.close()
    found = machine.summary()
    assert seconds(found.seconds)[GAPPED] == 100
    assert found.clock_steps_s == 0
    assert found.accounted_s == found.end_s - found.begin_s
    order = [p.account for p in machine.read()]
    between = [] if reboot else [DOWN]
    assert order == [IDLE, DOWN, GAPPED, *between, GAPPED, IDLE]


def test_a_clock_that_was_set_back_while_nothing_ran_gives_no_negative_time(machine):
    machine.start()
    machine.run(100, IDLE)
    machine.ledger.close()
    machine.counter_s += 50
    machine.ahead_s -= 3600
    machine.start()
    machine.run(30, IDLE)
    machine.ledger.close()
    found = machine.summary()
    assert seconds(found.seconds) == {IDLE: 130}
    assert found.clock_steps_s == -3550


def test_a_monitor_that_is_removed_ends_and_one_that_is_added_starts(machine):
    machine.start("pump-1", "fan-1")
    machine.run(50, IDLE)
    machine.run(50, IDLE, monitor="fan-1")
    machine.ledger.close()
    machine.counter_s += 100
    machine.start("pump-1", "press-1")
    machine.run(50, IDLE)
    machine.ledger.close()
    assert machine.read("fan-1")[-1].end_s == WALL_S + 100
    assert machine.summary("pump-1").seconds[DOWN] == 150
    assert machine.read("press-1") == []


def test_totals_go_back_into_earlier_runs(machine):
    machine.start()
    began_s = machine.clock.now()
    machine.run(100, scored=True)
    machine.ledger.close()
    machine.counter_s += 50
    ledger = machine.start()
    machine.run(20, IDLE)
    now_s = machine.clock.now()
    assert seconds(ledger.totals("pump-1", began_s + 40, now_s)) == {SCORED: 60, DOWN: 50, IDLE: 20}
    assert seconds(ledger.totals("pump-1", ledger.started_s, now_s)) == {IDLE: 20}
    assert ledger.coverage("pump-1", began_s, began_s + 150) == pytest.approx(100 / 150)


def test_a_day_is_reported_also_after_a_restart(machine):
    midnight = WALL_S - WALL_S % DAY_S + DAY_S
    machine.ahead_s += midnight - 100 - machine.wall_s
    machine.start()
    machine.run(60, scored=True)
    machine.ledger.close()
    machine.counter_s += 100
    ledger = machine.start()
    machine.run(70, GAPPED)
    day = datetime.fromtimestamp(midnight, tz=timezone.utc).date()
    yesterday = datetime.fromtimestamp(midnight - 1, tz=timezone.utc).date()
    before = ledger.report("pump-1", yesterday)
    assert seconds(before.seconds) == {SCORED: 60, DOWN: 40}
    assert (before.begin_s, before.end_s, before.coverage) == (midnight - 100, midnight, 0.6)
    today = ledger.report("pump-1", day)
    assert seconds(today.seconds) == {DOWN: 60, GAPPED: 70}
    assert today.end_s == midnight + 130
    assert ledger.report("pump-1", day.replace(year=2020)) is None
    assert ledger.report("fan-1", day) is None


def test_what_is_older_than_is_kept_is_forgotten(machine):
    machine.start(keep_s=5000.0)
    machine.run(1000, IDLE)
    machine.run(3000, GAPPED, step_s=10)
    machine.run(8000, IDLE, step_s=10)
    machine.ledger.close()
    every = machine.read()
    assert every[0].account is IDLE
    assert every[0].begin_s == WALL_S + 4000
    assert summarise(every).clock_steps_s == 0


def test_rows_are_bounded_the_oldest_are_forgotten(machine):
    machine.start(keep_rows=100)
    for _ in range(80):
        machine.run(60, IDLE, step_s=30)
        machine.run(60, GAPPED, step_s=30)
    machine.ledger.close()
    every = machine.read()
    assert len(every) <= 100 + 60  # it is looked after once an hour
    assert every[-1].end_s == WALL_S + 9600
    assert summarise(every).clock_steps_s == 0


def test_a_disk_that_refuses_costs_nothing_once_it_is_back(machine, caplog):
    ledger = machine.start()
    machine.run(60, IDLE)
    connection = ledger._database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(400):
        machine.run(10, IDLE, step_s=5)
        machine.run(10, GAPPED, step_s=5)
    assert "free space" in ledger.failure
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
    assert seconds(ledger.totals("pump-1", ledger.started_s, machine.clock.now())) == {
        IDLE: 4060,
        GAPPED: 4000,
    }
    connection.execute("PRAGMA max_page_count = 100000")
    machine.run(60, IDLE)
    assert ledger.failure == ""
    ledger.close()
    assert seconds(machine.summary().seconds) == {IDLE: 4120, GAPPED: 4000}
    assert machine.summary().clock_steps_s == 0


def test_a_folder_that_appears_later_is_used(tmp_path):
    machine = Machine(tmp_path / "later")
    ledger = machine.start()
    assert "folder exists" in ledger.failure
    machine.run(60, IDLE)
    machine.folder.mkdir()
    machine.run(60, IDLE)
    assert ledger.failure == ""
    ledger.close()
    assert seconds(machine.summary().seconds) == {IDLE: 120}


def test_a_file_that_is_damaged_while_running_is_replaced_by_what_is_remembered(machine):
    ledger = machine.start()
    machine.run(200, IDLE)
    machine.run(200, GAPPED)
    ledger._database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger._database._connection.execute("PRAGMA cache_size = 0")
    (machine.folder / FILE_NAME).write_bytes(b"\xa5" * 40_000)
    machine.run(100, IDLE)
    assert ledger.moved_aside is not None
    ledger.close()
    assert seconds(machine.summary().seconds) == {IDLE: 300, GAPPED: 200}


def test_the_longest_stretches_that_were_not_scored_come_first(machine):
    machine.start()
    machine.run(100, scored=True)
    machine.run(30, GAPPED)
    machine.run(100, scored=True)
    machine.run(50, IDLE)
    machine.ledger.close()
    longest = longest_unscored(machine.read(), 5)
    assert [(p.account, p.end_s - p.begin_s) for p in longest] == [(IDLE, 50), (GAPPED, 27)]


accounts = st.sampled_from([a for a in Account if a not in (SCORED, DOWN)])
steps = st.one_of(
    st.tuples(st.just("run"), st.floats(0.05, 40), accounts, st.booleans()),
    st.tuples(st.just("jump"), st.floats(0, 4000), accounts),
    st.tuples(st.just("clock"), st.integers(-10_000, 10_000)),
    st.tuples(st.just("down"), st.integers(0, 5000), st.booleans()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=25), st.floats(0, 30))
def test_seconds_add_up_to_the_time_that_passed(tmp_path_factory, actions, settle_s):
    machine = Machine(tmp_path_factory.mktemp("ledger"))
    machine.start(settle_s=settle_s)
    for kind, *values in actions:
        if kind == "run":
            machine.run(values[0], values[1], scored=values[2])
        elif kind == "jump":
            machine.run(values[0], values[1], step_s=2000)
        elif kind == "clock":
            machine.ahead_s += values[0]
            machine.look()
        else:
            opened_s, now_s = machine.ledger.started_s, machine.clock.now()
            if values[1]:
                machine.ledger.close()
            else:
                machine.kill()
            machine.counter_s += values[0]
            machine.start(settle_s=settle_s)
            machine.look()
            continue
        ledger, opened_s, now_s = machine.ledger, machine.ledger.started_s, machine.clock.now()
        passed = ledger.totals("pump-1", opened_s, now_s)
        assert sum(passed.values()) == pytest.approx(now_s - opened_s, abs=1.0)
    machine.ledger.close()
    every = machine.read()
    found = summarise(every)
    if found is None:
        return
    assert all(p.end_s > p.begin_s for p in every)
    first_s = int(WALL_S)
    # Whole seconds of a clock that was set by whole seconds: off by the rounding of each run.
    runs = sum(kind == "down" for kind, *_ in actions) + 1
    assert found.accounted_s == pytest.approx(machine.counter_s - 50.0, abs=1.0 + runs)
    assert found.begin_s >= first_s - 10_000 * len(actions)


def test_the_clock_floor_is_what_makes_a_date_plausible():
    assert WALL_S > CLOCK_FLOOR_S
