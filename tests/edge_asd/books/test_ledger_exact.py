"""Against a model that keeps one entry a second: nothing is counted twice, nothing is missing."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ledger_board import WALL_S, Board, quick_folder

from edge_asd.books import ledger_timeline
from edge_asd.books.ledger import Account
from edge_asd.books.ledger_file import FILE_NAME

SETTLE_S = 12.0
MONITORS = ("pump-1", "fan-1")


class Model:
    """One monitor in one run, second by second."""

    def __init__(self, now_s):
        self.opened_s = math.ceil(now_s - 0.5)
        self.accounts = {}
        self.covered = set()

    def spend(self, until_s, account):
        second = self.opened_s + len(self.accounts)
        while second + 0.5 < until_s:
            self.accounts[second] = account
            second += 1

    def scored(self, begin_s, end_s):
        self.covered.update(
            second
            for second in range(math.floor(begin_s) - 1, math.ceil(end_s) + 1)
            if begin_s <= second + 0.5 < end_s
        )

    def account(self, second):
        return Account.SCORED if second in self.covered else self.accounts[second]

    def totals(self, begin_s, end_s):
        return Counter(
            self.account(second) for second in self.accounts if begin_s <= second + 0.5 < end_s
        )


class Watched(Board):
    """A board whose ledger and models hear the same."""

    def __init__(self, folder):
        super().__init__(folder)
        self.steps_s = 0
        self.models, self.looks = [], []
        self.start()

    def look(self):
        super().look()
        if self.models:
            spent = {name: len(model.accounts) for name, model in self.models[-1].items()}
            self.looks.append((self.counter_s, spent))

    def start(self):
        super().start(*MONITORS, settle_s=SETTLE_S)
        self.looks = []
        self.models.append({name: Model(self.clock.now()) for name in MONITORS})

    def pass_time(self, seconds, account, length_s, monitor):
        self.counter_s += seconds
        now_s, model = self.clock.now(), self.models[-1][monitor]
        if length_s:
            # Scored in time: nothing of it can have been settled.
            self.ledger.scored(monitor, now_s - length_s, now_s)
            model.scored(now_s - length_s, now_s)
        self.ledger.spend(monitor, now_s, account)
        model.spend(now_s, account)

    def pass_both(self, seconds):
        """Steps of the clock before the first row and after the last one leave no trace."""
        self.pass_time(seconds, Account.IDLE, 0.0, MONITORS[0])
        self.pass_time(0, Account.IDLE, 0.0, MONITORS[1])
        self.look()

    def set_clock(self, by_s):
        self.ahead_s += by_s
        self.steps_s += by_s
        self.look()

    def ask(self, share, length):
        """Compare what is answered for some span of this run."""
        for monitor, model in self.models[-1].items():
            begin_s = max(model.opened_s - 0.4, model.opened_s + share * len(model.accounts))
            end_s = begin_s + length
            answer = self.ledger.totals(monitor, begin_s, end_s)
            expected = model.totals(begin_s, end_s)
            assert {a: n for a, n in answer.items() if n} == expected
            coverage = self.ledger.coverage(monitor, begin_s, end_s)
            count = sum(expected.values())
            assert coverage == (expected[Account.SCORED] / count if count else None)

    def check_file(self, run, *, closed):
        """Rows of a run follow one another, and say what the model says."""
        connection = sqlite3.connect(self.folder / FILE_NAME)
        for monitor, model in self.models[run - 1].items():
            rows = connection.execute(
                "SELECT begin_s, end_s, account FROM stretches WHERE monitor = ? AND run = ?"
                " ORDER BY begin_s",
                (monitor, run),
            ).fetchall()
            edge_s = model.opened_s
            for begin_s, end_s, account in rows:
                assert begin_s == edge_s
                assert all(model.account(s) == account for s in range(begin_s, end_s))
                edge_s = end_s
            written = edge_s - model.opened_s
            if closed:
                assert written == len(model.accounts)
            for at_s, spent in self.looks:
                assert at_s > self.counter_s - 10.0 or written >= spent[monitor] - SETTLE_S
        connection.close()

    def check_sums(self):
        """Over all runs the seconds are the time that passed: down time fills what was cut off."""
        for monitor in MONITORS:
            found = self.summary(monitor)
            spent_s = self.models[-1][monitor]
            end_s = spent_s.opened_s + len(spent_s.accounts)
            # Clocks are set by whole seconds here, so that steady seconds begin together.
            passed_s = end_s + round(self.clock.offset_s) - self.steps_s - WALL_S
            assert found.accounted_s == passed_s
            assert found.clock_steps_s == self.steps_s


accounts = st.sampled_from([a for a in Account if a not in (Account.SCORED, Account.DOWN)])
monitors = st.sampled_from(MONITORS)
steps = st.one_of(
    st.tuples(st.just("pass"), st.floats(0.01, 9), accounts, st.floats(0, 11), monitors),
    st.tuples(st.just("pass"), st.floats(0.01, 9), accounts, st.just(0.0), monitors),
    st.tuples(st.just("pass"), st.floats(9, 5000), accounts, st.just(0.0), monitors),
    st.tuples(st.just("look")),
    st.tuples(st.just("clock"), st.integers(-10_000, 10_000).filter(lambda by: abs(by) > 1)),
    st.tuples(st.just("ask"), st.floats(-0.2, 1.2), st.floats(0, 10_000)),
    st.tuples(st.just("restart"), st.integers(0, 5000), st.booleans()),
)


def tried(folder, actions):
    board = Watched(folder)
    board.pass_both(30)
    for kind, *values in actions:
        if kind == "pass":
            board.pass_time(*values)
        elif kind == "look":
            board.look()
        elif kind == "clock":
            board.set_clock(*values)
        elif kind == "ask":
            board.ask(*values)
        else:
            pause_s, closed = values
            board.look()  # the worker never waits longer than this
            (board.ledger.close if closed else board.kill)()
            board.check_file(len(board.models), closed=closed)
            board.counter_s += pause_s
            board.start()
    board.pass_both(3)
    board.ask(-0.1, 1e6)
    board.ledger.close()
    board.check_file(len(board.models), closed=True)
    board.check_sums()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=40))
def test_every_second_is_in_the_account_that_it_belongs_to(actions):
    with quick_folder() as folder:
        tried(folder, actions)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=60))
def test_a_short_memory_changes_no_answer(actions):
    kept = ledger_timeline.KEPT_STRETCHES
    ledger_timeline.KEPT_STRETCHES = 2
    try:
        with quick_folder() as folder:
            tried(folder, actions)
    finally:
        ledger_timeline.KEPT_STRETCHES = kept


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), accounts), min_size=60, max_size=200))
def test_what_is_condensed_keeps_its_sums(spent):
    """The disk never takes anything: memory is bounded, and every second keeps its account."""
    with quick_folder() as folder:
        condensed(Board(folder / "missing"), spent)


def condensed(board, spent):
    ledger = board.start(settle_s=0.0)
    waiting = ledger_timeline.WAITING_STRETCHES
    ledger_timeline.WAITING_STRETCHES = 32
    expected = Counter()
    try:
        for length_s, account in spent:
            board.run(length_s, account, step_s=length_s)
            expected[account] += length_s
    finally:
        ledger_timeline.WAITING_STRETCHES = waiting
    answer = ledger.totals("pump-1", ledger.started_s, board.clock.now())
    assert {a: n for a, n in answer.items() if n} == expected
    assert len(ledger._timelines["pump-1"].waiting()) <= 33
    board.folder.mkdir()
    ledger.close()
    assert Counter({a: n for a, n in board.summary().seconds.items() if n}) == expected
    assert board.summary().clock_steps_s == 0
