"""What is freed goes back to the system, and modules are no work for the collector."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys

import pytest

from edge_asd.memory import give_back

# Many small pieces, of which the last stays: the allocator cannot shrink its heap by itself.
PIECES = """
from pathlib import Path
from edge_asd.memory import give_back

def resident():
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096

pieces = [bytes(10_000) for _ in range(3_000)]
last = pieces[-1]
full = resident()
del pieces
kept = resident()
give_back()
assert full - resident() > 20_000_000, (full, kept, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_what_was_freed_in_pieces_goes_back():
    ended = subprocess.run(
        [sys.executable, "-c", PIECES], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_garbage_in_cycles_goes_too():
    class Ring:
        alive = 0

        def __init__(self):
            self.me = self
            Ring.alive += 1

        def __del__(self):
            Ring.alive -= 1

    gc.disable()
    try:
        Ring()
        assert Ring.alive == 1
        give_back()
        assert Ring.alive == 0
    finally:
        gc.enable()
