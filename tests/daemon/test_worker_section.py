"""``worker:`` in the operator's file reaches the thread that scores, and no other."""

from __future__ import annotations

import os
from pathlib import Path

from support.processes import PUMP, DaemonProcess, assert_refused, cli


def priorities(pid):
    """Of every thread."""
    tasks = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    return [os.getpriority(os.PRIO_PROCESS, task) for task in tasks]


def test_one_thread_has_the_priority_and_the_core_that_the_operator_wants(plant, tmp_path):
    core = max(os.sched_getaffinity(0))
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = min(19, usual + 7)
    config = plant.config(tmp_path, PUMP, worker={"nice": wanted, "cpus": [core]})
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.logged("ready monitors=1")
        daemon.until(lambda: priorities(daemon.process.pid).count(wanted) == 1)
        daemon.until(lambda: daemon.metric("windows_total", monitor="pump", result="scored") > 0)
        assert daemon.stop()[0] == 0


def test_a_core_that_is_not_there_ends_the_daemon_as_a_wrong_configuration(plant, tmp_path):
    config = plant.config(tmp_path, PUMP, worker={"cpus": [1023]})
    state = plant.state(tmp_path)
    result = cli("run", "--config", config, "--state-dir", state, "--http", "127.0.0.1:0")
    assert_refused(result, 78, "worker.cpus: [1023] cannot be used")
