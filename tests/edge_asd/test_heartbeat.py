"""A state is repeated while somebody is at work, with what was heard last."""

from __future__ import annotations

import json

from prometheus_client import CollectorRegistry

from edge_asd.metrics.metrics import Metrics
from edge_asd.publish.payload import Clock, ModelRef, Stamp
from edge_asd.publish.standing import HEARTBEAT_S
from edge_asd.records import Scored, State
from edge_asd.report.standing import Standing
from edge_asd.report.state_board import StateBoard

MODEL = ModelRef(name="small", version="1", sha256="ab", backend="onnxruntime")
STAMP = Stamp(clock=Clock(synchronized=True), monotonic_ns=1, boot_id="b")


class Sink:
    """Remembers what was to be retained."""

    def __init__(self) -> None:
        self.said = []

    def set_retained(self, topic, payload):
        self.said.append((topic, payload))

    def states(self):
        return [json.loads(said) for topic, said in self.said if topic.endswith("pump/state")]


class Time:
    """Steady time that is wall time as well."""

    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def now(self):
        return self.now_s

    def wall(self, steady_s):
        return steady_s


def board_of(sink, time):
    metrics = Metrics(CollectorRegistry(), version="0")
    board = StateBoard("hall", MODEL, metrics=metrics, clock=time, stamp=lambda: STAMP)
    board.connect(sink, ())
    board.show("pump", Standing(State.NORMAL), None)
    return board


def test_a_state_that_does_not_change_is_repeated_every_heartbeat():
    sink, time = Sink(), Time()
    board = board_of(sink, time)
    for _ in range(int(3 * HEARTBEAT_S) + 1):
        board.look()
        time.now_s += 1
    times = [state["updated_at"] for state in sink.states()]
    assert len(times) == len(set(times)) == 4


def test_a_change_starts_the_heartbeat_over():
    sink, time = Sink(), Time()
    board = board_of(sink, time)
    time.now_s += HEARTBEAT_S - 1
    board.show("pump", Standing(State.IDLE), None)
    time.now_s += HEARTBEAT_S - 1
    board.look()
    assert [state["state"] for state in sink.states()] == ["normal", "idle"]


def test_what_was_heard_comes_with_the_next_message_and_makes_none_of_its_own():
    sink, time = Sink(), Time()
    board = board_of(sink, time)
    heard = Scored(0, 16_000, time.now_s, score=1.25, level_dbfs=-31.5, nearest="level:1")
    board.heard("pump", heard, percentile=42.0)
    assert [state["audio"] for state in sink.states()] == [None]
    time.now_s += HEARTBEAT_S
    board.look()
    told = sink.states()[-1]
    assert (told["score"], told["percentile"], told["audio"]) == (1.25, 42.0, {"dbfs": -31.5})


def test_a_monitor_that_is_gone_is_silent():
    sink, time = Sink(), Time()
    board = board_of(sink, time)
    board.forget("pump")
    time.now_s += 10 * HEARTBEAT_S
    board.look()
    board.heard("pump", Scored(0, 1, 0.0, 1.0, -30.0, ""), percentile=1.0)
    board.look()
    assert len(sink.states()) == 1
