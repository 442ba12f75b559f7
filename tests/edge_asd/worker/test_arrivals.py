"""One place to wait for everybody."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from edge_asd.capture.blockqueue import BlockQueue
from edge_asd.records import Block
from edge_asd.worker.arrivals import Arrivals

PATIENCE_S = 60.0


def test_everybody_is_there_once_and_in_order():
    arrivals = Arrivals()
    for who in ("b", "a", "b", "c"):
        arrivals.announce(who)
    assert arrivals.take(0.0) == ["b", "a", "c"]
    assert arrivals.take(0.0) == []


def test_whoever_waits_is_woken_by_the_first_that_comes():
    arrivals, came = Arrivals(), []
    waiting = threading.Thread(target=lambda: came.append(arrivals.take(PATIENCE_S)))
    waiting.start()
    arrivals.announce("late")
    waiting.join(PATIENCE_S)
    assert came == [["late"]]


def test_blocks_that_lie_in_a_queue_already_are_announced():
    queue, announced = BlockQueue(1.0), deque()
    queue.put_dropping(Block(np.zeros((8, 1), np.float32), 0, 0.0), 0.1)
    queue.tell(lambda: announced.append("here"))
    assert list(announced) == ["here"]
    queue.put_dropping(Block(np.zeros((8, 1), np.float32), 0, 0.0), 0.1)
    queue.end()
    assert list(announced) == ["here"] * 3


def test_nobody_is_lost_however_many_announce_themselves_at_once():
    arrivals, found = Arrivals(), set()
    threads = [
        threading.Thread(target=lambda n=n: [arrivals.announce((n, i)) for i in range(500)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    while len(found) < 2000:
        here = arrivals.take(PATIENCE_S)
        assert here
        found |= set(here)
    for thread in threads:
        thread.join(PATIENCE_S)


def test_whoever_waits_can_be_woken_up_for_something_else():
    arrivals = Arrivals()
    arrivals.wake()
    assert arrivals.take(PATIENCE_S) == []
    arrivals.announce("pump")
    assert arrivals.take(PATIENCE_S) == ["pump"]
