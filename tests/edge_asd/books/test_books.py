"""The books: brought up to date in every round, counted, reported daily, and never in the way."""

from __future__ import annotations

from datetime import date

import pytest
from prometheus_client import CollectorRegistry
from support.ledger_board import Board

from edge_asd.books.books import Books
from edge_asd.books.history import History
from edge_asd.books.ledger import Account
from edge_asd.evidence.records import Cause, Usage
from edge_asd.health import Health, HealthBoard
from edge_asd.metrics.metrics import Metrics

NAMES = ("pump-1", "pump-2")
NEARLY_MIDNIGHT_S = 1_790_035_200.0 - 60.0
"""2026-09-21T23:59:00Z."""
MONDAY, TUESDAY = date(2026, 9, 21), date(2026, 9, 22)


class Evidence:
    """As much of the desk as the books look at."""

    failure, stuck, deleted = "", 0, 0

    def usage(self):
        deleted = {Cause.AGE: self.deleted}
        return Usage(quota_bytes=1000, used_bytes=400, stuck=self.stuck, deleted=deleted)


class Bench:
    def __init__(self, folder, wall_s=NEARLY_MIDNIGHT_S) -> None:
        self.board = Board(folder, wall_s)
        self.start()

    def start(self):
        self.board.start("unused")
        self.registry, self.health = CollectorRegistry(), HealthBoard()
        metrics = Metrics(self.registry, version="0")
        for name in NAMES:
            metrics.init_monitor(name, queue_capacity=20)
        self.evidence = Evidence()
        self.history = History(self.board.folder, self.board.clock)
        self.books = Books(
            self.board.ledger,
            self.history,
            self.evidence,
            clock=self.board.clock,
            metrics=metrics,
            health=self.health,
        )
        for name in NAMES:
            self.books.open(name, 3.0)

    def run(self, duration_s, account=Account.IDLE, names=NAMES):
        """Every day that was due for a report."""
        due = []
        for _ in range(round(duration_s)):
            self.board.counter_s += 1.0
            for name in names:
                self.books.ledger.spend(name, self.board.clock.now(), account)
            self.board.clock.look()
            due.append(self.books.look())
        return [day for day in due if day is not None]

    def statuses(self):
        checks = self.health.snapshot()
        return {name: checks[name].status for name in ("ledger", "history", "evidence")}

    def metric(self, name, **labels):
        return self.registry.get_sample_value(f"edge_asd_{name}", labels)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.history.close()
    bench.board.ledger.close()


def test_all_is_well_from_the_first_round_on(bench):
    bench.run(1)
    assert set(bench.statuses().values()) == {Health.HEALTHY}


@pytest.mark.parametrize("book", ["ledger", "history", "evidence"])
def test_what_cannot_be_written_is_a_warning_until_it_is_written_again(bench, book):
    bench.run(1)
    getattr(bench.books, book).failure = "the disk is full; make space"
    bench.books._show_failures()  # a round would find out that the disk is not
    statuses = bench.statuses()
    assert statuses.pop(book) is Health.WARNING
    assert set(statuses.values()) == {Health.HEALTHY}
    assert bench.health.snapshot()[book].text == "the disk is full; make space"
    getattr(bench.books, book).failure = ""
    bench.run(1)
    assert bench.statuses()[book] is Health.HEALTHY


def test_a_damaged_ledger_is_a_warning_that_names_the_file_and_a_new_one_is_kept(tmp_path):
    bench = Bench(tmp_path)
    bench.run(20)
    bench.history.close()
    bench.board.ledger.close()
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 1000)
    bench.start()
    bench.run(20)
    check = bench.health.snapshot()["ledger"]
    assert check.status is Health.WARNING
    assert "damaged" in check.text
    assert "ledger.db" in check.text
    bench.history.close()
    bench.board.ledger.close()
    assert sum(bench.board.summary(NAMES[0]).seconds.values()) >= 20


def test_metrics_say_what_the_time_was_and_how_much_evidence_there_is(bench):
    bench.run(20, Account.IDLE)
    bench.run(20, Account.MICROPHONE_FAULT, names=NAMES[:1])
    seconds = {
        name: {
            account: bench.metric("ledger_seconds", monitor=name, account=account.value)
            for account in (Account.IDLE, Account.MICROPHONE_FAULT)
        }
        for name in NAMES
    }
    assert seconds[NAMES[0]] == {
        Account.IDLE: 20,
        Account.MICROPHONE_FAULT: pytest.approx(20, abs=6),
    }
    assert seconds[NAMES[1]] == {Account.IDLE: 20, Account.MICROPHONE_FAULT: 0}
    assert bench.metric("evidence_bytes") == 400
    assert bench.metric("evidence_quota_bytes") == 1000


def test_metrics_say_what_was_deleted_and_what_cannot_be(bench):
    bench.run(1)
    bench.evidence.stuck, bench.evidence.deleted = 1, 3
    bench.run(12)
    assert bench.metric("evidence_deleted_total", reason="age") == 3
    assert bench.metric("evidence_deleted_total", reason="quota") == 0
    assert bench.metric("evidence_stuck_clips") == 1


def test_scores_that_the_disk_does_not_take_are_counted(bench):
    bench.run(1)
    bench.history.dropped += 7
    bench.run(12)
    assert bench.metric("history_dropped_scores_total") == 7


def test_the_day_before_is_due_at_the_start_and_after_every_midnight(bench):
    assert bench.run(30) == [date(2026, 9, 20)]
    assert bench.run(60) == [MONDAY]
    assert bench.run(30) == []


def test_a_report_has_the_whole_day_of_every_monitor_that_has_one(bench):
    bench.run(30, Account.IDLE)
    bench.run(60, Account.BASELINING)
    reports = dict(bench.books.reports(MONDAY))
    assert set(reports) == set(NAMES)
    for summary in reports.values():
        assert summary.seconds[Account.IDLE] == 30
        assert summary.seconds[Account.BASELINING] == 30
        assert summary.end_s == NEARLY_MIDNIGHT_S + 60
    assert dict(bench.books.reports(date(2026, 9, 20))) == {}


def test_a_report_after_a_restart_has_the_time_before_it(bench):
    bench.run(20)
    bench.history.close()
    bench.board.ledger.close()
    bench.board.counter_s += 30.0
    bench.start()
    bench.run(30)
    for summary in dict(bench.books.reports(MONDAY)).values():
        assert summary.seconds[Account.IDLE] == 30
        assert summary.seconds[Account.DOWN] == 30


def test_a_clock_that_is_put_back_over_midnight_makes_the_day_due_again(bench):
    bench.run(90)
    bench.board.ahead_s -= 3600.0
    assert bench.run(1) == [date(2026, 9, 20)]
    bench.board.ahead_s += 3600.0
    assert bench.run(1) == [MONDAY]
    reports = dict(bench.books.reports(MONDAY))
    assert reports[NAMES[0]].seconds[Account.IDLE] >= 60
