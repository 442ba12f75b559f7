"""A disk that fills up while a daemon listens: it goes on, says so, and its books have no hole."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from brokers import eventually
from support.disks import fill, small_disk
from support.listening import Written, listening, section
from support.processes import stored_events

from edge_asd.books.history_view import read_scores

pytestmark = pytest.mark.broker

HOP_S = 4096 / 16_000


@pytest.fixture
def disk(tmp_path):
    """A file system of 4 MB."""
    with small_disk(tmp_path / "small", "4m") as folder:
        yield folder


def is_said(daemon, *names):
    """Whether these checks say that something cannot be written."""
    checks = daemon.checks()
    return all(checks[name]["status"] in ("warning", "critical") for name in names)


def is_well(daemon, *names):
    return all(daemon.checks()[name]["status"] == "healthy" for name in names)


def test_what_a_full_disk_refuses_is_in_the_books_once_there_is_space(
    plant, mosquitto, disk, tmp_path
):
    state, ballast = plant.state(disk), disk / "ballast"
    shutil.rmtree(state / "profiles" / "pump" / "reservoir")
    machine = plant.player(tmp_path, speed=1.0)
    settings = {"evidence": {"before_s": 1, "after_s": 1, "free_floor_mb": 0}}
    mosquitto.start()
    with listening(
        *(plant, mosquitto, tmp_path, state, section("pump", machine.source)),
        settings=settings,
        logs=tmp_path,
    ) as hall:
        daemon, said = hall.daemon, hall.said
        said.normal("pump")
        began_s = time.time()
        fill(ballast)
        full_s = time.time()
        machine.play("faulty")
        daemon.until(lambda: is_said(daemon, "events", "ledger", "evidence"))
        # The disk is full, the machine is listened to.
        assert said.state("pump", lambda one: one["state"] in ("warning", "alarm"))
        heard = len(said.of("pump", "score"))
        eventually(lambda: len(said.of("pump", "score")) > heard + 2, what="scores")
        assert daemon.metric("evidence_clips_total", result="refused") == 1
        assert said.of("pump", "event") == []  # nothing is told that a crash would forget
        ballast.unlink()
        freed_s = time.time()
        daemon.until(lambda: is_well(daemon, "events", "ledger"))
        eventually(lambda: said.of("pump", "event"), what="the alert")
        assert said.of("pump", "event")[0]["type"] == "new"
        machine.play("normal")
        daemon.until(lambda: said.of("pump", "event")[-1]["type"] == "end")
        scored = daemon.metric("windows_total", monitor="pump", result="scored")
        lost_s = daemon.metric("capture_lost_seconds_total", monitor="pump")
        ended_s = time.time()
        assert daemon.stop()[0] == 0
        assert "Traceback" not in daemon.log
    steps = stored_events(state)
    assert [step["seq"] for step in steps] == list(range(1, len(steps) + 1))
    assert (steps[0]["type"], steps[-1]["type"]) == ("new", "end")
    assert len({step["id"] for step in steps}) == 1
    written = Written(state, "pump")
    written.exact(began_s, ended_s)
    inside = round(full_s), round(freed_s)
    assert written.seconds("scored", *inside) >= inside[1] - inside[0] - 2, written.passages
    history = read_scores(state, "pump")
    assert len(history.score) >= scored
    # A busy machine may hold the sound itself up; apart from that there is no hole.
    assert lost_s or np.abs(np.diff(history.wall_s) - HOP_S).max() < 0.1
