"""Programs are read, watched, and never outlive their source."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge_asd.capture import ProgramSource, open_source, parse_source
from edge_asd.errors import CaptureError


def python(code, options=""):
    return f"exec:{shlex.quote(sys.executable)} -S -c {shlex.quote(code)}{options}"


def pid_in(path, wait_s=5.0):
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError(f"{path} was never written")


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
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 2.0
    assert ended.wait(2.0)
    until = time.monotonic() + 2.0
    while alive(grandchild) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(grandchild)


def test_floats_that_are_no_numbers_are_refused_with_the_likely_cause():
    code = "import sys, struct; sys.stdout.buffer.write(struct.pack('<f', float('nan')) * 1600)"
    with pytest.raises(CaptureError, match="check format=f32le"):
        list(open_source(python(code, "?format=f32le")).blocks())


def test_nothing_is_left_open():
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        list(open_source("exec:true").blocks())
    assert set(Path("/proc/self/fd").iterdir()) <= before
