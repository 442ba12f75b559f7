"""The service manager hears what it must, and its absence disturbs nothing."""

from __future__ import annotations

import os
import socket
import time

import pytest

from edge_asd.notify import Notifier


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(2)
        yield sock


def test_every_message_arrives_in_its_own_datagram(manager):
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready()
    notifier.status("2/2 sources,\n alarm 0")
    notifier.watchdog()
    notifier.stopping()
    heard = [manager.recv(200) for _ in range(4)]
    assert heard == [b"READY=1", b"STATUS=2/2 sources, alarm 0", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_reload_is_announced_with_the_clock_that_the_manager_compares(manager):
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.getsockname()})
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    first, second = manager.recv(200).decode().split("\n")
    assert first == "RELOADING=1"
    assert before_us <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    notifier.reloading(now_us=7)
    assert manager.recv(200) == b"RELOADING=1\nMONOTONIC_USEC=7"


def test_time_asked_for_is_in_microseconds(manager):
    Notifier.from_environment({"NOTIFY_SOCKET": manager.getsockname()}).extend_timeout(90)
    assert manager.recv(200) == b"EXTEND_TIMEOUT_USEC=90000000"


def test_an_abstract_socket_is_found():
    name = f"edge-asd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(2)
        Notifier.from_environment({"NOTIFY_SOCKET": "@" + name}).ready()
        assert sock.recv(200) == b"READY=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_service_manager_nothing_happens(environ):
    notifier = Notifier.from_environment(environ)
    notifier.ready()
    assert notifier.watchdog_interval_s is None


def test_a_service_manager_that_went_away_disturbs_nothing(tmp_path):
    gone = tmp_path / "gone"
    Notifier.from_environment({"NOTIFY_SOCKET": str(gone)}).watchdog()
    assert not gone.exists()


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "77"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_within_its_patience(environ, interval_s):
    assert Notifier.from_environment(environ, pid=77).watchdog_interval_s == interval_s
