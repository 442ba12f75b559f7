"""What the program does before anything else is loaded."""

from __future__ import annotations

import subprocess
import sys

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
