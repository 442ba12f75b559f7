"""The worst check counts, and a worker that stands still is seen."""

from __future__ import annotations

import pytest

from edge_asd.health import Check, Health, HealthBoard, ProgressWatch


@pytest.mark.parametrize(
    ("found", "worst"),
    [
        ([], "unknown"),
        (["skipped"], "unknown"),
        (["healthy", "skipped"], "healthy"),
        (["healthy", "unknown"], "unknown"),
        (["unknown", "warning", "healthy"], "warning"),
        (["critical", "warning"], "critical"),
    ],
)
def test_the_worst_check_counts_and_unknown_is_not_healthy(found, worst):
    board = HealthBoard()
    for number, status in enumerate(found):
        board.set(f"check-{number}", Health(status), "text")
    assert board.worst() is Health(worst)


def test_the_latest_result_replaces_the_one_before():
    board = HealthBoard()
    board.set("b", Health.CRITICAL, "broken")
    board.set("b", Health.HEALTHY, "fine")
    board.set("a", Health.HEALTHY, "fine")
    assert list(board.snapshot().items()) == [
        ("a", Check(Health.HEALTHY, "fine")),
        ("b", Check(Health.HEALTHY, "fine")),
    ]
    board.remove("a")
    board.remove("a")
    assert list(board.snapshot()) == ["b"]


def test_a_worker_is_stalled_once_its_counter_rests_longer_than_the_patience():
    now, counts = [0.0], {"pump": 0, "worker": 0}
    watch = ProgressWatch(10.0, clock=lambda: now[0])
    watch.watch("pump", lambda: counts["pump"])
    watch.watch("worker", lambda: counts["worker"])
    for _ in range(4):
        now[0] += 5.0
        counts["pump"] += 1
        stalled = watch.stalled()
    assert stalled == ("worker",)
    counts["worker"] += 1
    assert watch.stalled() == ()
    now[0] += 10.5
    assert watch.stalled() == ("pump", "worker")
