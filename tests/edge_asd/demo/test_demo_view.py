"""What is drawn fits the terminal, whatever its size and whatever is known."""

from __future__ import annotations

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.config import AlertConfig
from edge_asd.demo.chart import bar, chart, columns, row_of
from edge_asd.demo.gauges import Gauges, parse
from edge_asd.demo.live import screen
from edge_asd.demo.now import Now
from edge_asd.demo.plain import PlainView
from edge_asd.demo.plan import Plan
from edge_asd.demo.story import Story
from edge_asd.demo.subscriber import Message

PLAN = Plan(6, 16000, 10, 1, AlertConfig(), 120, 240, 40, 320, 400)
values = st.floats(-1e6, 1e6)


def message(leaf, **fields):
    return Message(f"edge-asd/demo/pump/{leaf}", json.dumps(fields).encode())


def now_after(scores, threshold=3.0):
    now = Now(PLAN, Story(PLAN), "mqtt://127.0.0.1:1883")
    for number, score in enumerate(scores):
        now.at_s = 150.0 + number
        now.take(message("score", score=score, threshold=threshold))
    return now


@given(st.floats(-1, 2), st.integers(0, 100))
def test_a_bar_is_as_wide_as_asked_for(share, width):
    assert len(bar(share, width)) == width


@given(st.lists(values, min_size=1), st.integers(1, 50))
def test_squeezing_keeps_the_highest_score(scores, per_column):
    squeezed = columns(scores, per_column)
    assert len(squeezed) == math.ceil(len(scores) / per_column)
    assert max(squeezed) == max(scores)


@given(st.lists(values, min_size=1, max_size=30), st.integers(1, 10))
def test_a_chart_is_a_rectangle_and_higher_values_are_never_lower(scores, height):
    rows = chart(scores, -10.0, 10.0, height)
    assert [len(row) for row in rows] == [len(scores)] * height
    order = " ▁▂▃▄▅▆▇█"
    heights = [sum(order.index(row[i]) for row in rows) for i in range(len(scores))]
    ranked = sorted(zip(scores, heights, strict=True))
    assert [h for _, h in ranked] == sorted(h for _, h in ranked)
    assert row_of(10.0, -10.0, 10.0, height) == 0
    assert row_of(-10.0, -10.0, 10.0, height) == height - 1


@given(
    st.integers(20, 250),
    st.integers(10, 80),
    st.lists(values, max_size=400),
    st.floats(-5, 50),
    st.integers(0, 30),
)
def test_the_screen_fits_the_terminal(width, height, scores, threshold, events):
    now = now_after(scores, threshold)
    for number in range(events):
        now.take(
            message("event", id=str(number), type="new", severity="alarm", score=9.0, x="y" * 300)
        )
    lines = screen(now, width, height)
    assert len(lines) <= height
    assert max(line.cell_len for line in lines) <= width


def test_the_screen_shows_state_score_threshold_and_the_event():
    now = now_after([0.5, 1.0, 7.25])
    now.level_dbfs = -31.2
    now.at_s = 265.0
    now.take(message("state", state="alarm", reason="score 7.25"))
    now.take(message("event", id="0123456789", type="new", severity="alarm", score=7.25))
    text = "\n".join(line.plain for line in screen(now, 80, 23))
    for part in (
        "alarm",
        "-31.2 dBFS",
        "7.25 of 3.00",
        "severity 62%",
        "pump/event",
        "stream 4:25",
    ):
        assert part in text


def test_a_fault_is_marked_under_the_first_score_after_it_began():
    now = now_after([0.0] * 100)  # from 2:30 on: the 91st is the first at 4:00
    rows = [line.plain for line in screen(now, 300, 40)]
    (marks,) = [row for row in rows if "▲ fault" in row]
    assert marks.index("▲") == 1 + 90


def test_repeated_payloads_take_no_second_line():
    now = now_after([])
    alarm = Message("edge-asd/demo/pump/alarm", b"OFF")
    assert [now.take(alarm), now.take(alarm)] == [True, False]
    assert now.story.messages == 2


def test_plain_lines_tell_steps_messages_and_signs_of_life():
    out, clock = io.StringIO(), [0.0]
    view = PlainView(out, lambda: clock[0])
    now = now_after([0.5])
    for clock[0] in (0.0, 1.0, 4.9, 5.0):
        view.update(now)
    view.message(now, message("state", state="normal"))
    assert out.getvalue().splitlines() == [
        "[ 2:30] == normal: the pump is healthy",
        "[ 2:30] -- normal: the pump is healthy; state unknown, score 0.50 of 3.00, level nan dBFS",
        '[ 2:30] edge-asd/demo/pump/state {"state":"normal"}',
    ]


def test_gauges_pick_their_monitor_and_survive_a_silent_daemon():
    text = """
# HELP edge_asd_capture_frames_total Sample frames captured.
edge_asd_capture_frames_total{monitor="fan"} 1.0
edge_asd_capture_frames_total{monitor="pump"} 32000.0
edge_asd_audio_level_dbfs{monitor="pump"} -30.5
edge_asd_windows_total{monitor="pump",result="scored"} 5.0
"""
    reading = parse(text, "pump")
    assert (reading.frames, reading.lost_s, reading.level_dbfs) == (32000.0, 0.0, -30.5)
    assert Gauges("127.0.0.1", 1, "pump").read() is None


def test_unknown_levels_are_not_drawn_as_numbers():
    text = "\n".join(line.plain for line in screen(now_after([]), 80, 23))
    assert "nan" not in text
    assert "none yet" in text


@pytest.mark.parametrize("score", [None, float("nan")])
def test_a_score_that_is_no_number_is_not_drawn(score):
    now = now_after([])
    payload = json.dumps({"score": score, "threshold": 3.0}).encode()
    now.take(Message("edge-asd/demo/pump/score", payload.replace(b"NaN", b"null")))
    assert "none yet" in "\n".join(line.plain for line in screen(now, 80, 23))
