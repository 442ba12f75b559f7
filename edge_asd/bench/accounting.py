"""What a process and its children take: processor time and memory, as the kernel counts them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_asd.errors import EngineError

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process and all its descendants at one moment."""

    at_s: float
    """Monotonic time."""
    cpu_s: dict[int, float]
    """Processor time so far, by process."""
    pss_mb: float
    """Shared pages are divided among those who share them."""
    rss_mb: float

    def share_since(self, before: Usage) -> float:
        """Share of one core since then; a process that has ended meanwhile is missing."""
        spent_s = sum(cpu_s - before.cpu_s.get(pid, 0.0) for pid, cpu_s in self.cpu_s.items())
        return spent_s / (self.at_s - before.at_s)


def usage_of(pid: int, proc: Path = PROC) -> Usage:
    """Look at a process and all below it.

    Raises:
        EngineError: It is not there.
    """
    processes = family(pid, proc)
    cpu_s = {one: spent_s for one in processes if (spent_s := _cpu_s(proc / str(one))) is not None}
    if pid not in cpu_s:
        raise EngineError(f"process {pid} is gone; nothing can be said about what it takes")
    memory = [memory_mb(proc / str(one)) for one in processes]
    pss_mb, rss_mb = (sum(kind) for kind in zip(*memory, strict=True))
    return Usage(time.monotonic(), cpu_s, pss_mb, rss_mb)


def family(pid: int, proc: Path = PROC) -> list[int]:
    """The process and its descendants; the list grows while it is walked along."""
    children: dict[int, list[int]] = {}
    for folder in proc.iterdir():
        if folder.name.isdigit() and (fields := _stat(folder)):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += sorted(children.get(one, []))
    return found


def _cpu_s(process: Path) -> float | None:
    """Of all threads that live, in the scheduler's own count where the kernel keeps it.

    Ticks count those that have ended as well, and are as coarse as 10 ms. None if it has ended.
    """
    spent_ns = []
    with suppress(OSError):
        for task in (process / "task").iterdir():
            with suppress(OSError):
                spent_ns.append(int((task / "schedstat").read_text().split()[0]))
    if spent_ns:
        return sum(spent_ns) / 1e9
    fields = _stat(process)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else None


def _stat(process: Path) -> list[str]:
    """Fields of ``stat`` behind the name, which may hold anything; nothing if it has ended."""
    with suppress(OSError):
        return (process / "stat").read_text().rpartition(")")[2].split()
    return []


def memory_mb(process: Path) -> tuple[float, float]:
    """PSS and RSS of one process, by its folder in ``/proc``; nothing of one that has ended."""
    kib = {"Pss": 0, "Rss": 0}
    with suppress(OSError):
        for line in (process / "smaps_rollup").read_text().splitlines():
            name, _, size = line.partition(":")
            if name in kib:
                kib[name] = int(size.split()[0])
    return kib["Pss"] / 1024, kib["Rss"] / 1024
