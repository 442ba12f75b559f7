"""A full disk: monitoring goes on, it is said, and no event is lost."""

from __future__ import annotations

import shutil

import pytest
from brokers import PATIENCE_S
from support.disks import fill, small_disk
from support.processes import PUMP, DaemonProcess, stored_events


@pytest.fixture
def disk(tmp_path):
    """A file system of 4 MB."""
    with small_disk(tmp_path / "small", "4m") as folder:
        yield folder


@pytest.fixture
def state(plant, disk):
    """An enrolled monitor on the small disk, without the audio it was learned from."""
    folder = plant.state(disk)
    shutil.rmtree(folder / "profiles" / "pump" / "reservoir")
    return folder


def test_an_event_decided_on_a_full_disk_is_recorded_once_there_is_space(
    plant, disk, state, tmp_path
):
    machine = plant.player(tmp_path)
    config = plant.config(tmp_path, machine.source)
    with DaemonProcess(state, "--config", config, "--once", logs=tmp_path) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        fill(disk / "ballast")
        machine.play("faulty")
        daemon.logged("type=new")
        daemon.until(lambda: daemon.checks()["events"]["status"] == "critical")
        assert daemon.get("/healthz")[0] == 503
        scored = daemon.metric("windows_total", monitor="pump", result="scored")
        daemon.until(
            lambda: daemon.metric("windows_total", monitor="pump", result="scored") > scored
        )
        (disk / "ballast").unlink()
        daemon.until(lambda: daemon.checks()["events"]["status"] == "healthy")
        assert daemon.stop()[0] == 0
        assert "Traceback" not in daemon.log
    steps = stored_events(state)
    assert steps[0]["type"] == "new"
    assert [step["seq"] for step in steps] == list(range(1, len(steps) + 1))


def test_a_disk_that_stays_full_ends_cleanly_and_the_event_is_in_the_log(
    plant, disk, state, tmp_path
):
    machine = plant.player(tmp_path)
    config = plant.config(tmp_path, machine.source)
    with DaemonProcess(state, "--config", config, "--once", logs=tmp_path) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "normal")
        fill(disk / "ballast")
        machine.play("faulty")
        daemon.logged("type=new")
        code, seconds = daemon.stop()
        assert (code, seconds < 5.0) == (0, True), daemon.log
        assert "event not stored, only logged" in daemon.log
        assert '"type":"new"' in daemon.log


def test_a_baselining_that_fills_the_disk_fails_alone(plant, disk, tmp_path):
    config = plant.config(
        tmp_path,
        f"{PUMP}&speed=20&level=-3",
        bundle=str(plant.bundle),
        monitor={"enrol_s": 600},
    )
    with DaemonProcess(disk / "state", "--config", config, logs=tmp_path) as daemon:
        daemon.until(lambda: daemon.state_of("pump") == "baselining")
        daemon.until(lambda: daemon.state_of("pump") == "unknown", 2 * PATIENCE_S)
        assert "free space" in daemon.status()["pump"]["reason"]
        assert daemon.checks()["enrolment/pump"]["status"] == "critical"
        assert daemon.process.poll() is None
        assert daemon.stop()[0] == 0
