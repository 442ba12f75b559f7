"""A full disk: monitoring goes on, it is said, and no event is lost."""

from __future__ import annotations

import os
import subprocess

import pytest
from support.processes import FAULT, PUMP, DaemonProcess, stored_events


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder):
    with (folder / "ballast").open("wb") as file:
        try:
            while True:
                file.write(bytes(4096))
                file.flush()
        except OSError:
            return


def test_an_event_decided_on_a_full_disk_is_recorded_once_there_is_space(
    machine, small_disk, tmp_path
):
    state = machine.state(small_disk)
    config = machine.config(tmp_path, f"{FAULT}&speed=8&onset=24")
    with DaemonProcess(state, "--config", config) as daemon:
        # What it says goes to the disk of the test, not to the small one.
        daemon.log_path = daemon.log_path.rename(tmp_path / "daemon.log")
