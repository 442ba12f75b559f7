"""Scores on the disk: all of them, in order, dated, bounded, whatever the disk does."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.processes import ROOT, environment

from edge_asd.books import history as writing
from edge_asd.books.history import CHUNK_S, MAX_WAITING, WRITE_EVERY_S, History
from edge_asd.books.history_file import FILE_NAME, MAX_SCORE, Mark, pack, unpack
from edge_asd.books.history_view import monitors_with_history, read_pieces, read_scores
from edge_asd.database import Database
from edge_asd.steady import SteadyClock

HOP_S, WALL_S, DAY_S = 0.992, 1_790_000_000.0, 86400.0


class Hands:
    """A wall clock and a counter that a test turns."""

    def __init__(self, wall_s=WALL_S):
        self.wall_s, self.counter_s = wall_s, 100.0
        self.clock = SteadyClock(lambda: self.wall_s, lambda: self.counter_s)

    def pass_(self, seconds):
        self.wall_s += seconds
        self.counter_s += seconds

    def set(self, by_s):
        """The wall clock steps, and the daemon notices."""
        self.wall_s += by_s
        self.clock.look()


def keep(history, hands, scores, monitor="pump", *, hop_s=HOP_S, key="a", look=True):
    """One score after the other as time passes; steady times of their ends."""
    ends = []
    for score in scores:
        hands.pass_(hop_s)
        ends.append(hands.clock.now())
        history.add(monitor, profile_key=key, hop_s=hop_s, end_s=ends[-1], score=score)
        if look:
            history.look()
    return ends


def rows(folder, query="SELECT COUNT(*) FROM chunks"):
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return connection.execute(query).fetchall()


def half(scores):
    return np.asarray(scores, np.float16).astype(np.float32)


@given(st.lists(st.floats(-7e4, 7e4), max_size=50))
def test_what_is_packed_is_unpacked_to_the_precision_of_float16(scores):
    expected = half(np.clip(scores, -MAX_SCORE, MAX_SCORE))
    np.testing.assert_array_equal(unpack(pack(scores)), expected)


@pytest.mark.parametrize("damage", [b"", b"\1\0\0\0", b"\xff\xff\xff\xff" + bytes(20)])
def test_what_is_damaged_is_no_score(damage):
    whole = pack([1.0, 2.0, 3.0])
    for data in (damage, whole[:-1], whole[:4] + whole[5:], b"\2" + whole[1:]):
        with pytest.raises(ValueError, match="scores"):
            unpack(data)


def test_every_score_comes_back_with_its_time(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    scores = np.random.default_rng(0).normal(1.0, 0.5, 2000)
    ends = keep(history, hands, scores)
    history.close()
    kept = read_scores(tmp_path, "pump")
    np.testing.assert_array_equal(kept.score, half(scores))
    np.testing.assert_allclose(kept.wall_s, ends, atol=1e-3)
    assert [(span.profile_key, span.begin, span.end) for span in kept.spans] == [("a", 0, 2000)]
    assert rows(tmp_path) == [(-(-2000 // -(-CHUNK_S // HOP_S)),)]
    assert history.failure == ""
    assert monitors_with_history(tmp_path) == ["pump"]


def test_a_folder_without_history_has_no_scores(tmp_path):
    assert len(read_scores(tmp_path, "pump").score) == 0
    assert monitors_with_history(tmp_path) == []
    assert not (tmp_path / FILE_NAME).exists()


def test_scores_of_a_span_of_time_are_found(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    ends = keep(history, hands, range(1500))
    history.close()
    # between two windows' ends
    kept = read_scores(tmp_path, "pump", ends[700] - 0.5, ends[1234] - 0.5)
    np.testing.assert_array_equal(kept.score, np.arange(700, 1234))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pump", "fan"]),
            st.sampled_from(
                ["score", "score", "score", "gap", "idle", "unknown", "profile", "slow"]
            ),
            st.integers(1, 30),
        ),
        max_size=40,
    )
)
def test_gaps_marks_profiles_and_hops_keep_their_places(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("history")
    hands = Hands()
    history = History(folder, hands.clock)
    expected = {"pump": [], "fan": []}  # pieces: (key, hop, scores, mark)
    setup = {"pump": ["a", HOP_S], "fan": ["a", HOP_S]}
    last = {}
    for index, (monitor, step, count) in enumerate(steps):
        key, hop_s = setup[monitor]
        if step == "score":
            apart = last.get(monitor) != (key, hop_s, hands.clock.now())
            keep(history, hands, [index] * count, monitor, hop_s=hop_s, key=key)
            if apart:
                expected[monitor].append([key, hop_s, [], None])
            expected[monitor][-1][2] += [float(index)] * count
            last[monitor] = (key, hop_s, hands.clock.now())
        elif step == "gap":
            hands.pass_(10.0 + count)
        elif step == "profile":
            setup[monitor][0] = "b" if key == "a" else "a"
        elif step == "slow":
            setup[monitor][1] = HOP_S * (1 + count % 3)
        else:
            mark = Mark(step)
            before = expected[monitor][-1][3] if expected[monitor] else Mark.UNKNOWN
            getattr(history, step)(monitor, hands.clock.now())
            last.pop(monitor, None)
            if before is mark or before is Mark.IDLE:
                continue  # said before
            if before is None and expected[monitor]:
                expected[monitor][-1][3] = mark
            else:
                expected[monitor].append(["", 0.0, [], mark])
    history.close()
    for monitor, pieces in expected.items():
        found = read_pieces(folder, monitor)
        assert [[p.profile_key, p.hop_s, p.scores.tolist(), p.mark] for p in found] == pieces


def test_a_rate_that_is_not_quite_the_nominal_one_makes_no_gaps(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    rng = np.random.default_rng(0)
    end_s = hands.clock.now()
    for _ in range(500):
        end_s += HOP_S * 1.0005
        at_s = end_s + rng.uniform(-0.1, 0.1)
        history.add("pump", profile_key="a", hop_s=HOP_S, end_s=at_s, score=1.0)
    history.close()
    assert rows(tmp_path) == [(1,)]
    assert read_scores(tmp_path, "pump").wall_s[-1] == pytest.approx(at_s, abs=1e-3)


def test_a_score_that_is_no_number_is_left_out_and_a_huge_one_is_the_largest(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    keep(history, hands, [1.0, float("nan"), float("inf"), 1e9])
    history.close()
    assert read_scores(tmp_path, "pump").score.tolist() == [1.0, MAX_SCORE]


# The wall clock


def test_a_run_that_began_in_1970_is_dated_once_the_clock_is_set(tmp_path):
    hands = Hands(wall_s=50.0)
    history = History(tmp_path, hands.clock)
    began_s = hands.counter_s
    keep(history, hands, range(200))
    assert read_scores(tmp_path, "pump").wall_s[0] < DAY_S
    hands.set(WALL_S)
    keep(history, hands, range(200))
    history.close()
    kept = read_scores(tmp_path, "pump")
    assert len(kept.score) == 400
    expected = WALL_S + 50.0 + (began_s - 100.0) + HOP_S * np.arange(1, 401)
    np.testing.assert_allclose(kept.wall_s, expected, atol=1e-3)


def test_runs_that_never_knew_the_time_lie_before_the_one_that_does(tmp_path):
    for score in (1.0, 2.0):
        hands = Hands(wall_s=50.0)
        history = History(tmp_path, hands.clock)
        keep(history, hands, [score] * 100)
        history.close()
    hands = Hands()
    history = History(tmp_path, hands.clock)
    keep(history, hands, [3.0] * 100)
    history.close()
    kept = read_scores(tmp_path, "pump")
    assert kept.score.tolist() == [1.0] * 100 + [2.0] * 100 + [3.0] * 100
    assert (np.diff(kept.wall_s) >= 0).all()
    assert kept.wall_s[0] == pytest.approx(WALL_S - 198 * HOP_S, abs=3 * HOP_S)


@pytest.mark.parametrize("by_s", [-3600.0, 3600.0])
def test_a_step_of_the_clock_loses_nothing_and_changes_no_order(tmp_path, by_s):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    keep(history, hands, range(1000))
    hands.set(by_s)
    keep(history, hands, range(1000, 2000))
    history.close()
    kept = read_scores(tmp_path, "pump")
    np.testing.assert_array_equal(kept.score, half(range(2000)))
    assert kept.wall_s[-1] == pytest.approx(hands.wall_s, abs=0.1)
    pieces = read_pieces(tmp_path, "pump")
    for before, after in itertools.pairwise(pieces):
        assert after.begin_s - before.end_s == pytest.approx(HOP_S, abs=1e-3)


# Age


def test_what_is_older_than_is_kept_is_forgotten(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock, keep_s=DAY_S)
    for _ in range(40):
        keep(history, hands, [1.0] * 60)
        hands.pass_(3600.0)
        history.look()
    keep(history, hands, [1.0])
    hands.pass_(WRITE_EVERY_S)
    history.look()
    kept = read_scores(tmp_path, "pump")
    oldest_s = hands.wall_s - kept.wall_s[0]
    assert DAY_S - 2 * 3700.0 <= oldest_s <= DAY_S + 2 * 3700.0
    history.close()


def test_nothing_is_forgotten_for_its_age_while_the_clock_is_not_set(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    keep(history, hands, [1.0] * 100)
    history.close()
    unset = Hands(wall_s=0.0)
    history = History(tmp_path, unset.clock, keep_s=10.0)
    keep(history, unset, [1.0] * 100)
    history.close()
    assert len(read_scores(tmp_path, "pump").score) == 200


# Kills and disks


def test_a_growing_chunk_is_on_the_disk_within_a_minute(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    made = 0
    for _ in range(300):
        made += len(keep(history, hands, [1.0]))
        on_disk = len(read_scores(tmp_path, "pump").score)
        assert (made - on_disk) * HOP_S <= WRITE_EVERY_S + HOP_S
    assert rows(tmp_path) == [(1,)]
    history.close()


def test_a_kill_loses_a_minute_at_most(tmp_path):
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from edge_asd.books.history import History
        from edge_asd.steady import SteadyClock
        at = [0.0]
        clock = SteadyClock(lambda: {WALL_S} + at[0], lambda: at[0])
        history = History(Path({str(tmp_path)!r}), clock)
        for index in range(1000):
            at[0] += 1.0
            history.add("pump", profile_key="a", hop_s=1.0, end_s=clock.now(), score=index)
            history.look()
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    killed = subprocess.run(
        [sys.executable, "-c", program], env=environment(), cwd=ROOT, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    kept = read_scores(tmp_path, "pump").score
    np.testing.assert_array_equal(kept, np.arange(len(kept)))
    assert len(kept) >= 940
    # and the next run goes on behind it
    hands = Hands()
    history = History(tmp_path, hands.clock)
    keep(history, hands, [-1.0])
    history.close()
    assert read_scores(tmp_path, "pump").score.tolist() == [*range(len(kept)), -1.0]


def test_a_disk_that_takes_nothing_is_told_and_nothing_raises(tmp_path, monkeypatch):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    keep(history, hands, range(100))
    full = [True]
    written = Database.write

    def refuse(self, action):
        if full[0]:
            raise writing.StorageError("disk is full: free space")
        return written(self, action)

    monkeypatch.setattr(Database, "write", refuse)
    keep(history, hands, range(100, 2000))
    assert "disk is full" in history.failure
    full[0] = False
    hands.pass_(WRITE_EVERY_S)
    history.look()
    assert history.failure == ""
    history.close()
    np.testing.assert_array_equal(read_scores(tmp_path, "pump").score, half(range(2000)))
    assert history.dropped == 0


def test_what_waits_for_a_full_disk_is_bounded_and_the_oldest_goes_first(tmp_path, monkeypatch):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", _raise)
        for index in range(MAX_WAITING + 50):
            keep(history, hands, [index] * 2, look=False)
            history.idle("pump", hands.clock.now())
        hands.pass_(WRITE_EVERY_S)
        history.look()
        assert history.failure
        assert history.dropped == 100
    hands.pass_(WRITE_EVERY_S)
    history.look()
    history.close()
    assert read_scores(tmp_path, "pump").score.tolist()[:3] == [50.0, 50.0, 51.0]


def _raise(*_):
    raise writing.StorageError("disk is full: free space")


def test_a_directory_that_is_not_there_yet_is_only_a_failure(tmp_path):
    hands = Hands()
    history = History(tmp_path / "missing", hands.clock)
    keep(history, hands, range(100))
    assert "missing" in history.failure
    (tmp_path / "missing").mkdir()
    keep(history, hands, range(100, 200))
    assert history.failure == ""
    history.close()
    assert len(read_scores(tmp_path / "missing", "pump").score) == 200


def test_a_damaged_file_is_moved_aside_and_the_growing_chunk_survives_it(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    keep(history, hands, range(700))
    history.close()
    data = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(data[:100] + os.urandom(len(data) - 100))
    history = History(tmp_path, hands.clock)
    keep(history, hands, range(100))
    history.close()
    assert history.failure == ""
    assert len(read_scores(tmp_path, "pump").score) == 100
    assert list(tmp_path.glob(f"{FILE_NAME}.corrupt-*"))


def test_a_damaged_row_is_a_gap(tmp_path, caplog):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    keep(history, hands, range(1500))
    history.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        connection.execute(
            "UPDATE chunks SET scores = x'0102' WHERE id ="
            " (SELECT id FROM chunks ORDER BY id LIMIT 1 OFFSET 1)"
        )
    kept = read_scores(tmp_path, "pump").score
    per_chunk = -(-CHUNK_S // HOP_S)
    assert len(kept) == 1500 - per_chunk
    assert "damaged" in caplog.text


def test_it_can_be_read_while_it_is_written(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    keep(history, hands, range(100))
    assert len(read_scores(tmp_path, "pump").score) > 0
    keep(history, hands, range(100, 700))
    assert history.failure == ""
    assert len(read_scores(tmp_path, "pump").score) >= 600
    history.close()


def test_scores_that_come_faster_than_time_are_written_without_waiting_for_a_minute(tmp_path):
    hands = Hands()
    history = History(tmp_path, hands.clock)
    for index in range(100_000):  # a replay: time stands still
        history.add("pump", profile_key="a", hop_s=1.0, end_s=WALL_S + index, score=1.0)
        history.look()
    assert len(read_scores(tmp_path, "pump").score) > 50_000
    history.close()
    assert history.dropped == 0


def test_thirty_days_take_about_five_megabytes(tmp_path):
    hands = Hands()
    rng = np.random.default_rng(0)
    history = History(tmp_path, hands.clock)
    count = round(3 * DAY_S / HOP_S)  # a tenth
    noise = rng.normal(size=count + 10)
    # Windows overlap by nine tenths, and so do their scores.
    scores = np.exp(np.convolve(noise, np.full(10, 0.3), "same")[:count] * 0.4)
    end_s = hands.clock.now()
    for score in scores:
        end_s += HOP_S
        history.add("pump", profile_key="0123456789abcdef", hop_s=HOP_S, end_s=end_s, score=score)
    hands.pass_(3 * DAY_S)
    history.look()
    history.close()
    size = sum(path.stat().st_size for path in Path(tmp_path).iterdir())
    assert 10 * size < 5.5e6
