"""What the program does before anything else is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import contextlib, os, sys
from edge_asd.__main__ import main

assert "numpy" not in sys.modules
with contextlib.suppress(SystemExit):
    main()
import numpy

numpy.ones((600, 600), numpy.float32) @ numpy.ones((600, 600), numpy.float32)
print("threads", len(os.listdir("/proc/self/task")))
"""


def test_linear_algebra_starts_no_thread_that_would_spin_beside_the_daemon() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    assert done.stdout.splitlines()[-1] == "threads 1"


@pytest.mark.parametrize("name", ["worker", "evidence", "enrol-pump", "engine-build"])
def test_a_thread_that_is_left_behind_in_native_code_does_not_spoil_the_exit_code(name):
    program = f"""
import threading
import numpy as np
from edge_asd.cli import main
from edge_asd.fourier import rfft

def compute():
    while True:
        rfft(np.zeros((16, 4096), np.float32))

threading.Thread(target=compute, name={name!r}, daemon=True).start()
main(["--version"])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "edge-asd" in ended.stdout
