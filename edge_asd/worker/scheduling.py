"""Which cores a thread keeps to, and its priority."""

from __future__ import annotations

import os
import threading

from edge_asd.config import WorkerConfig
from edge_asd.errors import ConfigError


def schedule_this_thread(config: WorkerConfig) -> None:
    """Have the calling thread run as the operator wants; on Linux both belong to the thread.

    Args:
        config: Its priority and its cores.

    Raises:
        ConfigError: There is no such core, or the priority needs a privilege.
    """
    if config.cpus:
        _keep_to(config.cpus)
    if config.nice:
        _give_priority(config.nice)


def _keep_to(cpus: tuple[int, ...]) -> None:
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        there = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        wanted = ", ".join(map(str, cpus))
        raise ConfigError(
            f"worker.cpus: [{wanted}] cannot be used ({error.strerror}); this process may run on "
            f"{there}"
        ) from error


def _give_priority(nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    except OSError as error:
        raise ConfigError(
            f"worker.nice: {nice} needs a privilege ({error.strerror}); add LimitNICE={nice} to "
            "the service (systemctl edit edge-asd), or use 0 or more"
        ) from error
