"""The demo as people start it: a process of its own on the tiny bundle."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import PATIENCE_S
from support.processes import environment


class Demo:
    """A running ``edge-asd demo`` whose output goes to a pipe; its folder lies in ``tmp``."""

    def __init__(self, tmp, *options, code="from edge_asd.cli import main; main()") -> None:
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "demo", *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(TMPDIR=str(tmp)),
            text=True,
        )

    def until(self, text):
        """Read on to the line that holds ``text`` and return it."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return line
        raise AssertionError(f"{text!r} never came:\n" + "\n".join(self.lines))

    def rest(self):
        """Read to the end, and return the exit code."""
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait(PATIENCE_S)

    def children(self):
        pid = self.process.pid
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)


@pytest.fixture
def demo(tmp_path):
    started = []

    def start(*options, **more):
        started.append(Demo(tmp_path, *options, **more))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()
        each.process.stdout.close()
