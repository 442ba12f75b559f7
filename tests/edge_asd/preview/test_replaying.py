"""A replay of what was kept gives the alerts that were raised."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asd.books.history import History
from edge_asd.books.history_file import Mark
from edge_asd.books.history_view import Piece, read_pieces
from edge_asd.decide import Decider, Moment, Rules, Thresholds
from edge_asd.preview.replaying import WouldBeAlert, replay
from edge_asd.preview.stretches import Grid, stretches_of
from edge_asd.records import EventType, Scored, Severity, State
from edge_asd.score.calibrate import Persistence
from edge_asd.steady import SteadyClock

RATE, HOP, WINDOW = 1000, 992, 10_000
GRID = Grid(RATE, HOP)
STARTED_S = 1_790_000_000.25
THRESHOLDS = Thresholds(warning=3.0, alarm=6.0, clear_below=2.0)
LEVELS = [0.0, 1.0, 1.96875, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0]  # float16 holds all of them
LOOK_BACK = Persistence.from_seconds(14.0, 20.0, GRID.hop_s)
# Half a sample off: no time that passes is exactly as long as one of these.
RULES = Rules(LOOK_BACK, GRID.hop_s, clear_s=20.1005, cooldown_s=60.1005, update_s=60.1005)


@dataclass
class Live:
    """A daemon: what it decides, and what it keeps."""

    folder: Path
    rules: Rules = RULES
    thresholds: Thresholds = THRESHOLDS
    alerts: list[WouldBeAlert] = field(default_factory=list)
    peak: float = 0.0
    end: int = 0
    """Sample at which the newest window ends."""
    restarts: int = 0

    def __post_init__(self):
        self.end, self.at_s = WINDOW, STARTED_S
        self.last = Moment(0.0, self.at_s)
        self.start(None)

    def start(self, event):
        self.clock = SteadyClock(lambda: self.at_s, lambda: self.at_s)
        self.history = History(self.folder, self.clock)
        self.decider = Decider(
            self.rules, self.thresholds, lambda _: 0.0, lambda _: "id", open_event=event
        )

    def pass_(self, samples):
        self.end += samples
        self.at_s += samples / RATE

    def score(self, level, hops=1):
        self.pass_(hops * HOP)
        start = self.end - WINDOW
        began_s = self.at_s - WINDOW / RATE
        scored = Scored(start, self.end, began_s, level, -30.0, "embedding:7")
        self.last = Moment(self.end / RATE, self.at_s)
        self.take(self.decider.scored(scored, RATE, hops=hops))
        hop_s = hops * GRID.hop_s
        self.history.add("pump", profile_key="a", hop_s=hop_s, end_s=self.at_s, score=level)
        self.history.look()

    def state(self, state):
        self.take(self.decider.set_state(state, "", Moment(self.end / RATE, self.at_s)))
        mark = self.history.idle if state is State.IDLE else self.history.unknown
        mark("pump", self.at_s)

    def restart(self, away_s):
        self.history.close()
        self.at_s += away_s
        self.end = WINDOW
        event = self.decider.event
        self.restarts += event is not None
        self.start(event)

    def take(self, decision):
        event = decision.event
        if event is not None and event.type is EventType.NEW:
            self.peak = decision.statistic
        elif decision.statistic is not None and not decision.suppressed:
            self.peak = max(self.peak, decision.statistic)
        if event is not None and event.type is EventType.END:
            self.raised(event, event.ended_at)

    def raised(self, event, ended_at):
        self.alerts.append(
            WouldBeAlert(event.started_at, ended_at, event.duration_s, event.severity, self.peak)
        )

    def stop(self):
        """All alerts; the one that goes on is timed up to the last score."""
        self.history.close()
        if self.decider.event is not None:
            self.raised(self.decider.finish("", self.last).event, None)
        return self.alerts

    def replayed(self, **changes):
        stretches = stretches_of(read_pieces(self.folder, "pump"), "a", GRID)
        return replay(stretches, self.rules, replace(self.thresholds, **changes), RATE)


def play(live, step):
    kind, value, count = step
    PLAYS[kind](live, value, count)


def same_scores(live, value, count):
    for _ in range(count):
        live.score(value)


def mixed_scores(live, value, count):
    for index in range(count):
        live.score(LEVELS[(value * 7 + index * index * 5) % len(LEVELS)])


def rhythm(live, value, count):
    """High for some windows of every eight, for a long time."""
    for index in range(10 * count):
        live.score(4.0 if index % 8 < value else 1.0)


def slow_scores(live, value, count):
    for _ in range(count):
        live.score(value, hops=2 + count % 3)


def stop_for(live, _, count):
    live.pass_(500)
    live.state(State.IDLE)
    live.pass_(count * 100)


def be_deaf(live, _, __):
    live.pass_(300)
    live.state(State.UNKNOWN)
    live.pass_(WINDOW)


PLAYS = {
    "scores": same_scores,
    "mixed": mixed_scores,
    "rhythm": rhythm,
    "slow": slow_scores,
    "gap": lambda live, _, count: live.pass_(WINDOW + count * 137),
    "idle": stop_for,
    "unknown": be_deaf,
    "restart": lambda live, _, count: live.restart(15.0 + count),
}


def same(live, replayed):
    """Equal but for what a float of seconds since 1970 cannot hold."""
    assert len(live.alerts) == len(replayed)
    for raised, would_be in zip(live.alerts, replayed, strict=True):
        assert would_be.started_at == pytest.approx(raised.started_at, abs=1e-4)
        assert (would_be.severity, would_be.peak) == (raised.severity, raised.peak)
        if raised.ended_at is None:
            assert would_be.ended_at is None
        else:
            assert would_be.ended_at == pytest.approx(raised.ended_at, abs=1e-4)
        # What passed since the last report before a restart is told by the scores alone.
        loss_s = live.restarts * (live.rules.update_s + 2 * GRID.hop_s)
        assert raised.duration_s - 1e-4 <= would_be.duration_s <= raised.duration_s + loss_s + 1e-4


LEVEL = st.sampled_from(LEVELS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("scores"), LEVEL, st.integers(1, 150)),
        st.tuples(st.just("mixed"), st.integers(0, 8), st.integers(1, 60)),
        st.tuples(st.just("rhythm"), st.integers(2, 7), st.integers(3, 15)),
        st.tuples(st.just("slow"), LEVEL, st.integers(1, 30)),
        st.tuples(st.sampled_from(["gap", "idle", "unknown"]), st.none(), st.integers(0, 150)),
        st.tuples(st.just("restart"), st.none(), st.integers(0, 50)),
    ),
    max_size=25,
)
RULESETS = st.builds(
    lambda k, more, clear_s, cooldown_s: Rules(
        Persistence(k, k + more), GRID.hop_s, clear_s, cooldown_s, update_s=60.1005
    ),
    st.integers(1, 15),
    st.integers(0, 8),
    st.sampled_from([0.5005, 3.3005, 20.1005, 100.7005]),
    st.sampled_from([0.0, 60.1005]),
)


@settings(max_examples=250, deadline=None)
@given(STEPS, st.one_of(st.just(RULES), RULESETS))
def test_the_thresholds_that_were_in_force_give_the_alerts_that_were_raised(steps, rules):
    with tempfile.TemporaryDirectory() as folder:
        live = Live(Path(folder), rules)
        for step in steps:
            play(live, step)
        live.stop()
        same(live, live.replayed())


def test_something_is_raised_in_the_streams_that_are_compared(tmp_path):
    live = Live(tmp_path)
    for step in [("scores", 0.0, 300), ("scores", 4.0, 200), ("scores", 9.0, 60)]:
        play(live, step)
    for step in [("unknown", None, 1), ("scores", 0.0, 100), ("scores", 3.0, 40), ("idle", 0, 5)]:
        play(live, step)
    play(live, ("scores", 3.0, 100))
    first, second, third = live.stop()
    same(live, live.replayed())
    assert (first.severity, first.peak) == (Severity.ALARM, 9.0)
    assert (second.severity, third.ended_at) == (Severity.WARNING, None)


def test_a_higher_threshold_raises_less_and_a_lower_one_more(tmp_path):
    live = Live(tmp_path)
    for level in (0.0, 2.5, 0.0, 4.0, 0.0, 9.0, 0.0):
        play(live, ("scores", level, 100))
    live.stop()
    assert [len(live.replayed(warning=at)) for at in (2.25, 3.0, 6.0, 10.0)] == [3, 2, 1, 0]


def test_few_of_the_scores_need_the_state_machine(tmp_path, monkeypatch):
    live = Live(tmp_path)
    for level in (0.0, 4.0, 0.0, 9.0, 0.0):
        play(live, ("scores", level, 2000))
    live.stop()
    given_to, scored = [], Decider.scored

    @functools.wraps(scored)
    def counted(self, *arguments, **keywords):
        given_to.append(arguments)
        return scored(self, *arguments, **keywords)

    monkeypatch.setattr(Decider, "scored", counted)
    same(live, live.replayed())
    assert 100 < len(given_to) < 600


def test_progress_goes_from_nothing_to_everything(tmp_path):
    live = Live(tmp_path)
    play(live, ("scores", 0.0, 100))
    live.restart(5.0)
    play(live, ("scores", 4.0, 100))
    live.stop()
    stretches = stretches_of(read_pieces(tmp_path, "pump"), "a", GRID)
    told = []
    replay(stretches, RULES, THRESHOLDS, RATE, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def piece(run, key, *, begin_s=0.0, level=4.0):
    end_s = begin_s + 49 * GRID.hop_s
    scores = np.full(50, level, np.float32)
    return Piece(run, key, 0.0, begin_s, end_s, GRID.hop_s, scores, None, 0.0)


def test_an_alert_ends_where_the_machine_was_enrolled_again():
    pieces = [piece(1, "a"), piece(1, "b", begin_s=100.0), piece(1, "a", begin_s=200.0, level=0.0)]
    (alert,) = replay(stretches_of(pieces, "a", GRID), RULES, THRESHOLDS, RATE)
    assert alert.ended_at == pytest.approx(49 * GRID.hop_s)
    assert alert.duration_s == pytest.approx(50 * GRID.hop_s)


def test_an_alert_goes_on_over_a_restart_without_the_time_between():
    pieces = [piece(1, "a"), piece(2, "a", begin_s=1000.0)]
    (alert,) = replay(stretches_of(pieces, "a", GRID), RULES, THRESHOLDS, RATE)
    assert alert.ended_at is None
    # from the fifteenth window of the second run on it is timed again
    assert alert.duration_s == pytest.approx((50 + 50 - LOOK_BACK.k) * GRID.hop_s)


def test_a_machine_that_stood_still_at_the_start_ends_the_alert_from_before():
    still = Piece(2, "", 0.0, 500.0, 500.0, 0.0, np.empty(0, np.float32), Mark.IDLE, 500.0)
    pieces = [piece(1, "a"), still, piece(2, "a", begin_s=600.0, level=0.0)]
    (alert,) = replay(stretches_of(pieces, "a", GRID), RULES, THRESHOLDS, RATE)
    assert alert.ended_at == 500.0


def test_without_scores_there_are_no_alerts():
    assert replay([], RULES, THRESHOLDS, RATE) == []
    assert stretches_of([piece(1, "b")], "a", GRID) == []
