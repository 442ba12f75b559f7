"""Cores and priority of one thread, and of no other."""

from __future__ import annotations

import os
import threading

import pytest

from edge_asd.config import WorkerConfig
from edge_asd.errors import ConfigError
from edge_asd.worker.scheduling import schedule_this_thread


def in_a_thread(config):
    """Schedule another thread; what it runs on and its priority, or its error."""
    found = []

    def body():
        try:
            schedule_this_thread(config)
        except ConfigError as error:
            found.append(error)
        else:
            own = threading.get_native_id()
            found.append((os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, own)))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(60.0)
    return found[0]


def test_one_thread_keeps_to_its_core_and_priority_and_the_others_do_not():
    before = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    core = max(before[0])
    assert in_a_thread(WorkerConfig(nice=19, cpus=(core,))) == ({core}, 19)
    after = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert after == before


def test_without_a_wish_nothing_changes():
    usual = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert in_a_thread(WorkerConfig()) == usual


def test_a_core_that_is_not_there_is_refused_with_those_that_are():
    error = in_a_thread(WorkerConfig(cpus=(1023,)))
    assert isinstance(error, ConfigError)
    assert str(error).startswith("worker.cpus: [1023] cannot be used")
    assert f"may run on {min(os.sched_getaffinity(0))}" in str(error)


def test_a_priority_without_the_privilege_is_refused_with_the_remedy(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refuse)
    with pytest.raises(ConfigError, match=r"worker\.nice: -5 needs a privilege .*LimitNICE=-5"):
        schedule_this_thread(WorkerConfig(nice=-5))
