"""Whatever the disk does, a stored event stays stored, and one that waits goes on waiting."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import eventually
from devices import FAST, Device
from publish_samples import message
from support.crashpoints import build_shim
from support.disks import fill, small_disk
from support.ledger_board import quick_folder
from support.mqtt_wire import Ear

from edge_asd.errors import StorageError
from edge_asd.health import Health

pytestmark = pytest.mark.own_payloads

HERE = Path(__file__).parent
SCRIPT = HERE / "disk_process.py"

# The k-th call that changes a disk fails, once.
_FAILING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
#include <unistd.h>
static long left = -1;
void fail_at(long k) { left = k; }
long fail_left(void) { return left; }
#define WRAP(type, name, declared, given) \
  type name declared { \
    static type (*real) declared; \
    if (!real) real = (type (*) declared)dlsym(RTLD_NEXT, #name); \
    if (left > 0 && --left == 0) { errno = EIO; return -1; } \
    return real given; \
  }
WRAP(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o))
WRAP(ssize_t, pwrite64, (int f, const void *b, size_t n, off_t o), (f, b, n, o))
WRAP(int, fsync, (int f), (f))
WRAP(int, fdatasync, (int f), (f))
WRAP(int, ftruncate, (int f, off_t n), (f, n))
WRAP(int, ftruncate64, (int f, off_t n), (f, n))
"""


@pytest.fixture
def folder():
    with quick_folder() as path:
        yield path


def failing_shim(folder):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source, library = folder / "failing.c", folder / "failing.so"
    source.write_text(_FAILING)
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def run(scenario, folder, shim, stride):
    """Lines of the process, one a step."""
    tests, samples = HERE.parent, HERE.parent / "edge_asd" / "publish"
    paths = os.pathsep.join(map(str, (tests.parent, tests, samples)))
    done = subprocess.run(
        [sys.executable, SCRIPT, scenario, folder, str(stride)],
        env=os.environ | {"PYTHONPATH": paths, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout.splitlines()


def killed(scenario, folder, stride):
    shim = build_shim(folder)
    if shim is None:
        pytest.skip("no C compiler")
    steps = run(scenario, folder, shim, stride)
    assert len(steps) >= 4
    assert all(line.endswith("killed ok") for line in steps[:-1])
    assert steps[-1].endswith("done ok")


def failed(folder, stride):
    steps = run("failing", folder, failing_shim(folder), stride)
    assert len(steps) >= 4
    assert any("refused 1" in line for line in steps)


@pytest.mark.parametrize("scenario", ["record", "deliver", "repair"])
def test_killed_at_system_calls(folder, scenario):
    killed(scenario, folder, 11)


@pytest.mark.long
@pytest.mark.parametrize("scenario", ["record", "deliver", "repair"])
def test_killed_at_every_system_call(folder, scenario):
    killed(scenario, folder, 1)


def test_input_output_errors_cost_nothing_that_was_stored(folder):
    failed(folder, 11)


@pytest.mark.long
def test_an_input_output_error_at_any_call_costs_nothing_that_was_stored(folder):
    failed(folder, 1)


@pytest.mark.broker
def test_a_full_disk_delivers_what_waits_and_forgets_nothing(mosquitto, tmp_path):
    mosquitto.start()
    with (
        small_disk(tmp_path / "disk", "1m") as disk,
        Ear(mosquitto.port) as ear,
        Device(disk / "s", mosquitto.url, FAST, start=False) as device,
    ):
        wanted = device.record(20)
        fill(disk / "ballast")
        device.sink.start()
        eventually(lambda: len(alerts(ear)) >= 20, what="the alerts")
        eventually(lambda: device.sink.health()[0] is Health.CRITICAL)
        with pytest.raises(StorageError):
            device.store.record(message(), monitor="pump-1", topic="t")
        # They were delivered, and cannot be crossed off: not even then are they sent for ever.
        assert device.store.outbox.stats().messages == 20
        assert len(alerts(ear)) == 20
        (disk / "ballast").unlink()
        device.wait_idle()
        assert [json.loads(payload)["seq"] for payload in alerts(ear)] == wanted
        eventually(lambda: device.sink.health()[0] is Health.HEALTHY)


def alerts(ear):
    return [payload for topic, payload in list(ear.messages) if topic.endswith("/event")]
