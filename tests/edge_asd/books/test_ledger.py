"""Every second of every monitor is in exactly one account, whatever the clock and the disk do."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

import pytest
from support.ledger_board import WALL_S, Board, seconds

from edge_asd.books.ledger import Account
from edge_asd.books.ledger_file import FILE_NAME
from edge_asd.books.ledger_view import longest_unscored, summarise

DAY_S = 86_400
IDLE, GAPPED, SCORED = Account.IDLE, Account.GAPPED, Account.SCORED
DOWN, STARTING = Account.DOWN, Account.STARTING


@pytest.fixture
def machine(tmp_path):
    return Board(tmp_path)


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
    machine.run(1000, IDLE, step_s=50)
    machine.run(3000, GAPPED, step_s=50)
    machine.run(8000, IDLE, step_s=50)
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
    machine = Board(tmp_path / "later")
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
