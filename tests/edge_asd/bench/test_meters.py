"""What is read from /proc and /sys, on trees that are written for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from brokers import eventually

from edge_asd.bench.accounting import Usage, usage_of
from edge_asd.bench.affinity import pinned, usable_cores
from edge_asd.bench.energy import Ina3221, PowerLog, Rapl, find_meter
from edge_asd.bench.machine import describe, summary
from edge_asd.errors import EngineError


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def process(proc, pid, parent, *, name="python3", pss_kib=0, rss_kib=0, threads_ns=(), ticks=0):
    folder = proc / str(pid)
    behind = ["S", parent, *["0"] * 9, ticks, 0, "0"]
    write(folder / "stat", f"{pid} ({name}) {' '.join(map(str, behind))}\n")
    rollup = f"1-2 ---p\nRss: {rss_kib} kB\nPss: {pss_kib} kB\nPss_Dirty: 999 kB\n"
    write(folder / "smaps_rollup", rollup)
    (folder / "task").mkdir()
    for number, spent_ns in enumerate(threads_ns):
        write(folder / "task" / str(pid + number) / "schedstat", f"{spent_ns} 5 6\n")


def test_memory_and_processor_time_are_of_the_process_and_all_below_it(tmp_path):
    process(tmp_path, 10, 1, pss_kib=1024, rss_kib=4096, threads_ns=(1_000_000_000, 500_000_000))
    process(tmp_path, 11, 10, name="a ) b (", pss_kib=512, rss_kib=1024, threads_ns=(2_000_000,))
    process(tmp_path, 12, 11, pss_kib=256, rss_kib=256, ticks=os.sysconf("SC_CLK_TCK"))
    process(tmp_path, 13, 1, pss_kib=9999, rss_kib=9999, threads_ns=(9_000_000_000,))
    (tmp_path / "self").mkdir()
    usage = usage_of(10, tmp_path)
    assert usage.pss_mb == 1.75
    assert usage.rss_mb == 5.25
    assert usage.cpu_s == {10: 1.5, 11: 0.002, 12: 1.0}


def test_a_share_of_a_core_is_what_was_spent_between_two_looks():
    before = Usage(100.0, {1: 5.0, 2: 1.0}, 0.0, 0.0)
    after = Usage(110.0, {1: 5.5, 3: 0.25}, 0.0, 0.0)
    assert after.share_since(before) == pytest.approx(0.075)


def test_a_process_that_is_gone_is_no_zero(tmp_path):
    with pytest.raises(EngineError, match="gone"):
        usage_of(10, tmp_path)


def test_a_real_process_and_its_child_are_seen():
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as parent:
        try:
            usage = eventually(lambda: (u := usage_of(parent.pid)) and len(u.cpu_s) == 2 and u)
            assert 1.0 < usage.pss_mb < usage.rss_mb < 500.0
            assert all(spent_s > 0 for spent_s in usage.cpu_s.values())
        finally:
            parent.communicate(b"\n")


def ina3221(sys_, rail="VDD_IN", number=1):
    folder = sys_ / "class/hwmon/hwmon3"
    write(folder / f"in{number}_label", f"{rail}\n")
    write(folder / f"in{number}_input", "5000\n")
    write(folder / f"curr{number}_input", "1200\n")
    return folder


def test_the_rail_that_feeds_the_whole_board_is_measured(tmp_path):
    ina3221(tmp_path, "VDD_CPU_GPU_CV", 2)
    assert find_meter(tmp_path).meter is None
    ina3221(tmp_path)
    found = find_meter(tmp_path)
    assert found.meter.name == "INA3221, rail VDD_IN"


def test_watts_of_the_rail_add_up_to_joules(tmp_path):
    folder, now = ina3221(tmp_path), [0.0]
    meter = Ina3221("x", folder / "in1_input", folder / "curr1_input", lambda: now[0])
    now[0] = 2.0
    assert meter.joules() == pytest.approx(12.0)
    write(folder / "curr1_input", "0\n")
    now[0] = 5.0
    assert meter.joules() == pytest.approx(12.0)


def rapl(sys_, number, energy_uj, name="package-0"):
    folder = sys_ / f"class/powercap/intel-rapl:{number}"
    write(folder / "name", f"{name}\n")
    write(folder / "max_energy_range_uj", "999999\n")
    write(folder / "energy_uj", f"{energy_uj}\n")
    return folder


def test_counters_of_processor_packages_add_up_and_may_start_over(tmp_path):
    one = rapl(tmp_path, 0, 900_000)
    two = rapl(tmp_path, 1, 0, "package-1")
    rapl(tmp_path, 2, 0, "psys")
    meter = find_meter(tmp_path).meter
    assert isinstance(meter, Rapl)
    write(one / "energy_uj", "100000\n")  # beyond its range of a joule
    write(two / "energy_uj", "300000\n")
    assert meter.joules() == pytest.approx(0.5)
    assert meter.joules() == pytest.approx(0.5)


def test_a_machine_without_a_meter_says_so(tmp_path):
    found = find_meter(tmp_path)
    assert (found.meter, found.reason) == (
        None,
        "the board has no power meter that Linux shows",
    )
    with PowerLog(None) as power:
        pass
    assert power.watts is None


def test_a_meter_that_may_not_be_read_names_what_would_help(tmp_path, monkeypatch):
    folder, read_text = rapl(tmp_path, 0, 1), Path.read_text

    def refuse(path, *arguments):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *arguments)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = find_meter(tmp_path)
    assert (found.meter, found.reason) == (None, f"{folder}/energy_uj may be read by root only")


def test_mean_power_is_that_of_the_block_and_a_meter_that_fails_says_nothing():
    class Steady:
        name = "steady"

        def joules(self):
            return 7.0 * time.monotonic()

    with PowerLog(Steady()) as power:
        time.sleep(0.05)
    assert power.watts == pytest.approx(7.0, rel=0.01)

    class Broken:
        name = "broken"

        def joules(self):
            raise OSError(5, "Input/output error")

    with PowerLog(Broken()) as power:
        pass
    assert power.watts is None


def test_a_jetson_is_described_by_its_own_files(tmp_path):
    cpuinfo = (
        "processor\t: 0\nBogoMIPS\t: 62.50\nFeatures\t: fp asimd asimdhp asimddp crc32\n"
        "CPU implementer\t: 0x41\nCPU part\t: 0xd42\n\nprocessor\t: 1\nFeatures\t: sve\n"
    )
    write(tmp_path / "proc/cpuinfo", cpuinfo)
    write(tmp_path / "proc/meminfo", "MemTotal:        7802432 kB\nMemFree: 1 kB\n")
    write(tmp_path / "proc/loadavg", "0.31 0.2 0.1 1/100 42\n")
    write(tmp_path / "proc/device-tree/model", "NVIDIA Jetson Orin Nano\0")
    write(tmp_path / "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 1\n")
    cpufreq = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    write(cpufreq / "scaling_governor", "schedutil\n")
    write(cpufreq / "cpuinfo_max_freq", "1510400\n")
    machine = describe(tmp_path)
    assert machine["board"] == "NVIDIA Jetson Orin Nano"
    assert machine["cpu"] == "Arm implementer 0x41, part 0xd42"
    assert machine["cpu_flags"] == ["asimd", "asimdhp", "asimddp"]
    assert machine["jetpack"].startswith("Jetson Linux 36.4.3")
    assert (machine["memory_mb"], machine["cpu_mhz_highest"]) == (7619, 1510)
    assert (machine["governor"], machine["load_before"]) == ("schedutil", 0.31)
    assert "NVIDIA Jetson Orin Nano" in summary(machine)
    assert "onnxruntime" in machine["versions"]


def test_a_machine_that_says_nothing_of_itself_can_be_described(tmp_path):
    machine = describe(tmp_path)
    assert {"architecture", "cores", "kernel", "python", "edge_asd"} <= set(machine)
    assert machine["kernel"] in summary(machine)


def test_threads_go_where_the_bench_is_pinned_and_come_back():
    before, last = usable_cores(), usable_cores()[-1:]
    with pinned(last):
        assert usable_cores() == last
        child = subprocess.run(
            [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert child.stdout.strip() == str(last)
    assert usable_cores() == before
