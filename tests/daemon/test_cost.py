"""A daemon takes little: no module it has no use for, few rests, and the same after hours.

Counted are modules, wake-ups and the scheduler's processor time, none of which a busy machine
changes by much; the bounds leave room. What it really costs: ``benchmarks/daemon_cost.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import usage
from support.processes import ROOT, DaemonProcess, environment

linux = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux counts it")

LOADED = """
import json, sys
before = set(sys.modules)
{}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
DAEMON = "import edge_asd.__main__, edge_asd.cli, edge_asd.cli.run, edge_asd.parts"
CHILD = "import edge_asd.capture.portaudio_child"

SLICES = 6
WINDOWS = 700
"""In a slice: three minutes of stream."""


def loaded_by(program):
    """Modules that it loads, packages of their own included."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(program)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "unused",
    [
        *("scipy.special", "scipy.stats", "scipy.signal", "scipy.linalg", "scipy.sparse"),
        *("numpy.testing", "numpy.f2py", "unittest", "asyncio", "multiprocessing"),
        *("tensorrt", "cuda", "openvino", "onnxruntime", "torch", "onnx"),
        *("pyfftw.interfaces", "matplotlib", "sounddevice"),
        *("edge_asd.simulate", "edge_asd.demo", "edge_asd.bench"),
        *("edge_asd.support", "edge_asd.service"),
    ],
)
def test_the_daemon_loads_nothing_of(unused, daemon_modules):
    assert [name for name in daemon_modules if f"{name}.".startswith(f"{unused}.")] == []


@pytest.fixture(scope="module")
def daemon_modules():
    found = loaded_by(DAEMON)
    assert "edge_asd.worker.worker" in found
    assert len(found) < 850, len(found)
    return found


def test_the_child_of_a_microphone_starts_with_the_standard_library_alone():
    found = loaded_by(CHILD)
    packages = {name.partition(".")[0] for name in found}
    assert packages - set(sys.stdlib_module_names) == {"edge_asd"}
    assert len(found) < 180, len(found)


@linux
def test_a_daemon_that_hears_nothing_rests_and_is_small(plant, tmp_path):
    config = plant.config(tmp_path, f"exec:{sys.executable} -c 'import time; time.sleep(900)'")
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        daemon.logged(r"ready monitors=1")
        began_s, before = time.monotonic(), usage.threads(daemon.process.pid)
        time.sleep(3.0)
        after, took_s = usage.threads(daemon.process.pid), time.monotonic() - began_s
        rests = sum(count for _, count in usage.spent(before, after).values())
        assert rests / took_s < 25.0, usage.spent(before, after)
        assert usage.memory_mb(daemon.process.pid, "Rss") < 160.0
        assert daemon.stop()[0] == 0


@linux
def test_a_window_costs_and_needs_the_same_after_a_quarter_of_an_hour(plant, tmp_path):
    config = plant.config(tmp_path, f"file:{plant.normal}?speed=max&loop")
    with DaemonProcess(plant.state(tmp_path), "--config", config) as daemon:
        pid, costs_s, sizes_mb = daemon.process.pid, [], []

        def windows():
            return daemon.metric("windows_total", monitor="pump", result="scored")

        daemon.until(lambda: windows() > WINDOWS, what="what comes once")
        for _ in range(SLICES):
            cpu_s, begun = usage.cpu_s(pid), windows()
            daemon.until(lambda begun=begun: windows() >= begun + WINDOWS, what="a slice")
            costs_s.append((usage.cpu_s(pid) - cpu_s) / (windows() - begun))
            sizes_mb.append(usage.memory_mb(pid, "Rss"))
        assert daemon.stop()[0] == 0
    half = SLICES // 2
    # The cheapest of each: what other programs do to a cache only makes it dearer.
    assert min(costs_s[half:]) < 1.5 * min(costs_s[:half]), costs_s
    assert max(sizes_mb[half:]) < max(sizes_mb[:half]) + 10.0, sizes_mb
