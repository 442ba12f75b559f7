"""One thread on one core: where this process may run, for a while."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """Keep this process, and threads that begin meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    _move(cores)
    try:
        yield
    finally:
        _move(before)


def _move(cores: Collection[int]) -> None:
    """Every thread: Linux knows an affinity of threads only."""
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(task.name), cores)
