"""Programs are read, watched, and never outlive their source."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from brokers import PATIENCE_S
from numpy.testing import assert_array_equal
from support.stopwatch import Stopwatch

from edge_asd.capture import ProgramSource, capture, open_source, parse_source
from edge_asd.capture.child import Child
from edge_asd.errors import CaptureError


def python(code, options=""):
    return f"exec:{shlex.quote(sys.executable)} -S -c {shlex.quote(code)}{options}"


def pid_in(path, wait_s=PATIENCE_S):
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError(f"{path} was never written")


def wait_for(condition, wait_s=PATIENCE_S):
    until = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.01)


def alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def sleeper(path):
    """Code of a program that writes its number to ``path`` and then does nothing."""
    return f"import os, time; open({str(path)!r}, 'w').write(str(os.getpid())); time.sleep(60)"


@pytest.mark.parametrize(("fmt", "dtype"), [("s16le", "<i2"), ("s32le", "<i4"), ("f32le", "<f4")])
def test_the_program_s_pcm_arrives_whole_with_a_torn_last_frame_dropped(tmp_path, fmt, dtype):
    values = np.random.default_rng(0).uniform(-1, 1, (5001, 2)) * (1 if fmt == "f32le" else 2**14)
    values = values.astype(dtype)
    path = tmp_path / "in.raw"
    path.write_bytes(values.tobytes() + b"\x01")
    source = open_source(f"exec:cat {shlex.quote(str(path))}?rate=8000&channels=2&format={fmt}")
    assert source.sample_rate == 8000
    blocks = list(source.blocks())
    scale = {"s16le": 2.0**-15, "s32le": 2.0**-31, "f32le": 1.0}[fmt]
    assert_array_equal(
        np.concatenate([block.samples for block in blocks]),
        values.astype(np.float32) * np.float32(scale),
    )
    assert [block.start for block in blocks] == list(range(0, 5001, 800))


def test_a_failing_program_reports_its_code_and_last_words():
    code = (
        "import sys; sys.stdout.buffer.write(bytes(3200)); "
        "sys.stderr.write('x\\nno such card\\n'); sys.exit(3)"
    )
    source = open_source(python(code))
    got = []
    with pytest.raises(CaptureError, match=r"exit code 3: no such card"):
        got.extend(source.blocks())
    assert len(got) == 1


def test_a_program_killed_by_a_signal_is_a_failure():
    with pytest.raises(CaptureError, match="signal 9"):
        list(open_source(python("import os; os.kill(os.getpid(), 9)")).blocks())


def test_a_missing_program_is_named():
    with pytest.raises(CaptureError, match=r"'no-such-program' not found; install it"):
        list(open_source("exec:no-such-program -x").blocks())


def test_endless_complaints_are_drained_and_bounded():
    code = "import sys; sys.stderr.write('noise\\n' * 200000 + 'the end\\n'); sys.exit(1)"
    source = open_source(python(code))
    with pytest.raises(CaptureError, match="the end"):
        list(source.blocks())
    assert len(source._child._errors) <= 4096


def test_a_program_that_goes_silent_is_killed_and_reported(tmp_path):
    source = ProgramSource(parse_source(python(sleeper(tmp_path / "pid"))), stall_s=0.5)
    with pytest.raises(CaptureError, match=r"silent for 0\.5 s; does it write raw PCM"):
        list(source.blocks())
    assert not alive(pid_in(tmp_path / "pid"))


def test_close_ends_a_program_and_its_children_even_if_they_ignore_the_request(tmp_path):
    child = sleeper(tmp_path / "pid")
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"subprocess.Popen([sys.executable, '-S', '-c', {child!r}])\n"
        "while True: sys.stdout.buffer.write(bytes(3200)); sys.stdout.flush(); time.sleep(0.05)\n"
    )
    source = open_source(python(code))
    ended = threading.Event()

    def read():
        list(source.blocks())
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    grandchild = pid_in(tmp_path / "pid")
    with Stopwatch(os.getpid()) as watch:
        source.close()
    assert watch.own_s < 2.0
    assert ended.wait(PATIENCE_S)
    wait_for(lambda: not alive(grandchild))


def test_floats_that_are_no_numbers_are_refused_with_the_likely_cause():
    code = "import sys, struct; sys.stdout.buffer.write(struct.pack('<f', float('nan')) * 1600)"
    with pytest.raises(CaptureError, match="check format=f32le"):
        list(open_source(python(code, "?format=f32le")).blocks())


def test_nothing_is_left_open():
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        list(open_source("exec:true").blocks())
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_a_recording_through_a_program_is_dated_by_its_own_time(tmp_path):
    (tmp_path / "in.raw").write_bytes(bytes(2 * 16_000 * 60))
    blocks = list(open_source(f"exec:cat {shlex.quote(str(tmp_path / 'in.raw'))}").blocks())
    dated = [block.captured_at - blocks[0].captured_at for block in blocks]
    assert dated == pytest.approx([block.start / 16_000 for block in blocks], abs=1e-4)


def test_a_live_program_that_runs_ahead_of_time_waits_and_loses_nothing(tmp_path):
    (tmp_path / "in.raw").write_bytes(np.arange(16_000 * 12, dtype="<i4").astype("<i2").tobytes())
    uri = f"exec:cat {shlex.quote(str(tmp_path / 'in.raw'))}"
    began = time.monotonic()
    with capture("a", f"{uri}") as thread:
        blocks = []
        while sum(len(block.samples) for block in blocks) < 16_000 * 10:
            block = thread.get(20.0)
            assert block is not None
            blocks.append(block)
        status = thread.status()
    assert time.monotonic() - began > 1.5  # 8 s at once, and the rest at its pace
    assert {b.start - a.start for a, b in itertools.pairwise(blocks)} == {1600}
    assert (status.lost_s, status.dropped_blocks, status.exited) == (0.0, 0, 0)
    assert status.surplus_s > 2.0


def test_a_program_in_a_hurry_is_not_held_back_when_it_is_heard_once(tmp_path):
    (tmp_path / "in.raw").write_bytes(bytes(2 * 16_000 * 600))
    with capture("a", f"exec:cat {shlex.quote(str(tmp_path / 'in.raw'))}", once=True) as thread:
        heard_s, until = 0.0, time.monotonic() + 60.0
        while not thread.spent and time.monotonic() < until:
            block = thread.get(0.1)
            heard_s += 0.0 if block is None else len(block.samples) / 16_000
    assert heard_s == pytest.approx(600.0)


def test_a_live_program_that_pauses_is_down_at_once_and_up_again_without_a_restart():
    code = (
        "import sys, time\n"
        "def say(seconds):\n"
        "    for _ in range(round(seconds * 20)):\n"
        "        sys.stdout.buffer.write(bytes(1600)); sys.stdout.flush(); time.sleep(0.05)\n"
        "say(1); time.sleep(4.5); say(60)\n"
    )
    began = time.monotonic()
    with capture("a", python(code)) as thread:
        wait_for(lambda: thread.status().up)
        wait_for(lambda: not thread.status().up)
        assert thread.status().reason == "silent for more than 2 s"
        wait_for(lambda: thread.status().up)
        wait_for(lambda: thread.status().lost_s > 0.0)
        status = thread.status()
    assert 2.5 < status.lost_s <= time.monotonic() - began
    assert status.restarts == 0


def test_a_program_that_fails_is_started_again_and_the_time_between_is_lost():
    code = (
        "import sys, time\n"
        "for _ in range(10):\n"
        "    sys.stdout.buffer.write(bytes(3200)); sys.stdout.flush(); time.sleep(0.1)\n"
        "sys.exit('camera went away')\n"
    )
    with capture("a", python(code)) as thread:
        wait_for(lambda: "camera went away" in thread.status().reason)
        wait_for(lambda: thread.status().exited >= 1 and thread.status().up)
        starts, until = [], time.monotonic() + 30.0
        while len(starts) < 15 and time.monotonic() < until:
            block = thread.get(1.0)
            starts += [] if block is None else [block.start]
        status = thread.status()
    gap_s = max(b - a - 1600 for a, b in itertools.pairwise(starts)) / 16_000
    assert 0.4 < gap_s <= status.lost_s + 0.001


def test_a_stopped_program_is_killed_and_never_waited_for():
    source = open_source(python("import os, time; print(os.getpid(), flush=True); time.sleep(60)"))
    child = Child(source._uri.command, "exec:python", "")
    pid = int(child.read_line(20, 20.0))
    os.kill(pid, signal.SIGSTOP)
    with Stopwatch(os.getpid()) as watch:
        child.close()
    assert watch.own_s < 5.0
    assert not alive(pid)


def test_a_program_that_cannot_be_killed_holds_nobody_up(monkeypatch):
    # What the kernel holds in a driver ignores even SIGKILL, for as long as that takes.
    source = open_source(python("import os, time; print(os.getpid(), flush=True); time.sleep(60)"))
    child = Child(source._uri.command, "exec:python", "")
    pid = int(child.read_line(20, 20.0))
    monkeypatch.setattr(child, "_signal", lambda _number: None)
    with Stopwatch(os.getpid()) as watch:
        child.close()
    assert watch.own_s < 4.0
    assert alive(pid)
    monkeypatch.undo()
    child._signal(signal.SIGKILL)
    child._process.wait(PATIENCE_S)
