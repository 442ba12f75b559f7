"""Real file systems that are small: to be filled up and made read-only."""

from __future__ import annotations

import contextlib
import os
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, size):
    """Mount a tmpfs of ``size`` (as mount writes it: 1m) on a new folder; skips where forbidden."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder, how):
    """Mount it again, ``ro`` or ``rw``."""
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True, capture_output=True)


def fill(path):
    """Write into a file until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
